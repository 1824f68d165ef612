//! What is written with a schema fits it, place by place: other formats are made of the same schemas.

use crate::golden_records::{changes, options, scenes};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cdc_codec::connect::{self, Kind, Schema};
use cdc_codec::debezium::Records;
use serde_json::Value as Json;
use std::time::UNIX_EPOCH;

/// Says where the JSON does not fit.
fn misfit(json: &Json, schema: &Schema, path: &str) -> Option<String> {
    let whole = |width: u32| {
        json.as_i64().is_some_and(|n| width == 64 || n.unsigned_abs() <= 1 << (width - 1))
    };
    let fits = match &schema.kind {
        _ if json.is_null() => schema.optional,
        Kind::Boolean => json.is_boolean(),
        Kind::Int8 => whole(8),
        Kind::Int16 => whole(16),
        Kind::Int32 => whole(32),
        Kind::Int64 => whole(64),
        Kind::Float32 | Kind::Float64 => {
            json.is_number() || matches!(json.as_str(), Some("NaN" | "Infinity" | "-Infinity"))
        }
        Kind::String => json.is_string(),
        Kind::Bytes => json.as_str().is_some_and(|text| STANDARD.decode(text).is_ok()),
        Kind::Array(items) => {
            let Some(array) = json.as_array() else { return Some(path.to_owned()) };
            return array.iter().find_map(|item| misfit(item, items, path));
        }
        Kind::Map(_, values) => {
            let Some(map) = json.as_object() else { return Some(path.to_owned()) };
            return map.values().find_map(|value| misfit(value, values, path));
        }
        Kind::Struct(fields) => {
            let Some(object) = json.as_object() else { return Some(path.to_owned()) };
            if !object.keys().eq(fields.iter().map(|field| &field.name)) {
                return Some(format!("{path}: other fields, or in another order"));
            }
            return fields.iter().zip(object.values()).find_map(|(field, value)| {
                misfit(value, &field.schema, &format!("{path}.{}", field.name))
            });
        }
    };
    (!fits).then(|| format!("{path}: {json}"))
}

#[test]
fn every_key_and_value_fits_the_schema_beside_it() {
    let mut checked = 0;
    for (scene, prefix, text) in scenes().filter(|(scene, _, _)| !scene.contains("cloudevents")) {
        let mut records = Records::new(prefix, "golden", options(text));
        let mut out = Vec::new();
        for change in changes() {
            // Refused changes have no record.
            let _refused = records.of(&change, UNIX_EPOCH, &mut out).is_err();
        }
        for bytes in out.iter().flat_map(|record| [&record.key, &record.value]).flatten() {
            let json: Json = serde_json::from_slice(bytes).unwrap();
            let Some(schema) = json.get("schema") else { continue };
            let schema = connect::read(schema).unwrap();
            assert_eq!(misfit(&json["payload"], &schema, ""), None, "{scene}");
            checked += 1;
        }
    }
    assert!(checked > 1_000, "{checked}");
}
