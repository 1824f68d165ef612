//! JSON Schemas of both files, for editors and for the reference.

use super::{
    kafka::BesideKafka,
    pipeline::{PipelineHead, SinkHead, SourceHead},
    platform::{DataDirectory, PlatformFile},
    unit::Unit,
};
use crate::catalog;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// JSON Schema of the pipeline file.
#[must_use]
pub fn pipeline_schema() -> Value {
    let mut schema = plain_pipeline_schema();
    allow_variables(&mut schema, None);
    schema
}

/// JSON Schema of the platform file.
#[must_use]
pub fn platform_schema() -> Value {
    let mut schema = plain_platform_schema();
    allow_variables(&mut schema, None);
    schema
}

/// The pipeline file without what variables and units add.
pub(super) fn plain_pipeline_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut root = object::<PipelineHead>(&mut generator);
    let mut source = object::<SourceHead>(&mut generator);
    for block in catalog::source_schemas(&mut generator) {
        merge(&mut source, block);
    }
    let mut sink = object::<SinkHead>(&mut generator);
    for (kind, block) in catalog::sink_schemas(&mut generator) {
        add_property(&mut sink, kind, Value::Object(block), false);
    }
    let sinks = json!({
        "description": "Where changes go. Each sink reads the log by itself: none delays another.",
        "type": "array",
        "minItems": 1,
        "items": sink,
    });
    add_property(&mut root, "source", Value::Object(source), true);
    add_property(&mut root, "sinks", sinks, true);
    finish(root, &mut generator, "pipeline.yaml")
}

/// The platform file without what variables and units add.
pub(super) fn plain_platform_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut root = object::<PlatformFile>(&mut generator);
    let mut embedded = object::<DataDirectory>(&mut generator);
    merge(&mut embedded, object::<cdc_transport_embedded::Config>(&mut generator));
    embedded.insert(
        "description".to_owned(),
        "The log on the disk of this machine, for `transport_mode: embedded`.".into(),
    );
    add_property(&mut root, "embedded", Value::Object(embedded), false);
    let mut kafka = object::<cdc_transport_kafka::Config>(&mut generator);
    merge(&mut kafka, object::<BesideKafka>(&mut generator));
    kafka.insert(
        "description".to_owned(),
        "The Kafka cluster, for `transport_mode: kafka`, and its schema registry.".into(),
    );
    add_property(&mut root, "kafka", Value::Object(kafka), false);
    finish(root, &mut generator, "platform.yaml")
}

/// The schema of a type, in place instead of by reference.
pub(crate) fn object<T: JsonSchema>(generator: &mut SchemaGenerator) -> Map<String, Value> {
    match T::json_schema(generator).to_value() {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn finish(root: Map<String, Value>, generator: &mut SchemaGenerator, title: &str) -> Value {
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".to_owned(), title.into());
    schema.extend(root);
    let definitions = generator.take_definitions(true);
    if !definitions.is_empty() {
        schema.insert("$defs".to_owned(), Value::Object(definitions));
    }
    let mut schema = Value::Object(schema);
    show_default_passwords(&mut schema);
    schema
}

fn add_property(schema: &mut Map<String, Value>, key: &str, value: Value, required: bool) {
    let properties = schema.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert(key.to_owned(), value);
    }
    if required {
        let keys = schema.entry("required").or_insert_with(|| json!([]));
        if let Some(keys) = keys.as_array_mut() {
            keys.push(key.into());
        }
    }
}

/// Adds the keys of another block; what describes the block itself stays as it is.
fn merge(into: &mut Map<String, Value>, mut from: Map<String, Value>) {
    let required: Vec<Value> = match from.remove("required") {
        Some(Value::Array(keys)) => keys,
        Some(_) | None => Vec::new(),
    };
    if let Some(Value::Object(properties)) = from.remove("properties") {
        for (key, value) in properties {
            let needed = required.iter().any(|needed| *needed == key.as_str());
            add_property(into, &key, value, needed);
        }
    }
    into.insert("additionalProperties".to_owned(), false.into());
}

/// The password that the contract gives every database connection without one.
const DEFAULT_PASSWORD: &str = "cdc_password";

/// The default of a password prints as `***`; what it is can be read in the contract.
fn show_default_passwords(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("default").and_then(Value::as_str) == Some("***") {
                object.insert("default".to_owned(), DEFAULT_PASSWORD.into());
            }
            object.values_mut().for_each(show_default_passwords);
        }
        Value::Array(items) => items.iter_mut().for_each(show_default_passwords),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Where a number or one of some words is expected, `${VAR}` is fine too; and where a key's name
/// tells its unit, so is `64 MiB`.
fn allow_variables(schema: &mut Value, key: Option<&str>) {
    let Value::Object(object) = schema else { return };
    for (name, inner) in object.iter_mut() {
        match (name.as_str(), inner) {
            ("properties" | "$defs", Value::Object(inner)) => {
                inner.iter_mut().for_each(|(key, inner)| allow_variables(inner, Some(key)));
            }
            ("items" | "additionalProperties", inner) => allow_variables(inner, key),
            _ => {}
        }
    }
    let unit = key.and_then(Unit::of_key).is_some();
    if is_restricted(object) {
        let pattern = if unit { r"\$\{|^\s*[0-9.]+\s*[A-Za-z]+\s*$" } else { r"\$\{" };
        let mut outer = Map::new();
        for name in ["description", "default"] {
            if let Some(value) = object.remove(name) {
                outer.insert(name.to_owned(), value);
            }
        }
        let inner = Value::Object(std::mem::take(object));
        outer.insert("anyOf".to_owned(), json!([inner, { "type": "string", "pattern": pattern }]));
        *object = outer;
    }
}

/// Does a schema refuse the text of a variable?
fn is_restricted(schema: &Map<String, Value>) -> bool {
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    let words = schema.contains_key("enum") || schema.contains_key("oneOf");
    let patterned = schema.contains_key("pattern") || schema.contains_key("format");
    let plain_text = types.contains(&"string") && !words && !patterned;
    let block = types.contains(&"object") || types.contains(&"array");
    !plain_text && !block && (words || !types.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_password_is_the_one_that_is_used() {
        let config = cdc_source_postgres::Config::new("shop");
        assert_eq!(config.password.expose(), DEFAULT_PASSWORD);
        let schema = plain_pipeline_schema();
        let shown = schema.pointer("/properties/source/properties/password/default");
        assert_eq!(shown.and_then(Value::as_str), Some(DEFAULT_PASSWORD));
    }
}
