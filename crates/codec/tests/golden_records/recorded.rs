//! What was recorded.

use bytes::Bytes;
use cdc_codec::row;
use cdc_core::{Change, Position, TableSchema};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn lines(name: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What our source read.
pub(crate) fn changes() -> Vec<Change> {
    let mut schemas: BTreeMap<u64, Arc<TableSchema>> = BTreeMap::new();
    let mut transaction = None;
    let mut changes = Vec::new();
    for mut line in lines("changes.jsonl") {
        if let Some(number) = line["schema"].as_u64() {
            let schema = serde_json::from_value(line["is"].take()).unwrap();
            schemas.insert(number, Arc::new(schema));
            continue;
        }
        let position: Position = line["position"].as_str().unwrap().parse().unwrap();
        let hex = line["change"].as_str().unwrap();
        let octet = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let record: Bytes = (0..hex.len()).step_by(2).map(octet).collect::<Vec<u8>>().into();
        let row::Kind::Change(number) = row::kind(&record).unwrap() else { panic!("a change") };
        let schema = &schemas[&u64::from(number.0)];
        changes.push(row::decode_change(&record, position, schema, &mut transaction).unwrap());
    }
    changes
}

/// What Debezium sent, by topic.
pub(crate) fn records(scene: &str) -> BTreeMap<String, Vec<Json>> {
    let mut schemas = BTreeMap::new();
    let mut topics: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for mut line in lines(&format!("{scene}.jsonl")) {
        if let Some(number) = line["schema"].as_u64() {
            schemas.insert(number, line["is"].take());
            continue;
        }
        give_schemas(&mut line, &schemas);
        let topic = line["topic"].as_str().unwrap().to_owned();
        line.as_object_mut().unwrap().remove("topic");
        topics.entry(topic).or_default().push(line);
    }
    topics
}

fn give_schemas(json: &mut Json, schemas: &BTreeMap<u64, Json>) {
    let Some(object) = json.as_object_mut() else { return };
    if let Some(number) = object.get("schema").and_then(Json::as_u64) {
        object.insert("schema".to_owned(), schemas[&number].clone());
        return;
    }
    for (name, part) in object {
        if matches!(name.as_str(), "key" | "value" | "headers" | "data") || name.starts_with("__") {
            give_schemas(part, schemas);
        }
    }
}
