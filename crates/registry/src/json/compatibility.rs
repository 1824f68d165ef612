//! Whether everything that one JSON Schema allows is allowed by another.
//!
//! The answer is "no" with its reasons, or "yes". A "yes" is certain, with one exception that users of
//! registries expect: a required property with a default may be added.

use super::{
    combined, object,
    parse::Schema,
    shape::{Kind, Part, Shape},
};
use crate::compatibility::{Finding, Findings};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

type Keywords = Map<String, Value>;

/// Everything that `writer` allows and `reader` does not; empty when there is nothing.
pub(crate) fn reads(reader: &Schema, writer: &Schema) -> Findings {
    // A reference that leads to itself allows who knows what, but always the same.
    if reader == writer {
        return Findings::new();
    }
    let mut check =
        Check { left: COMPARISONS_MAX, assumed: BTreeSet::new(), path: vec!["#".to_owned()] };
    check.compare(Part::root(writer), Part::root(reader))
}

/// Alternatives of alternatives would be tried in more ways than there is time for.
const COMPARISONS_MAX: u32 = 100_000;

pub(super) struct Check {
    /// How many more pairs may be compared.
    left: u32,
    /// Pairs that are being compared or were found to fit: schemas may hold themselves.
    assumed: BTreeSet<((usize, String), (usize, String))>,
    path: Vec<String>,
}

impl Check {
    pub(super) fn compare(&mut self, old: Part<'_>, new: Part<'_>) -> Findings {
        const DEPTH_MAX: usize = 256;
        self.left = self.left.saturating_sub(1);
        if self.path.len() > DEPTH_MAX || self.left == 0 {
            let message = "the schemas are too deep, or have too many alternatives".to_owned();
            return self.found("SCHEMA_TOO_COMPLEX", message);
        }
        if !self.assumed.insert((old.identity(), new.identity())) {
            return Findings::new();
        }
        match (old.shape(), new.shape()) {
            (_, Shape::Any) | (Shape::Never, _) => Findings::new(),
            (Shape::Unknown, _) | (_, Shape::Unknown) => {
                self.found("REFERENCE_UNKNOWN", "a reference leads nowhere".to_owned())
            }
            (Shape::Combined(..), _) | (_, Shape::Combined(..)) => {
                combined::compare(self, old, new)
            }
            (was, is) => {
                let findings = self.compare_plain(&was, &is);
                if findings.is_empty() { self.compare_typed(old, new) } else { findings }
            }
        }
    }

    /// Compares without keeping what a failed attempt assumed.
    pub(super) fn fits(&mut self, old: Part<'_>, new: Part<'_>) -> bool {
        let assumed = self.assumed.clone();
        let fits = self.compare(old, new).is_empty();
        if !fits {
            self.assumed = assumed;
        }
        fits
    }

    /// Neither is combined of others.
    fn compare_plain(&mut self, old: &Shape<'_>, new: &Shape<'_>) -> Findings {
        match (old, new) {
            (Shape::Never, _) | (_, Shape::Any) => Findings::new(),
            (Shape::Enum(old), Shape::Enum(new)) => {
                if old.iter().all(|value| new.contains(value)) {
                    return Findings::new();
                }
                self.found("ENUM_ARRAY_NARROWED", "a value of the enum is gone".to_owned())
            }
            (Shape::Enum(values), Shape::Typed { kind, keywords, .. }) => {
                let unbounded = !kind.keywords().iter().any(|key| keywords.contains_key(*key));
                let of_kind = |value: &&Value| is_a(Kind::of_value(value), *kind);
                if unbounded && values.iter().all(of_kind) {
                    return Findings::new();
                }
                self.changed()
            }
            (Shape::Not(old), Shape::Not(new)) => {
                let (old, new) = (*old, *new);
                self.within("not", |check| {
                    if check.fits(new, old) {
                        return Findings::new();
                    }
                    check.found("NOT_TYPE_EXTENDED", "more is forbidden than before".to_owned())
                })
            }
            (
                Shape::Typed { kind: old_kind, strict: old_strict, .. },
                Shape::Typed { kind: new_kind, strict: new_strict, .. },
            ) => {
                if *new_strict && !old_strict {
                    let message = format!("only {} is allowed now", new_kind.name());
                    return self.found("TYPE_NARROWED", message);
                }
                if !is_a(*old_kind, *new_kind) {
                    // A schema that speaks about one type allows all values of others.
                    if !new_strict && *old_strict && !is_a(*new_kind, *old_kind) {
                        return Findings::new();
                    }
                    return self.type_differs(*old_kind, *new_kind);
                }
                Findings::new()
            }
            _ => self.changed(),
        }
    }

