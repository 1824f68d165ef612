//! The way from one schema to another: what changes, which of it is safe, and who is upgraded first.

use crate::{
    compatibility::{Finding, Level, reads},
    schema::Schema,
};
use serde::Serialize;
use std::{collections::BTreeSet, fmt};

/// Who must be upgraded before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Old and new read each other's data.
    Any,
    /// The new schema reads old data, and not the other way round.
    ConsumersFirst,
    /// The old schema reads new data, and not the other way round.
    ProducersFirst,
    /// Neither reads the other's data.
    Breaking,
}

impl Order {
    fn of(backward: bool, forward: bool) -> Self {
        match (backward, forward) {
            (true, true) => Self::Any,
            (true, false) => Self::ConsumersFirst,
            (false, true) => Self::ProducersFirst,
            (false, false) => Self::Breaking,
        }
    }

    /// What to do, in words.
    #[must_use]
    pub fn instruction(self) -> &'static str {
        match self {
            Self::Any => "upgrade consumers and producers in any order",
            Self::ConsumersFirst => "upgrade every consumer, then the producers",
            Self::ProducersFirst => {
                "upgrade every producer, wait until old records have been read, \
                                     then upgrade the consumers"
            }
            Self::Breaking => "no order works: change it as below, or write to a new topic",
        }
    }
}

/// One line: what came, what went, what changed.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, was, is, .. } = self;
        match (was, is) {
            (None, Some(is)) => write!(f, "+ {place}  {is}"),
            (Some(was), None) => write!(f, "- {place}  {was}"),
            (Some(was), Some(is)) => write!(f, "~ {place}  {was}  →  {is}"),
            (None, None) => write!(f, "~ {place}"),
        }
    }
}

/// One thing that is different.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Where, by names.
    pub place: String,
    /// What was there.
    pub was: Option<String>,
    /// What is there now.
    pub is: Option<String>,
    /// Who must be upgraded before whom.
    pub order: Order,
    /// Why not in any order.
    pub reasons: Vec<String>,
    /// What would make it safe.
    pub advice: Vec<&'static str>,
}

/// Steps that are made together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Who must be upgraded before whom.
    pub order: Order,
    /// Places that change.
    pub places: Vec<String>,
}

/// The way from one schema to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Who must be upgraded before whom if everything is changed at once.
    pub order: Order,
    /// Levels at which a registry takes the change.
    pub levels: Vec<Level>,
    /// Everything that is different.
    pub steps: Vec<Step>,
    /// Changes to make one after the other, each with its own order; the last may be breaking.
    pub moves: Vec<Move>,
}

/// Plans the way from `old` to `new`.
#[must_use]
pub fn plan(old: &Schema, new: &Schema) -> Plan {
    let (backward, forward) = (reads(new, old), reads(old, new));
    let mut steps = differences(old, new);
    // A finding may be about a place that looks the same, like a type that is used there.
    let places: Vec<String> = steps.iter().map(|step| step.place.clone()).collect();
    let mut backward_at = BTreeSet::new();
    let mut forward_at = BTreeSet::new();
    for (findings, at, told) in [
        (&backward, &mut backward_at, "the new schema cannot read old data"),
        (&forward, &mut forward_at, "the old schema cannot read new data"),
    ] {
        for finding in findings {
            let place = place_of(finding, &places);
            let known = steps.iter_mut().find(|step| step.place == place);
            let reason = format!("{told}: {}", finding.message);
            let advice = advice(finding.kind);
            at.insert(place.clone());
            match known {
                Some(step) => add(step, reason, advice),
                None => {
                    let mut step = bare(place);
                    add(&mut step, reason, advice);
                    steps.push(step);
                }
            }
        }
    }
    for step in &mut steps {
        let broken = |at: &BTreeSet<String>| at.contains(&step.place);
        step.order = Order::of(!broken(&backward_at), !broken(&forward_at));
    }
    let (backward, forward) = (backward.is_empty(), forward.is_empty());
    let passes = |level: &Level| (!level.backward() || backward) && (!level.forward() || forward);
    let levels = Level::ALL.into_iter().filter(passes).collect();
    let moves = moves(&steps);
    Plan { order: Order::of(backward, forward), levels, steps, moves }
}

