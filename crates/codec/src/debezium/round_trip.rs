//! Every value of every type through every format and mode, and back.

mod samples;

use super::golden::{change, column, schema};
use super::options::{DecimalMode, IntervalMode, Options, TimeMode};
use super::{Degree, Encoding, Mark, Payload, Records, SCHEMA_HEADER, TableReader, losses};
use crate::connect::{avro, unframe};
use bytes::Bytes;
use cdc_core::registry::SchemaKind;
use cdc_core::{
    Array, Change, DataType, Operation, Position, Retry, Row, SchemaId, TableSchema, Timestamp,
    Value,
};
use proptest::prelude::*;
use samples::any_options;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

fn any_column() -> impl Strategy<Value = (DataType, &'static str, Vec<Value>)> {
    let all = samples::all();
    prop::sample::select((0..all.len()).collect::<Vec<_>>()).prop_flat_map(move |index| {
        let (data_type, native_type, values) = all.get(index).unwrap().clone();
        let cell = prop_oneof![8 => values, 1 => Just(Value::Null), 2 => Just(Value::Unchanged)];
        prop::collection::vec(cell, 2)
            .prop_map(move |values| (data_type.clone(), native_type, values))
    })
}

fn any_change() -> impl Strategy<Value = Change> {
    let operations =
        vec![Operation::Insert, Operation::Update, Operation::Delete, Operation::Snapshot];
    let columns = prop::collection::vec((any_column(), any::<bool>()), 1..5);
    (columns, prop::sample::select(operations)).prop_map(|(cells, operation)| {
        let mut columns = vec![column("id", DataType::Int32, "integer")];
        let (mut before, mut after) = (vec![Value::Int(7)], vec![Value::Int(7)]);
        for (at, ((data_type, native_type, values), nullable)) in cells.into_iter().enumerate() {
            let mut new = column(&format!("c-{at}"), data_type, native_type);
            new.nullable = nullable || values.contains(&Value::Null);
            columns.push(new);
            before.push(values.first().unwrap().clone());
            after.push(values.last().unwrap().clone());
        }
        let (before, after): (Row, Row) = (before.into(), after.into());
        let (before, after) = match operation {
            Operation::Update => (Some(before), Some(after)),
            Operation::Delete => (Some(before), None),
            _ => (None, Some(after)),
        };
        change(&schema(columns, &[0]), operation, before, after)
    })
}

/// Writes a change and reads its first record; `None` where it is refused.
fn there_and_back(change: &Change, options: &Options, value: Encoding) -> Option<Change> {
    let mut records = Records::encoded("cdc", "shop", options.clone(), value, value);
    let planned = records.plan(&change.schema);
    let texts: Vec<_> = planned.registrations().iter().map(|new| new.schema.clone()).collect();
    let numbers: Vec<u32> = (0..).take(texts.len()).collect();
    records.accept(planned, &numbers, Some(SchemaId(17)));
    let mut made = Vec::new();
    if let Err(refused) = records.of(change, UNIX_EPOCH, &mut made) {
        assert_eq!(refused.retry, Retry::Never, "{refused}");
        assert!(made.is_empty());
        return None;
    }
    let record = made.first().expect("a change has a record");
    let header = record.headers.iter().find(|header| &*header.name == SCHEMA_HEADER);
    let mark = Mark::read(&header.expect("a mark").value).unwrap();
    assert_eq!(mark.schema, SchemaId(17));
    let reader = TableReader::new(Arc::clone(&change.schema), &mark);
    let bytes = record.value.clone().unwrap();
    let avro_reader;
    let payload = match value.registered_as().filter(|_| !options.cloud_events) {
        None => Payload::Json(&bytes),
        Some(kind) => {
            let framed = unframe(&bytes).unwrap();
            let text = &texts.get(usize::try_from(framed.schema).unwrap()).unwrap().text;
            match kind {
                SchemaKind::Avro => {
                    avro_reader = avro::Reader::new(text).unwrap();
                    Payload::Avro(&avro_reader, framed.record)
                }
                SchemaKind::Protobuf => Payload::Protobuf(framed.record),
                SchemaKind::Json => Payload::Json(framed.record),
            }
        }
    };
    let read = reader.read(payload, &record.headers, Position::new(1, 2));
    Some(read.unwrap_or_else(|error| {
        panic!("{error} in {value} of {change:?}: {}", String::from_utf8_lossy(&bytes))
    }))
}

