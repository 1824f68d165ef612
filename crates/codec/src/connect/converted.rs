//! What Confluent's converters made of the same records, as `tests/converters/record.sh` recorded it.

use super::sample::Told;
use super::{Kind, Misfit, Schema, avro, protobuf, read};
use crate::debezium::{Decoded, Decoder};
use cdc_core::Position;
use serde_json::{Value as Json, json};
use std::path::Path;

/// A record, and what a converter made of it.
struct Case {
    name: String,
    schema: Schema,
    value: Told,
    text: Option<String>,
    bytes: Vec<u8>,
}

fn lines(name: &str) -> Vec<Json> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/converters").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn cases(converter: &str) -> Vec<Case> {
    let (given, converted) = (lines("given.jsonl"), lines("converted.jsonl"));
    assert_eq!(given.len(), converted.len());
    given
        .iter()
        .zip(&converted)
        .map(|(given, converted)| {
            assert_eq!(given["name"], converted["name"]);
            let schema = read(&given["schema"]).unwrap();
            let value = Told::of_json(&schema, &given["payload"]);
            let made = &converted[converter];
            let hex = made["bytes"].as_str().unwrap_or_default();
            Case {
                name: given["name"].as_str().unwrap().to_owned(),
                schema,
                value,
                text: made["schema"].as_str().map(str::to_owned),
                bytes: octets(hex),
            }
        })
        .collect()
}

fn octets(hex: &str) -> Vec<u8> {
    let digit = |at: usize| char::from(hex.as_bytes()[at]).to_digit(16).unwrap();
    let octet = |at: usize| u8::try_from(digit(at) * 16 + digit(at + 1)).unwrap();
    (0..hex.len()).step_by(2).map(octet).collect()
}

/// What the recording cannot say.
fn is_told_otherwise(name: &str) -> bool {
    // Null alone is no record of Kafka's at all: it is a tombstone.
    name == "optional string key" || name == "optional struct null"
    // Connect's own reader of JSON takes NaN and infinity for zero.
    || name.contains(".extremes value")
}

#[test]
fn avro_is_what_the_converter_makes() {
    let mut seen = 0;
    for case in cases("avro") {
        if is_told_otherwise(&case.name) {
            continue;
        }
        let plan = avro::Plan::new(&case.schema);
        // Its parser refuses this name, other parsers refuse it in a namespace, too.
        if case.text.is_none() || case.name == "bad name" {
            assert!(plan.is_err(), "{}", case.name);
            continue;
        }
        let plan = plan.unwrap();
        assert_eq!(plan.text(), case.text.unwrap(), "{}", case.name);
        let mut out = Vec::new();
        let mut writer = avro::AvroWriter::new(&plan, &mut out);
        // The converter was asked to write defaults for null; we write what is there.
        case.value.settled(&case.schema).tell(&mut writer);
        assert_eq!((writer.finish(), &out), (Ok(()), &case.bytes), "{}", case.name);
        let reader = avro::Reader::new(plan.text()).unwrap();
        assert_eq!(reader.schema(), &case.schema, "{}", case.name);
        let mut json = Vec::new();
        reader.json(&out, &mut json).unwrap();
        let json: Json = serde_json::from_slice(&json).unwrap();
        assert_eq!(super::read(&json["schema"]), Ok(case.schema.clone()), "{}", case.name);
        let read = Told::of_json(&case.schema, &json["payload"]);
        assert_eq!(read, case.value.settled(&case.schema), "{}", case.name);
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

fn protobuf_is_like(converter: &str, nullables: protobuf::Nullables, least: usize) {
    let mut seen = 0;
    for case in cases(converter) {
        let plan = protobuf::Plan::new(&case.schema, nullables);
        if is_told_otherwise(&case.name) || is_other_in_protobuf(&case) {
            continue;
        }
        let plan = plan.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        if let Some(text) = &case.text {
            assert_eq!(plan.text(), text, "{}", case.name);
        }
        let mut out = Vec::new();
        let written = plan.write(7, &mut out, |writer| {
            // As above.
            case.value.settled(&case.schema).tell(writer);
            Ok::<_, Misfit>(())
        });
        assert_eq!(written, Ok(()), "{}", case.name);
        assert_eq!(&out[5..], case.bytes, "{}", case.name);
        seen += 1;
    }
    assert!(seen >= least, "{seen}");
}

/// What the converter fails on, and what it does that nobody could want.
fn is_other_in_protobuf(case: &Case) -> bool {
    let name = case.name.as_str();
    // Values alone are wrapped in messages of Google's; Debezium has none.
    !matches!(case.schema.kind, Kind::Struct(_))
        || name == "bad name"
        || name == "maps with other keys"
        || case.bytes.is_empty()
}

#[test]
fn protobuf_is_what_the_converter_makes() {
    protobuf_is_like("protobuf", protobuf::Nullables::Plain, 40);
}

#[test]
fn protobuf_with_optional_is_what_the_converter_makes() {
    protobuf_is_like("protobuf_optional", protobuf::Nullables::Optional, 40);
}

#[test]
fn changes_of_avro_are_those_of_json() {
    let decode = |bytes: &[u8]| {
        let mut decoder = Decoder::new("__debezium_unavailable_value");
        decoder.decode(None, Some(bytes), Position::new(1, 1))
    };
    let mut seen = 0;
    for (case, given) in cases("avro").into_iter().zip(lines("given.jsonl")) {
        let Some(text) = &case.text else { continue };
        if !case.name.contains(" value ") || is_told_otherwise(&case.name) {
            continue;
        }
        let mut json = Vec::new();
        avro::Reader::new(text).unwrap().json(&case.bytes, &mut json).unwrap();
        let given = json!({"schema": given["schema"], "payload": given["payload"]}).to_string();
        let read = decode(&json);
        assert_eq!(format!("{read:?}"), format!("{:?}", decode(given.as_bytes())), "{}", case.name);
        seen += usize::from(matches!(read, Ok(Decoded::Change(_))));
    }
    assert!(seen > 10, "{seen}");
}