    /// Values of the same type, with what is said about them.
    fn compare_typed(&mut self, old: Part<'_>, new: Part<'_>) -> Findings {
        let (Shape::Typed { kind, keywords: was, .. }, Shape::Typed { kind: to, keywords: is, .. }) =
            (old.shape(), new.shape())
        else {
            return Findings::new();
        };
        if !is_a(kind, to) {
            return Findings::new();
        }
        match to {
            Kind::Null | Kind::Boolean => Findings::new(),
            Kind::Integer | Kind::Number => self.compare_numbers(was, is),
            Kind::String => self.compare_strings(was, is),
            Kind::Array => object::compare_arrays(self, (old, was), (new, is)),
            Kind::Object => object::compare_objects(self, (old, was), (new, is)),
        }
    }

    fn compare_numbers(&mut self, old: &Keywords, new: &Keywords) -> Findings {
        let mut findings = Findings::new();
        for (key, exclusive, upper) in
            [("maximum", "exclusiveMaximum", true), ("minimum", "exclusiveMinimum", false)]
        {
            let (was, is) = (bound(old, key, exclusive, upper), bound(new, key, exclusive, upper));
            let name = if upper { "MAXIMUM" } else { "MINIMUM" };
            let verdict = match (was, is) {
                (_, None) => continue,
                (None, Some(_)) => "ADDED",
                (Some((was, was_open)), Some((is, is_open))) => {
                    let tighter = if upper { is < was } else { is > was };
                    if !tighter && (is != was || was_open || !is_open) {
                        continue;
                    }
                    if upper { "DECREASED" } else { "INCREASED" }
                }
            };
            findings.extend(self.within(key, |check| {
                check.found(bound_kind(name, verdict), format!("the {key} is narrower"))
            }));
        }
        let step = |keywords: &Keywords| keywords.get("multipleOf").and_then(Value::as_f64);
        let kind = match (step(old), step(new)) {
            (None, Some(_)) => Some("MULTIPLE_OF_ADDED"),
            (Some(was), Some(is)) if !is_multiple(was, is) => Some("MULTIPLE_OF_EXPANDED"),
            _ => None,
        };
        if let Some(kind) = kind {
            findings.extend(self.within("multipleOf", |check| {
                check.found(kind, "not every value of before is a multiple".to_owned())
            }));
        }
        findings
    }

    fn compare_strings(&mut self, old: &Keywords, new: &Keywords) -> Findings {
        let mut findings = self.upper(old, new, "maxLength", "MAX_LENGTH");
        findings.extend(self.lower(old, new, "minLength", "MIN_LENGTH"));
        if let Some(pattern) = new.get("pattern")
            && old.get("pattern") != Some(pattern)
        {
            let added = !old.contains_key("pattern");
            let kind = if added { "PATTERN_ADDED" } else { "PATTERN_CHANGED" };
            findings.extend(self.within("pattern", |check| {
                check.found(kind, "the pattern is another one".to_owned())
            }));
        }
        findings
    }

    /// A number that may only grow.
    pub(super) fn upper(
        &mut self,
        old: &Keywords,
        new: &Keywords,
        key: &'static str,
        kind: &'static str,
    ) -> Findings {
        let number = |keywords: &Keywords| keywords.get(key).and_then(Value::as_f64);
        let verdict = match (number(old), number(new)) {
            (None, Some(_)) => "ADDED",
            (Some(was), Some(is)) if is < was => "DECREASED",
            _ => return Findings::new(),
        };
        self.within(key, |check| {
            check.found(bound_kind(kind, verdict), format!("{key} is lower than before"))
        })
    }

    /// A number that may only shrink.
    pub(super) fn lower(
        &mut self,
        old: &Keywords,
        new: &Keywords,
        key: &'static str,
        kind: &'static str,
    ) -> Findings {
        let number = |keywords: &Keywords| keywords.get(key).and_then(Value::as_f64);
        let verdict = match (number(old), number(new)) {
            (None, Some(is)) if is > 0.0 => "ADDED",
            (Some(was), Some(is)) if is > was => "INCREASED",
            _ => return Findings::new(),
        };
        self.within(key, |check| {
            check.found(bound_kind(kind, verdict), format!("{key} is higher than before"))
        })
    }

