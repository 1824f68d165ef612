//! Reads `cases/*.json`. Each case has the earlier schemas, a new one, and whether the new one reads
//! what the latest wrote (`backward`) and the other way round (`forward`); where the transitive levels
//! answer differently, `backward_transitive` and `forward_transitive` say so.

use cdc_registry::{Level, Schema, SchemaType, check};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) earlier: Vec<Value>,
    pub(crate) new: Value,
    backward: bool,
    forward: bool,
    backward_transitive: Option<bool>,
    forward_transitive: Option<bool>,
}

impl Case {
    pub(crate) fn accepts(&self, level: Level) -> bool {
        let backward_all = self.backward && self.backward_transitive.unwrap_or(true);
        let forward_all = self.forward && self.forward_transitive.unwrap_or(true);
        match level {
            Level::None => true,
            Level::Backward => self.backward,
            Level::BackwardTransitive => backward_all,
            Level::Forward => self.forward,
            Level::ForwardTransitive => forward_all,
            Level::Full => self.backward && self.forward,
            Level::FullTransitive => backward_all && forward_all,
        }
    }
}

/// A schema of the table as text: Protobuf is written as text already.
pub(crate) fn text(schema: &Value) -> String {
    match schema {
        Value::String(text) => text.clone(),
        schema => schema.to_string(),
    }
}

pub(crate) fn cases(schema_type: SchemaType) -> Vec<Case> {
    let text = match schema_type {
        SchemaType::Avro => include_str!("cases/avro.json"),
        SchemaType::Json => include_str!("cases/json.json"),
        SchemaType::Protobuf => include_str!("cases/protobuf.json"),
    };
    serde_json::from_str(text).unwrap()
}

fn run(schema_type: SchemaType) {
    let mut wrong = Vec::new();
    for case in cases(schema_type) {
        let parse = |schema: &Value| {
            Schema::parse(schema_type, &text(schema), &[])
                .unwrap_or_else(|error| panic!("{}: {error}", case.name))
        };
        let earlier: Vec<Schema> = case.earlier.iter().map(parse).collect();
        let earlier: Vec<&Schema> = earlier.iter().collect();
        let new = parse(&case.new);
        for level in Level::ALL {
            let breaches = check(level, &new, &earlier);
            if breaches.is_empty() != case.accepts(level) {
                wrong.push(format!("{}: {level}: {breaches:#?}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn avro_changes_pass_at_the_levels_of_the_table() {
    run(SchemaType::Avro);
}

#[test]
fn json_changes_pass_at_the_levels_of_the_table() {
    run(SchemaType::Json);
}

#[test]
fn protobuf_changes_pass_at_the_levels_of_the_table() {
    run(SchemaType::Protobuf);
}

/// Every Avro schema of the table is one for another implementation of Avro too.
#[test]
fn another_implementation_reads_the_avro_schemas_of_the_table() {
    for case in cases(SchemaType::Avro) {
        for schema in case.earlier.iter().chain([&case.new]) {
            let text = text(schema);
            let ours = Schema::parse(SchemaType::Avro, &text, &[]).unwrap();
            for text in [text, ours.canonical(), ours.normalized()] {
                apache_avro::Schema::parse_str(&text)
                    .unwrap_or_else(|error| panic!("{}: {text}: {error}", case.name));
            }
        }
    }
}