/// What stands in a record: a column that kept a value that was logged is told with it.
fn told(change: &Change) -> Change {
    let mut told = change.clone();
    if let (Some(before), Some(after)) = (&told.before, &mut told.after) {
        for (after, before) in after.iter_mut().zip(before) {
            if *after == Value::Unchanged {
                *after = before.clone();
            }
        }
    }
    told
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float32(one), Value::Float32(other)) => {
            one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan()
        }
        (Value::Float64(one), Value::Float64(other)) => {
            one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.dimensions == other.dimensions
                && one.elements.len() == other.elements.len()
                && one.elements.iter().zip(&other.elements).all(|(one, other)| same(one, other))
        }
        (one, other) => one == other,
    }
}

fn compare(change: &Change, read: &Change, options: &Options, value: Encoding) {
    let losses = losses(&change.schema, options, value);
    let may_differ = |name: &str| {
        losses.iter().any(|loss| loss.column == name && loss.degree != Degree::Refused)
    };
    let change = told(change);
    assert_eq!(change.schema, read.schema);
    assert_eq!(change.operation, read.operation);
    assert_eq!((change.log_address, &change.transaction), (read.log_address, &read.transaction));
    for (sent, got) in [(&change.before, &read.before), (&change.after, &read.after)] {
        assert_eq!(sent.is_some(), got.is_some());
        let values = sent.iter().flatten().zip(got.iter().flatten());
        for ((sent, got), column) in values.zip(&change.schema.columns) {
            let kept = matches!(sent, Value::Unchanged | Value::Null);
            let tells = same(sent, got) || !kept && may_differ(&column.name);
            assert!(
                tells,
                "{} in {value} with {options:?}: {sent:?} became {got:?}",
                column.native_type
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn every_value_arrives_as_it_was_or_is_in_the_table_of_losses(
        change in any_change(),
        options in any_options(),
        value in prop::sample::select(Encoding::ALL.to_vec()),
    ) {
        if let Some(read) = there_and_back(&change, &options, value) {
            compare(&change, &read, &options, value);
        }
    }
}

fn only(data_type: DataType, native_type: &str, value: Value) -> Change {
    let columns = vec![column("v", data_type, native_type)];
    change(&schema(columns, &[]), Operation::Insert, None, Some(Box::new([value])))
}

/// A loss that is in the table without need would warn of nothing.
#[test]
fn what_is_in_the_table_of_losses_is_lost() {
    let usual = Options { schemas: false, ..Options::default() };
    let double = Options { decimals: DecimalMode::Double, ..usual.clone() };
    let connect = Options { times: TimeMode::Connect, ..usual.clone() };
    let numeric = || DataType::Decimal { precision: None, scale: None };
    let time = || DataType::Time { precision: None };
    let cases = [
        (numeric(), "numeric", Value::Decimal("1.50".into()), &usual),
        (numeric(), "numeric", Value::Decimal("0.12345678901234567890".into()), &double),
        (time(), "time", Value::Time(1_000), &connect),
        (
            DataType::TimeTz { precision: None },
            "timetz",
            Value::TimeTz { nanos: 0, offset_seconds: 3_600 },
            &usual,
        ),
        (DataType::Interval, "interval", Value::Interval { months: 1, days: 0, micros: 0 }, &usual),
        (DataType::Other, "bit varying", Value::text("0001"), &usual),
        (DataType::Other, "bit varying(1)", Value::text(""), &usual),
        (DataType::Other, "money", Value::text("$1.50"), &usual),
    ];
    for (data_type, native_type, value, options) in cases {
        let sent = only(data_type, native_type, value);
        let read = there_and_back(&sent, options, Encoding::Avro).unwrap();
        assert_ne!(sent.after, read.after, "{native_type}");
        let losses = losses(&sent.schema, options, Encoding::Avro);
        let lossy = losses.iter().any(|loss| loss.degree != Degree::Refused);
        assert!(lossy, "{native_type}");
    }
}

#[test]
fn usual_columns_lose_nothing() {
    let of = |data_type, native_type: &str, options: &Options| {
        let schema: Arc<TableSchema> = schema(vec![column("c", data_type, native_type)], &[]);
        losses(&schema, options, Encoding::Json)
    };
    let usual = Options::default();
    assert_eq!(of(DataType::Text, "text", &usual), []);
    assert_eq!(of(DataType::TimestampTz { precision: None }, "timestamptz", &usual), []);
    let lost = of(DataType::Interval, "interval", &usual);
    let text = lost.first().unwrap().to_string();
    assert!(
        text.starts_with("c (interval) arrives as an approximation")
            && text.ends_with("set format.interval_handling_mode: string"),
        "{text}"
    );
    let exact = Options { intervals: IntervalMode::String, ..usual };
    assert_eq!(of(DataType::Interval, "interval", &exact), []);
}

/// The mark says how values were written, so that later options do not change what earlier records say.
#[test]
fn records_are_read_by_the_modes_that_they_were_written_with() {
    let value = Value::Timestamp(Timestamp { seconds: 1_000_000, nanos: 123_456_000 });
    let sent = only(DataType::Timestamp { precision: None }, "timestamp", value);
    for times in [TimeMode::Nanoseconds, TimeMode::Microseconds, TimeMode::Isostring] {
        let options = Options { times, schemas: false, ..Options::default() };
        let read = there_and_back(&sent, &options, Encoding::Json).unwrap();
        assert_eq!(read.after, sent.after);
    }
}

#[test]
fn a_truncate_and_a_message_come_back() {
    for value in Encoding::ALL {
        let options = Options { truncates: true, ..Options::default() };
        let table = schema(vec![column("id", DataType::Int32, "integer")], &[0]);
        let truncate = change(&table, Operation::Truncate, None, None);
        let read = there_and_back(&truncate, &options, value).unwrap();
        assert_eq!((read.operation, read.after), (Operation::Truncate, None));
        let table = Arc::new(TableSchema::of_messages("postgres"));
        let content = Value::Bytes(Bytes::from_static(b"\x00\xff"));
        let row: Row = Box::new([Value::text("p"), content]);
        let message = change(&table, Operation::Message, None, Some(row));
        let read = there_and_back(&message, &options, value).unwrap();
        assert_eq!((read.operation, &read.after), (Operation::Message, &message.after));
    }
}

/// Protobuf alone cannot tell null from an empty array.
#[test]
fn null_is_no_empty_array_in_protobuf() {
    let integers = DataType::Array(Box::new(DataType::Int32));
    let table = schema(vec![column("v", integers, "integer[]")], &[]);
    let empty = Value::Array(Box::new(Array { dimensions: Vec::new(), elements: Vec::new() }));
    let row = |value: &Value| -> Option<Row> { Some(Box::new([value.clone()])) };
    for (before, after, told) in [
        (&empty, &Value::Null, &Value::Null),
        (&Value::Null, &empty, &empty),
        (&Value::Null, &Value::Unchanged, &Value::Null),
        (&empty, &Value::Unchanged, &empty),
    ] {
        let sent = change(&table, Operation::Update, row(before), row(after));
        let read = there_and_back(&sent, &Options::default(), Encoding::Protobuf).unwrap();
        assert_eq!((read.before, read.after), (row(before), row(told)));
    }
}
