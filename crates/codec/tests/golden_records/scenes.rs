//! The settings that were recorded, as `xtask/src/golden/scenes.rs` has them for Debezium.

use cdc_codec::debezium::Options;
use serde_json::{Value as Json, json};

/// Name, first part of the topics, options beyond those that all scenes have.
pub(crate) const SCENES: [(&str, &str, &str); 13] = [
    ("defaults", "srv", r#"{"transaction_metadata":true}"#),
    (
        "text",
        "srv",
        r#"{"decimals":"string","times":"isostring","binary":"hex","intervals":"string","hstore":"map"}"#,
    ),
    ("double", "srv", r#"{"decimals":"double","times":"connect","binary":"base64"}"#),
    (
        "microseconds",
        "srv",
        r#"{"times":"microseconds","binary":"base64-url-safe","placeholder":"gone"}"#,
    ),
    (
        "nanoseconds",
        "9-s_x",
        r#"{"times":"nanoseconds","schema_names":"avro","field_names":"avro"}"#,
    ),
    (
        "adaptive-time",
        "9-s_x",
        r#"{"times":"adaptive_time_microseconds","schema_names":"avro_unicode",
            "field_names":"avro_unicode","tombstones":false,"context_headers":false}"#,
    ),
    ("without-schemas", "srv", r#"{"schemas":false}"#),
    ("unwrap", "srv", r#"{"unwrap":{}}"#),
    (
        "unwrap-rewrite",
        "srv",
        r#"{"unwrap":{"add_fields":"op,table,source.ts_ms,lsn:position,nothing",
            "add_headers":"op,source.lsn,nothing","deletes":"rewrite-with-tombstone"}}"#,
    ),
    (
        "unwrap-delete-to-tombstone",
        "srv",
        r#"{"unwrap":{"add_fields":"source.db","add_fields_prefix":"meta_",
            "deletes":"delete-to-tombstone"}}"#,
    ),
    (
        "unwrap-drop",
        "srv",
        r#"{"transaction_metadata":true,"unwrap":{"add_fields":"transaction.id,ts_us",
            "add_headers":"lsn:position","add_headers_prefix":"","deletes":"drop"}}"#,
    ),
    ("cloudevents", "srv", r#"{"cloud_events":true,"transaction_metadata":true}"#),
    ("cloudevents-without-schemas", "srv", r#"{"cloud_events":true,"schemas":false}"#),
];

/// A scene's options.
pub(crate) fn options(text: &str) -> Options {
    let mut options = json!({"truncates": true, "headers": "json"});
    let Json::Object(own) = serde_json::from_str(text).unwrap() else { panic!("an object") };
    options.as_object_mut().unwrap().extend(own);
    serde_json::from_value(options).unwrap()
}
