//! Schemas that are combined of others.

use super::{
    compatibility::Check,
    shape::{Criterion, Part, Shape},
};
use crate::compatibility::Findings;

/// At least one of the two is combined of others.
pub(super) fn compare(check: &mut Check, old: Part<'_>, new: Part<'_>) -> Findings {
    match (old.shape(), new.shape()) {
        // What several alternatives allow is forbidden by `oneOf`. Whether there is such a value is not
        // asked: other registries do not ask either.
        (Shape::Combined(Criterion::Any, parts), Shape::Combined(Criterion::One, _))
            if parts.len() > 1 =>
        {
            let message = "anyOf became oneOf, which allows less".to_owned();
            check.found("COMBINED_TYPE_CHANGED", message)
        }
        // Whatever one of the old ones allowed must be allowed.
        (Shape::Combined(Criterion::Any | Criterion::One, parts), _) => {
            every_old(check, &parts, new)
        }
        // All of the new ones must allow it.
        (_, Shape::Combined(Criterion::All, parts)) => every_new(check, old, &parts),
        // One of the old ones allows no more than the new one, so neither do all together.
        (Shape::Combined(Criterion::All, parts), _)
            if parts.iter().any(|part| check.fits(*part, new)) =>
        {
            Findings::new()
        }
        (_, Shape::Combined(criterion, parts)) => some_new(check, old, criterion, &parts),
        (Shape::Combined(Criterion::All, parts), _) => {
            // The part that speaks about the same thing tells best what is wrong.
            let told = parts.iter().map(|part| check.compare(*part, new));
            told.min_by_key(Vec::len).unwrap_or_default()
        }
        _ => Findings::new(),
    }
}

fn every_old(check: &mut Check, parts: &[Part<'_>], new: Part<'_>) -> Findings {
    if let Shape::Combined(Criterion::One, branches) = new.shape()
        && parts.len() > 1
        && !are_disjoint(&branches)
        && !no_more_overlap(check, parts, &branches)
    {
        let message = "a value that several of these allow was allowed before".to_owned();
        return check.found("COMBINED_TYPE_CHANGED", message);
    }
    let mut findings = Findings::new();
    let several = matches!(new.shape(), Shape::Combined(..));
    for (index, part) in parts.iter().enumerate() {
        let alternatives = match new.shape() {
            Shape::Combined(Criterion::Any | Criterion::One, alternatives) => alternatives,
            _ => Vec::new(),
        };
        // What alternatives allow together has been looked at; here one that allows it is enough.
        let fits = alternatives.iter().any(|alternative| check.fits(*part, *alternative));
        if fits || check.fits(*part, new) {
            continue;
        }
        if several {
            let message = format!("what alternative {index} allowed is not allowed");
            findings.extend(check.found("SUM_TYPE_NARROWED", message));
        } else {
            findings.extend(check.compare(*part, new));
        }
    }
    findings
}

fn every_new(check: &mut Check, old: Part<'_>, parts: &[Part<'_>]) -> Findings {
    let mut findings = Findings::new();
    for part in parts {
        findings.extend(check.compare(old, *part));
    }
    findings
}

fn some_new(
    check: &mut Check,
    old: Part<'_>,
    criterion: Criterion,
    parts: &[Part<'_>],
) -> Findings {
    let mut fitting = 0_usize;
    for part in parts {
        fitting += usize::from(check.fits(old, *part));
    }
    if fitting > 0 {
        // Two of `oneOf` that allow the same forbid it.
        if criterion == Criterion::One && fitting > 1 {
            let message = "two alternatives of oneOf allow the same values".to_owned();
            return check.found("COMBINED_TYPE_CHANGED", message);
        }
        return Findings::new();
    }
    check.found("TYPE_CHANGED", "no alternative allows what was allowed".to_owned())
}

/// No value can be allowed by two of them.
fn are_disjoint(parts: &[Part<'_>]) -> bool {
    parts.iter().enumerate().all(|(index, part)| {
        let kinds = part.kinds();
        let mut others = parts.iter().skip(index + 1);
        others.all(|other| other.kinds().iter().all(|kind| !kinds.contains(kind)))
    })
}

/// What was an alternative of its own fits no more of the new alternatives than of the old ones: two
/// that allow the same forbid it.
fn no_more_overlap(check: &mut Check, old: &[Part<'_>], new: &[Part<'_>]) -> bool {
    let mut fitting = |one: Part<'_>, others: &[Part<'_>]| {
        others.iter().filter(|other| check.fits(one, **other)).count()
    };
    old.iter().all(|one| fitting(*one, new) <= fitting(*one, old).max(1))
}