fn bare(place: String) -> Step {
    Step { place, was: None, is: None, order: Order::Any, reasons: Vec::new(), advice: Vec::new() }
}

fn add(step: &mut Step, reason: String, advice: &'static str) {
    if !step.reasons.contains(&reason) {
        step.reasons.push(reason);
    }
    if !step.advice.contains(&advice) {
        step.advice.push(advice);
    }
}

fn differences(old: &Schema, new: &Schema) -> Vec<Step> {
    let (was, is) = (old.listing(), new.listing());
    let places: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let changed = places.into_iter().filter(|place| was.get(*place) != is.get(*place));
    let steps = changed.map(|place| Step {
        was: was.get(place).cloned(),
        is: is.get(place).cloned(),
        ..bare(place.clone())
    });
    steps.collect()
}

/// The changed place that a finding is about: itself, or the one that it is in.
fn place_of(finding: &Finding, places: &[String]) -> String {
    let place = finding.place.replacen("/required/", "/properties/", 1);
    let inside = |outer: &&String| {
        place
            .strip_prefix(outer.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.', '#']))
    };
    let outer = places.iter().filter(inside).max_by_key(|outer| outer.len());
    match outer {
        Some(outer) => outer.clone(),
        None if place.is_empty() => "(schema)".to_owned(),
        None => place,
    }
}

/// Safe steps go with whatever comes first.
fn moves(steps: &[Step]) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    for order in [Order::ConsumersFirst, Order::ProducersFirst, Order::Breaking] {
        let of_order = steps.iter().filter(|step| step.order == order);
        let places: Vec<String> = of_order.map(|step| step.place.clone()).collect();
        if !places.is_empty() {
            moves.push(Move { order, places });
        }
    }
    let safe = steps.iter().filter(|step| step.order == Order::Any);
    let safe: Vec<String> = safe.map(|step| step.place.clone()).collect();
    match moves.first_mut() {
        Some(first) if first.order != Order::Breaking => {
            first.places.splice(0..0, safe);
        }
        _ if !safe.is_empty() => moves.insert(0, Move { order: Order::Any, places: safe }),
        _ => {}
    }
    moves
}

fn advice(kind: &str) -> &'static str {
    match kind {
        "READER_FIELD_MISSING_DEFAULT_VALUE" => {
            "give the field a default: a field that is added needs one for old data, and a field that \
             goes needs one in the version before"
        }
        "NAME_MISMATCH" => "keep the name, or give the new one the old one as an alias",
        "MISSING_ENUM_SYMBOLS" => "give the enum a default symbol in a version before",
        "MISSING_UNION_BRANCH" => {
            "let every reader have the wider union before anyone writes it, and narrow it only when \
             no such data is left"
        }
        "REQUIRED_ATTRIBUTE_ADDED"
        | "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL"
        | "REQUIRED_FIELD_ADDED"
        | "REQUIRED_FIELD_REMOVED" => "leave it optional, or give it a default",
        "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL" => {
            "close the content model first (additionalProperties: false), or let the property hold \
             anything"
        }
        "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL" | "ADDITIONAL_PROPERTIES_REMOVED" => {
            "leave the content model open (additionalProperties) until the data is gone"
        }
        "MESSAGE_REMOVED" => "keep the message; it costs nothing",
        "PACKAGE_CHANGED" => "keep the package, or write to a new topic",
        "SCHEMA_TYPE_CHANGED" => "keep the language, or write to a new topic",
        "ONEOF_FIELD_REMOVED"
        | "MULTIPLE_FIELDS_MOVED_TO_ONEOF"
        | "FIELD_MOVED_TO_EXISTING_ONEOF" => {
            "leave the oneof as it is, and add new fields beside it"
        }
        kind if kind.starts_with("MAX") || kind.starts_with("MIN") || kind.starts_with("ENUM") => {
            "widen the limit for all readers first, and narrow it only when no such data is left"
        }
        _ => {
            "add a new field with the new type, write both, move the readers, then remove the old one"
        }
    }
}
