//! The text of a JSON Schema, read and checked.

use crate::schema::{Invalid, Referenced};
use jsonschema::{Registry, Resource};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where a schema without a name of its own is taken to be.
const HERE: &str = "cdc:///schema";

/// A JSON Schema and the schemas that it refers to.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    pub(super) root: Value,
    /// By the names that references use.
    pub(super) referenced: BTreeMap<String, Value>,
}

impl Schema {
    /// Reads a text; references may lead into other schemas by their names.
    pub fn parse(text: &str, referenced: &[Referenced]) -> Result<Self, Invalid> {
        let root = value(text)?;
        let mut others = BTreeMap::new();
        for other in referenced {
            let value = value(&other.text).map_err(|problem| problem.at(&other.name))?;
            others.insert(other.name.clone(), value);
        }
        let schema = Self { root, referenced: others };
        schema.check()?;
        Ok(schema)
    }

    /// The text without layout.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.root.to_string()
    }

    /// The text without layout, keys sorted.
    #[must_use]
    pub fn normalized(&self) -> String {
        sorted(&self.root).to_string()
    }

    fn check(&self) -> Result<(), Invalid> {
        let told = |error: &dyn std::fmt::Display| Invalid::new(error.to_string());
        if let Err(error) = jsonschema::meta::validate(&self.root) {
            // The message would quote the value; the place says enough.
            let place = error.instance_path().to_string();
            let place = if place.is_empty() { "the schema".to_owned() } else { place };
            let message = "what stands here is not what the language asks for";
            return Err(Invalid::new(message).at(&place));
        }
        // A name is relative to the schema that uses it, which may say that it is elsewhere.
        let folder = id_of(&self.root).and_then(|id| Some(id.rsplit_once('/')?.0));
        let folders = ["cdc://"].into_iter().chain(folder.filter(|folder| folder.contains(':')));
        let folders: Vec<&str> = folders.collect();
        let mut registry = Registry::new();
        for (name, value) in &self.referenced {
            let uris = match name.contains(':') {
                true => vec![name.clone()],
                false => folders.iter().map(|folder| format!("{folder}/{name}")).collect(),
            };
            for uri in uris {
                registry = registry
                    .add(uri, Resource::from_contents(value.clone()))
                    .map_err(|error| told(&error))?;
            }
        }
        let registry = registry.prepare().map_err(|error| told(&error))?;
        jsonschema::options()
            .with_base_uri(HERE)
            .with_registry(&registry)
            .build(&self.root)
            .map(drop)
            .map_err(|error| told(&error))
    }

    /// What a reference of a document leads to, and the document that it is in.
    pub(super) fn follow<'a>(
        &'a self,
        document: &'a Value,
        reference: &str,
    ) -> Option<(&'a Value, &'a Value)> {
        let (name, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let document = if name.is_empty() || id_of(document) == Some(name) {
            document
        } else if id_of(&self.root) == Some(name) {
            &self.root
        } else {
            self.referenced
                .get(name)
                .or_else(|| self.referenced.values().find(|other| id_of(other) == Some(name)))?
        };
        let target = if fragment.is_empty() {
            Some(document)
        } else if fragment.starts_with('/') {
            document.pointer(&decoded(fragment))
        } else {
            anchored(document, fragment)
        };
        target.map(|target| (target, document))
    }

    /// Every property with what it allows.
    #[must_use]
    pub fn listing(&self) -> BTreeMap<String, String> {
        let mut listing = BTreeMap::new();
        list(&self.root, "#", &mut listing);
        listing
    }
}

/// Every subschema that has a name, and what stands there besides other named subschemas.
fn list(value: &Value, path: &str, listing: &mut BTreeMap<String, String>) {
    const INNER: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
    let Value::Object(object) = value else {
        listing.insert(path.to_owned(), value.to_string());
        return;
    };
    let apart = |key: &str| INNER.contains(&key) || key == "required";
    let own = object.iter().filter(|(key, _)| !apart(key));
    let own: Map<String, Value> = own.map(|(key, value)| (key.clone(), sorted(value))).collect();
    listing.insert(path.to_owned(), sorted(&Value::Object(own)).to_string());
    for inner in INNER {
        let Some(Value::Object(named)) = object.get(inner) else { continue };
        for (name, value) in named {
            list(value, &format!("{path}/{inner}/{name}"), listing);
        }
    }
    // That a property must be there is told where the property is.
    let required = object.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        let property = listing.entry(format!("{path}/properties/{name}")).or_default();
        property.push_str(" required");
    }
}

fn value(text: &str) -> Result<Value, Invalid> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Invalid::new(format!("the text is not JSON: {error}")))?;
    match value {
        Value::Object(_) | Value::Bool(_) => Ok(value),
        _ => Err(Invalid::new("a JSON Schema is an object, true or false")),
    }
}

fn id_of(document: &Value) -> Option<&str> {
    let id = document.get("$id").or_else(|| document.get("id"))?.as_str()?;
    Some(id.trim_end_matches('#'))
}

/// Percent-encoded letters of a fragment as they are meant.
fn decoded(fragment: &str) -> String {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn anchored<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Object(object) => {
            let is = |key: &str, text: &str| object.get(key).and_then(Value::as_str) == Some(text);
            if is("$anchor", name) || is("$dynamicAnchor", name) || is("$id", &format!("#{name}")) {
                return Some(value);
            }
            object.values().find_map(|inner| anchored(inner, name))
        }
        Value::Array(list) => list.iter().find_map(|inner| anchored(inner, name)),
        _ => None,
    }
}

pub(super) fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect()
        }
        Value::Array(list) => list.iter().map(sorted).collect(),
        scalar => scalar.clone(),
    }
}
