//! Records that Debezium wrote, read back.

use crate::golden_records::{changes, options, records, scenes};
use cdc_codec::connect::NameAdjustment;
use cdc_codec::debezium::{Decoded, Decoder, Encoder, ForeignError, Options};
use cdc_core::{Change, DataType, Operation, Position, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

const AT: Position = Position::new(7, 1);

fn decode(decoder: &mut Decoder, key: &Json, value: &Json) -> Result<Decoded, ForeignError> {
    let bytes = |json: &Json| (!json.is_null()).then(|| json.to_string().into_bytes());
    decoder.decode(bytes(key).as_deref(), bytes(value).as_deref(), AT)
}

fn change(decoder: &mut Decoder, key: &Json, value: &Json) -> Change {
    match decode(decoder, key, value).unwrap() {
        Decoded::Change(change) => *change,
        other => panic!("{other:?} of {value}"),
    }
}

#[test]
fn every_record_of_debezium_is_read_in_every_mode() {
    for (scene, _, text) in scenes().filter(|(scene, _, _)| !scene.contains("unwrap")) {
        if scene.contains("cloudevents") {
            continue;
        }
        let mut decoder = Decoder::new(&options(text).placeholder);
        let mut counted = 0;
        for (topic, record) in
            records(scene).iter().flat_map(|(topic, all)| all.iter().map(move |r| (topic, r)))
        {
            let decoded = decode(&mut decoder, &record["key"], &record["value"]);
            let about_tables = !topic.contains("heartbeat") && !topic.ends_with(".transaction");
            match decoded {
                Ok(Decoded::Change(_)) if about_tables => counted += 1,
                Ok(Decoded::Tombstone) if record["value"].is_null() => {}
                Ok(Decoded::Other) if !about_tables => {}
                other => panic!("{scene} {topic}: {other:?}"),
            }
        }
        assert!(counted > 40, "{scene}: {counted}");
    }
}

/// Columns whose type does not survive the way, in the form that it is written in.
fn without_lost(mut json: Json) -> Json {
    // Digits of a second; what was a set of pairs; octets that were written as text.
    for column in ["tsz0", "tsz2", "tsz3", "hs", "content"] {
        if let Some(row) = json.as_object_mut() {
            row.remove(column);
        }
    }
    json
}

#[test]
fn what_is_read_is_written_as_it_was() {
    for (scene, _, text) in scenes().filter(|(scene, _, _)| !scene.contains("unwrap")) {
        if scene.contains("cloudevents") || scene == "without-schemas" {
            continue;
        }
        let options = options(text);
        // Names are adjusted already.
        let again = Options {
            schema_names: NameAdjustment::None,
            field_names: NameAdjustment::None,
            ..options.clone()
        };
        let mut decoder = Decoder::new(&options.placeholder);
        let mut encoder = Encoder::with_options("srv", options);
        let mut second = Encoder::with_options("srv", again);
        for original in changes() {
            let Some((key, value)) = written(&mut encoder, &original) else { continue };
            let read = change(&mut decoder, &key, &value);
            assert_eq!(read.operation, original.operation);
            assert_eq!(read.log_address, original.log_address);
            assert_eq!(read.transaction, original.transaction);
            assert_eq!((read.position, read.ends_transaction), (AT, true));
            let (second_key, second_value) = written(&mut second, &read).unwrap();
            assert_eq!(second_key["payload"], key["payload"], "{scene}");
            for part in ["after", "op", "message"] {
                let payload = |value: &Json| without_lost(value["payload"][part].clone());
                assert_eq!(payload(&second_value), payload(&value), "{scene} {original:?}");
            }
        }
    }
}

/// Key and value; `None` for a change that is refused.
fn written(encoder: &mut Encoder, change: &Change) -> Option<(Json, Json)> {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    encoder.value(change, UNIX_EPOCH, &mut value).ok()?;
    let has_key = encoder.key(change, &mut key).unwrap();
    let key = if has_key { serde_json::from_slice(&key).unwrap() } else { Json::Null };
    Some((key, serde_json::from_slice(&value).unwrap()))
}

fn envelope(before: Json, after: Json, op: &str) -> Json {
    let source = json!({"connector": "postgresql", "schema": "public", "table": "t", "txId": 9,
        "lsn": 5, "ts_ms": 1_500});
    json!({"before": before, "after": after, "source": source, "op": op})
}

#[test]
fn without_schemas_types_widen_and_are_never_guessed_from_text() {
    let mut decoder = Decoder::new("__debezium_unavailable_value");
    let types = |change: &Change| -> Vec<DataType> {
        change.schema.columns.iter().map(|column| column.data_type.clone()).collect()
    };
    let row = json!({"id": 1, "n": null, "f": 1, "t": "2020-01-01", "b": true, "j": {"a": [1]}});
    let first = change(&mut decoder, &json!({"id": 1}), &envelope(Json::Null, row, "c"));
    let expected =
        [DataType::Int64, DataType::Text, DataType::Int64, DataType::Text, DataType::Bool];
    assert_eq!(types(&first)[..5], expected);
    assert_eq!((&first.schema.key[..], first.schema.columns[0].nullable), (&[0][..], false));
    let after = first.after.unwrap();
    assert_eq!(after[5], Value::Json(r#"{"a":[1]}"#.into()));
    assert_eq!(first.transaction.commit_time.nanos, 500_000_000);

    let row = json!({"id": 1, "n": 7, "f": 1.5, "t": 3, "b": "x", "more": u64::MAX});
    let second = change(&mut decoder, &json!({"id": 1}), &envelope(Json::Null, row, "u"));
    let expected =
        [DataType::Int64, DataType::Int64, DataType::Float64, DataType::Text, DataType::Text];
    assert_eq!(types(&second)[..5], expected);
    let after = second.after.unwrap();
    assert_eq!((&after[3], &after[5]), (&Value::text("3"), &Value::Null));
    assert_eq!(after[6], Value::text("18446744073709551615"));

    let row = json!({"id": 1, "n": null, "t": "__debezium_unavailable_value"});
    let third = change(&mut decoder, &json!({"id": 1}), &envelope(row, Json::Null, "d"));
    let before = third.before.unwrap();
    assert_eq!(before[..2], [Value::Int(1), Value::Unchanged]);
    assert_eq!(before[3], Value::Unchanged);
    assert_eq!((third.operation, third.schema), (Operation::Delete, second.schema));
}

#[test]
fn a_truncate_has_the_key_of_the_rows_before_it() {
    let mut decoder = Decoder::new("__debezium_unavailable_value");
    let inserted = change(
        &mut decoder,
        &json!({"id": 1}),
        &envelope(Json::Null, json!({"v": 2, "id": 1}), "c"),
    );
    let truncated = change(&mut decoder, &Json::Null, &envelope(Json::Null, Json::Null, "t"));
    let name =
        |change: &Change| change.schema.columns[usize::from(change.schema.key[0])].name.clone();
    assert_eq!((&*name(&inserted), &*name(&truncated)), ("id", "id"));
}

#[test]
fn what_is_no_envelope_is_refused_or_known() {
    let mut decoder = Decoder::new("gone");
    let mut tell = |value: &str| decoder.decode(None, Some(value.as_bytes()), AT);
    assert_eq!(tell("{"), Err(ForeignError::NotJson));
    assert_eq!(tell("null"), Ok(Decoded::Tombstone));
    assert_eq!(
        tell(r#"{"schema":{"type":"struct","fields":[]},"payload":null}"#),
        Ok(Decoded::Tombstone)
    );
    assert_eq!(tell(r#"{"ts_ms":1}"#), Ok(Decoded::Other));
    assert_eq!(tell(r#"{"status":"END","id":"1:2","ts_ms":3}"#), Ok(Decoded::Other));
    for value in [
        r#"{"id":1}"#,
        r#"{"op":"c"}"#,
        r#"{"op":"c","source":{}}"#,
        r#"{"op":"c","source":{"table":"t"},"after":null}"#,
        r#"{"op":"x","source":{"table":"t"},"after":{"a":1}}"#,
        "[]",
        "1",
    ] {
        let refused = tell(value);
        assert!(matches!(refused, Err(ForeignError::NotAnEnvelope(_))), "{value}: {refused:?}");
    }
    let error = cdc_core::Error::from(tell("1").unwrap_err());
    assert_eq!(error.code, "CDC-4230");
}

#[test]
fn a_value_that_does_not_fit_its_schema_is_refused_by_its_column() {
    let field = |kind: &str, name: &str| json!({"type": kind, "optional": true, "field": name});
    let row = json!({"type": "struct", "fields": [field("int32", "n")], "field": "after"});
    let schema = json!({"type": "struct", "fields": [row]});
    let mut decoder = Decoder::new("gone");
    let value =
        json!({"schema": schema, "payload": envelope(Json::Null, json!({"n": "secret"}), "c")});
    let error = decode(&mut decoder, &Json::Null, &value).unwrap_err();
    assert_eq!(error.to_string(), "column \"n\" of public.t does not fit its schema");
}

fn any_json() -> impl Strategy<Value = Json> {
    let number = any::<i64>().prop_map(Json::from);
    let text = prop_oneof![
        any::<String>(),
        "[-+]?[0-9]{1,7}-[0-9]{1,2}-[0-9]{1,2}(T[0-9:.]{0,18})?[Z+:0-9]{0,6}",
        "[0-9:.]{0,18}[Z+0-9:-]{0,6}",
        "P[-0-9YMDTHMS.]{0,30}",
        "[A-Za-z0-9+/]{0,40}={0,2}",
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        number,
        any::<f64>().prop_map(Json::from),
        text.prop_map(Json::from),
    ];
    leaf.prop_recursive(2, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            (any::<i32>(), inner)
                .prop_map(|(n, json)| json!({"scale": n, "value": json, "x": n, "y": 0})),
        ]
    })
}

/// Records with a column of every type.
static WIDE: LazyLock<Vec<Json>> = LazyLock::new(|| {
    let first = |scene, table| records(scene)[&format!("srv.public.{table}")][0].clone();
    let tables =
        [("defaults", "types"), ("defaults", "arrays"), ("text", "types"), ("text", "arrays")];
    tables.map(|(scene, table)| first(scene, table)).to_vec()
});

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(key: Option<Vec<u8>>, value: Option<Vec<u8>>) {
        let decoded = Decoder::new("gone").decode(key.as_deref(), value.as_deref(), AT);
        prop_assert!(decoded.is_err() || decoded.is_ok());
    }

    #[test]
    fn any_value_under_any_schema_is_refused_or_read(json in any_json(), at in 0_usize..80) {
        for record in WIDE.iter() {
            let mut record = record.clone();
            let row = record["value"]["payload"]["after"].as_object_mut().unwrap();
            let name = row.keys().nth(at % row.len()).unwrap().clone();
            row.insert(name, json.clone());
            let decoded = decode(&mut Decoder::new("gone"), &record["key"], &record["value"]);
            let known = matches!(decoded, Ok(Decoded::Change(_)) | Err(ForeignError::Value { .. }));
            prop_assert!(known);
        }
    }
}