    /// A keyword whose meaning is not compared must stay as it is, or go.
    pub(super) fn same(&mut self, old: &Keywords, new: &Keywords, key: &'static str) -> Findings {
        match new.get(key) {
            None | Some(Value::Bool(true)) => Findings::new(),
            found if found == old.get(key) => Findings::new(),
            Some(_) => self.within(key, |check| {
                check.found("KEYWORD_CHANGED", format!("`{key}` is another one"))
            }),
        }
    }

    fn type_differs(&self, old: Kind, new: Kind) -> Findings {
        let kind = if is_a(new, old) { "TYPE_NARROWED" } else { "TYPE_CHANGED" };
        self.found(kind, format!("{} is {} now", old.name(), new.name()))
    }

    fn changed(&self) -> Findings {
        self.found("TYPE_CHANGED", "another kind of schema stands here".to_owned())
    }

    pub(super) fn within(
        &mut self,
        step: &str,
        check: impl FnOnce(&mut Self) -> Findings,
    ) -> Findings {
        self.path.push(step.replace('~', "~0").replace('/', "~1"));
        let findings = check(self);
        self.path.pop();
        findings
    }

    pub(super) fn found(&self, kind: &'static str, message: String) -> Findings {
        let path = self.path.join("/");
        vec![Finding { kind, place: path.clone(), path, message }]
    }
}

/// Every value of the one type is one of the other.
fn is_a(kind: Kind, other: Kind) -> bool {
    kind == other || (kind, other) == (Kind::Integer, Kind::Number)
}

fn is_multiple(value: f64, step: f64) -> bool {
    let ratio = value / step;
    step != 0.0 && (ratio - ratio.round()).abs() < 1e-9
}

/// A bound and whether it is excluded itself. Draft 4 writes the second as a flag of the first.
fn bound(keywords: &Keywords, key: &str, exclusive: &str, upper: bool) -> Option<(f64, bool)> {
    let closed = keywords.get(key).and_then(Value::as_f64);
    let open = match keywords.get(exclusive) {
        Some(Value::Bool(flag)) => return closed.map(|bound| (bound, *flag)),
        found => found.and_then(Value::as_f64),
    };
    match (closed, open) {
        (Some(closed), Some(open)) => {
            let tighter = if upper { open <= closed } else { open >= closed };
            Some(if tighter { (open, true) } else { (closed, false) })
        }
        (Some(closed), None) => Some((closed, false)),
        (None, open) => open.map(|open| (open, true)),
    }
}

fn bound_kind(name: &str, verdict: &str) -> &'static str {
    match (name, verdict) {
        ("MAXIMUM", "ADDED") => "MAXIMUM_ADDED",
        ("MAXIMUM", _) => "MAXIMUM_DECREASED",
        ("MINIMUM", "ADDED") => "MINIMUM_ADDED",
        ("MINIMUM", _) => "MINIMUM_INCREASED",
        ("MAX_LENGTH", "ADDED") => "MAX_LENGTH_ADDED",
        ("MAX_LENGTH", _) => "MAX_LENGTH_DECREASED",
        ("MIN_LENGTH", "ADDED") => "MIN_LENGTH_ADDED",
        ("MIN_LENGTH", _) => "MIN_LENGTH_INCREASED",
        ("MAX_ITEMS", "ADDED") => "MAX_ITEMS_ADDED",
        ("MAX_ITEMS", _) => "MAX_ITEMS_DECREASED",
        ("MIN_ITEMS", "ADDED") => "MIN_ITEMS_ADDED",
        ("MIN_ITEMS", _) => "MIN_ITEMS_INCREASED",
        ("MAX_PROPERTIES", "ADDED") => "MAX_PROPERTIES_ADDED",
        ("MAX_PROPERTIES", _) => "MAX_PROPERTIES_DECREASED",
        ("MIN_PROPERTIES", "ADDED") => "MIN_PROPERTIES_ADDED",
        _ => "MIN_PROPERTIES_INCREASED",
    }
}
