//! Objects and arrays: which properties and items are allowed, and which must be there.
//!
//! A content model is open when properties that nobody named are allowed whatever they hold. A new
//! property narrows an open model, and a property that goes widens it; in a closed model it is the
//! other way round.

use super::{
    compatibility::Check,
    shape::{Part, Shape},
};
use crate::compatibility::Findings;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

type Keywords = Map<String, Value>;
type Side<'a> = (Part<'a>, &'a Keywords);

static EVERYTHING: Value = Value::Bool(true);
static NOTHING: Value = Value::Bool(false);

pub(super) fn compare_objects(check: &mut Check, old: Side<'_>, new: Side<'_>) -> Findings {
    let mut findings = required(check, old.1, new);
    findings.extend(check.within("properties", |check| properties(check, old, new)));
    findings.extend(patterns(check, old, new));
    findings.extend(check.within("additionalProperties", |check| {
        rest(check, old, new, "additionalProperties", "ADDITIONAL_PROPERTIES_REMOVED")
    }));
    findings.extend(dependencies(check, old, new));
    findings.extend(check.upper(old.1, new.1, "maxProperties", "MAX_PROPERTIES"));
    findings.extend(check.lower(old.1, new.1, "minProperties", "MIN_PROPERTIES"));
    findings.extend(check.same(old.1, new.1, "propertyNames"));
    findings.extend(check.same(old.1, new.1, "unevaluatedProperties"));
    findings
}

fn named<'a>(keywords: &'a Keywords, key: &str) -> Option<&'a Keywords> {
    keywords.get(key).and_then(Value::as_object)
}

fn property<'a>(keywords: &'a Keywords, name: &str) -> Option<&'a Value> {
    named(keywords, "properties")?.get(name)
}

fn required_names(keywords: &Keywords) -> BTreeSet<&str> {
    let list = keywords.get("required").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn required(check: &mut Check, old: &Keywords, new: Side<'_>) -> Findings {
    let before = required_names(old);
    let mut findings = Findings::new();
    for name in required_names(new.1) {
        let is_new_property = property(new.1, name).is_some() && property(old, name).is_none();
        let has_default =
            property(new.1, name).is_some_and(|value| new.0.inner(value).has_default());
        if before.contains(name) || has_default || is_new_property {
            continue;
        }
        findings.extend(check.within("required", |check| {
            check.within(name, |check| {
                let message = format!("{name} must be there now and has no default");
                check.found("REQUIRED_ATTRIBUTE_ADDED", message)
            })
        }));
    }
    findings
}

fn properties(check: &mut Check, old: Side<'_>, new: Side<'_>) -> Findings {
    let keys = |keywords: &'_ Keywords| -> BTreeSet<String> {
        named(keywords, "properties").into_iter().flat_map(Map::keys).cloned().collect()
    };
    let mut findings = Findings::new();
    for name in keys(old.1).union(&keys(new.1)) {
        findings.extend(check.within(name, |check| {
            match (property(old.1, name), property(new.1, name)) {
                (Some(was), Some(is)) => check.compare(old.0.inner(was), new.0.inner(is)),
                (Some(was), None) => removed(check, old.0.inner(was), new, name),
                (None, Some(is)) => added(check, old, new.0.inner(is), new.1, name),
                (None, None) => Findings::new(),
            }
        }));
    }
    findings
}

fn removed(check: &mut Check, was: Part<'_>, new: Side<'_>, name: &str) -> Findings {
    let Some(covering) = uncommon(new.1, name) else {
        if matches!(was.shape(), Shape::Never) {
            return Findings::new();
        }
        let message = format!("{name} is not allowed any more");
        return check.found("PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL", message);
    };
    if check.fits(was, new.0.inner(covering)) {
        return Findings::new();
    }
    let message = format!("what {name} held is not allowed by what remains");
    check.found("PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL", message)
}

fn added(check: &mut Check, old: Side<'_>, is: Part<'_>, new: &Keywords, name: &str) -> Findings {
    if let Some(covering) = uncommon(old.1, name)
        && !check.fits(old.0.inner(covering), is)
    {
        let (kind, message) = if is_open(old.1) {
            (
                "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL",
                format!("{name} could hold anything before, because nobody had named it"),
            )
        } else {
            (
                "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL",
                format!("{name} could hold something else before"),
            )
        };
        return check.found(kind, message);
    }
    if required_names(new).contains(name)
        && !required_names(old.1).contains(name)
        && !is.has_default()
    {
        let message = format!("{name} must be there now and has no default");
        return check.found("REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL", message);
    }
    Findings::new()
}

/// What a property may hold that is not among `properties`; `None` when it may not be there.
fn uncommon<'a>(keywords: &'a Keywords, name: &str) -> Option<&'a Value> {
    let patterns = named(keywords, "patternProperties").into_iter().flatten();
    let covering = patterns.into_iter().find(|(pattern, _)| matches(pattern, name));
    match covering {
        Some((_, value)) => Some(value),
        None => match keywords.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(value) => Some(value),
            None => Some(&EVERYTHING),
        },
    }
}

fn is_open(keywords: &Keywords) -> bool {
    named(keywords, "patternProperties").is_none_or(Map::is_empty)
        && matches!(keywords.get("additionalProperties"), None | Some(Value::Bool(true)))
}

fn matches(pattern: &str, name: &str) -> bool {
    let schema = serde_json::json!({ "pattern": pattern });
    jsonschema::is_valid(&schema, &Value::from(name))
}

fn patterns(check: &mut Check, old: Side<'_>, new: Side<'_>) -> Findings {
    let empty = Map::new();
    let was = named(old.1, "patternProperties").unwrap_or(&empty);
    let is = named(new.1, "patternProperties").unwrap_or(&empty);
    let mut findings = Findings::new();
    for (pattern, value) in is {
        let before = match (was.get(pattern), old.1.get("additionalProperties")) {
            (Some(before), _) => before,
            (None, Some(Value::Bool(false))) => continue,
            (None, before) => before.unwrap_or(&EVERYTHING),
        };
        findings.extend(check.within("patternProperties", |check| {
            check.within(pattern, |check| check.compare(old.0.inner(before), new.0.inner(value)))
        }));
    }
    for (pattern, value) in was.iter().filter(|(pattern, _)| !is.contains_key(*pattern)) {
        let after = new.1.get("additionalProperties").unwrap_or(&EVERYTHING);
        findings.extend(check.within("patternProperties", |check| {
            check.within(pattern, |check| check.compare(old.0.inner(value), new.0.inner(after)))
        }));
    }
    findings
}

/// Properties or items that nobody named.
fn rest(
    check: &mut Check,
    old: Side<'_>,
    new: Side<'_>,
    key: &str,
    removed: &'static str,
) -> Findings {
    let was = old.1.get(key).unwrap_or(&EVERYTHING);
    let is = new.1.get(key).unwrap_or(&EVERYTHING);
    match (was, is) {
        (Value::Bool(false), _) => Findings::new(),
        (_, Value::Bool(false)) => check.found(removed, "nothing more is allowed now".to_owned()),
        (was, is) => check.compare(old.0.inner(was), new.0.inner(is)),
    }
}

/// `dependencies`, and what replaced it in later drafts.
fn dependencies(check: &mut Check, old: Side<'_>, new: Side<'_>) -> Findings {
    let all = |keywords: &'_ Keywords| -> Vec<(String, Value)> {
        let keys = ["dependencies", "dependentRequired", "dependentSchemas"];
        let found = keys.into_iter().filter_map(|key| named(keywords, key));
        found.flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    let before = all(old.1);
    let mut findings = Findings::new();
    for (name, is) in all(new.1) {
        let was =
            before.iter().filter(|(other, was)| *other == name && was.is_array() == is.is_array());
        let was: Vec<&Value> = was.map(|(_, was)| was).collect();
        let kept = was.iter().any(|was| match (was.as_array(), is.as_array()) {
            (Some(was), Some(is)) => is.iter().all(|name| was.contains(name)),
            _ => **was == is,
        });
        if kept || is.as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let kind = match (was.is_empty(), is.is_array()) {
            (true, true) => "DEPENDENCY_ARRAY_ADDED",
            (true, false) => "DEPENDENCY_SCHEMA_ADDED",
            (false, true) => "DEPENDENCY_ARRAY_EXTENDED",
            (false, false) => "DEPENDENCY_SCHEMA_CHANGED",
        };
        findings.extend(check.within("dependencies", |check| {
            check.within(&name, |check| check.found(kind, format!("{name} asks for more")))
        }));
    }
    findings
}

pub(super) fn compare_arrays(check: &mut Check, old: Side<'_>, new: Side<'_>) -> Findings {
    let (was, is) = (places(old.1), places(new.1));
    let mut findings = Findings::new();
    for index in 0..was.first.len().max(is.first.len()) {
        let (Some(before), Some(after)) = (was.at(index), is.at(index)) else { continue };
        findings.extend(check.within("items", |check| {
            check.within(&index.to_string(), |check| {
                if *after == NOTHING && *before != NOTHING {
                    let message = "an item is not allowed any more".to_owned();
                    return check.found("ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL", message);
                }
                check.compare(old.0.inner(before), new.0.inner(after))
            })
        }));
    }
    findings.extend(check.within(is.rest_key, |check| match (was.rest, is.rest) {
        (Value::Bool(false), _) => Findings::new(),
        (_, Value::Bool(false)) => {
            check.found("ADDITIONAL_ITEMS_REMOVED", "nothing more is allowed now".to_owned())
        }
        (was, is) => check.compare(old.0.inner(was), new.0.inner(is)),
    }));
    findings.extend(check.upper(old.1, new.1, "maxItems", "MAX_ITEMS"));
    findings.extend(check.lower(old.1, new.1, "minItems", "MIN_ITEMS"));
    let unique = |keywords: &Keywords| keywords.get("uniqueItems") == Some(&EVERYTHING);
    if unique(new.1) && !unique(old.1) {
        findings.extend(check.within("uniqueItems", |check| {
            check.found("UNIQUE_ITEMS_ADDED", "items must differ now".to_owned())
        }));
    }
    for key in ["contains", "minContains", "maxContains", "unevaluatedItems"] {
        findings.extend(check.same(old.1, new.1, key));
    }
    findings
}

/// The items of an array: some by their place, the rest alike.
struct Places<'a> {
    first: &'a [Value],
    rest: &'a Value,
    rest_key: &'static str,
}

impl<'a> Places<'a> {
    fn at(&self, index: usize) -> Option<&'a Value> {
        Some(self.first.get(index).unwrap_or(self.rest))
    }
}

fn places(keywords: &Keywords) -> Places<'_> {
    let rest = |key: &str| keywords.get(key).unwrap_or(&EVERYTHING);
    if let Some(Value::Array(first)) = keywords.get("prefixItems") {
        return Places { first, rest: rest("items"), rest_key: "items" };
    }
    match keywords.get("items") {
        Some(Value::Array(first)) => {
            Places { first, rest: rest("additionalItems"), rest_key: "additionalItems" }
        }
        _ => Places { first: &[], rest: rest("items"), rest_key: "items" },
    }
}
