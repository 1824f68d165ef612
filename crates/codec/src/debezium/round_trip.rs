//! Every value of every type through every format and mode, and back.

use super::golden::{change, column, schema};
use super::options::{
    BinaryMode, DecimalMode, HstoreMode, IntervalMode, Options, TimeMode, Unlogged,
};
use super::{Degree, Encoding, Mark, Payload, Records, SCHEMA_HEADER, TableReader, losses};
use crate::connect::{avro, unframe};
use bytes::Bytes;
use cdc_core::registry::SchemaKind;
use cdc_core::{
    Array, Change, DataType, Dimension, Operation, Position, Retry, Row, SchemaId, TableSchema,
    Timestamp, Value,
};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A column and values of it.
type Typed = (DataType, &'static str, BoxedStrategy<Value>);

fn any_options() -> impl Strategy<Value = Options> {
    let decimals =
        prop::sample::select(vec![DecimalMode::Precise, DecimalMode::Double, DecimalMode::String]);
    let times = prop::sample::select(vec![
        TimeMode::Adaptive,
        TimeMode::AdaptiveTimeMicroseconds,
        TimeMode::Connect,
        TimeMode::Isostring,
        TimeMode::Microseconds,
        TimeMode::Nanoseconds,
    ]);
    let binary = prop::sample::select(vec![
        BinaryMode::Bytes,
        BinaryMode::Base64,
        BinaryMode::Base64UrlSafe,
        BinaryMode::Hex,
    ]);
    let intervals = prop::sample::select(vec![IntervalMode::Numeric, IntervalMode::String]);
    let hstore = prop::sample::select(vec![HstoreMode::Json, HstoreMode::Map]);
    let unlogged = prop::sample::select(vec![Unlogged::Zero, Unlogged::Null]);
    (decimals, times, binary, intervals, hstore, unlogged, any::<bool>()).prop_map(
        |(decimals, times, binary, intervals, hstore, unlogged, cloud_events)| Options {
            decimals,
            times,
            binary,
            intervals,
            hstore,
            unlogged,
            cloud_events,
            truncates: true,
            ..Options::default()
        },
    )
}

fn text_of(strategy: impl Strategy<Value = String> + 'static) -> BoxedStrategy<Value> {
    strategy.prop_map(Value::text).boxed()
}

fn decimal(scale: u32) -> BoxedStrategy<Value> {
    let finite = (any::<i64>(), any::<bool>()).prop_map(move |(number, wide)| {
        let sign = if number < 0 { "-" } else { "" };
        let digits = format!("{}{}", number.unsigned_abs(), if wide { "777777777777" } else { "" });
        let width = usize::try_from(scale).unwrap() + 1;
        let digits = format!("{digits:0>width$}");
        let (whole, fraction) = digits.split_at(digits.len() + 1 - width);
        let text = if scale == 0 { digits.clone() } else { format!("{sign}{whole}.{fraction}") };
        Value::Decimal(text.into())
    });
    let special = prop::sample::select(vec!["NaN", "Infinity", "-Infinity"]);
    prop_oneof![9 => finite, 1 => special.prop_map(|text| Value::Decimal(text.into()))].boxed()
}

fn instant() -> BoxedStrategy<Timestamp> {
    // The years that PostgreSQL knows.
    let micros =
        (-211_813_488_000_000_000_i64..9_223_000_000_000_000_000).prop_map(Timestamp::from_micros);
    let near = (0_i64..4_000_000_000_000_000).prop_map(Timestamp::from_micros);
    let infinite = prop::sample::select(vec![Timestamp::INFINITY, Timestamp::NEG_INFINITY]);
    prop_oneof![4 => micros, 4 => near, 1 => infinite].boxed()
}

fn clock(per_unit: i64) -> BoxedStrategy<i64> {
    (0_i64..=86_400_000_000_000 / per_unit).prop_map(move |units| units * per_unit).boxed()
}

fn finite() -> BoxedStrategy<f64> {
    prop_oneof![any::<f64>(), (-1000_i32..1000).prop_map(f64::from)]
        .prop_filter("a coordinate", |number| number.is_finite())
        .boxed()
}

fn types() -> Vec<Typed> {
    let three = Some(3);
    let cut = |at: Timestamp| Timestamp { nanos: at.nanos / 1_000_000 * 1_000_000, ..at };
    let micros_of_time = || clock(1_000).prop_map(Value::Time).boxed();
    let pairs =
        prop::collection::btree_map("[a-z\"\\\\ é]{1,4}", prop::option::of(any::<String>()), 0..4);
    let hstore = pairs.prop_map(|pairs| {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let pairs = pairs.iter().map(|(key, value)| match value {
            Some(value) => format!("\"{}\"=>\"{}\"", escaped(key), escaped(value)),
            None => format!("\"{}\"=>NULL", escaped(key)),
        });
        pairs.collect::<Vec<_>>().join(", ")
    });
    let span = (any::<i32>(), any::<i32>(), any::<i64>());
    vec![
        (DataType::Bool, "boolean", any::<bool>().prop_map(Value::Bool).boxed()),
        (DataType::Int16, "smallint", any::<i16>().prop_map(|n| Value::Int(n.into())).boxed()),
        (DataType::Int32, "integer", any::<i32>().prop_map(|n| Value::Int(n.into())).boxed()),
        (DataType::Int64, "bigint", any::<i64>().prop_map(Value::Int).boxed()),
        (DataType::UInt64, "xid8", any::<u64>().prop_map(Value::UInt).boxed()),
        (DataType::Float32, "real", any::<f32>().prop_map(Value::Float32).boxed()),
        (DataType::Float64, "double precision", any::<f64>().prop_map(Value::Float64).boxed()),
        (DataType::Decimal { precision: Some(40), scale: Some(4) }, "numeric(40,4)", decimal(4)),
        (DataType::Decimal { precision: Some(40), scale: Some(0) }, "numeric(40)", decimal(0)),
        (DataType::Decimal { precision: None, scale: None }, "numeric", decimal(3)),
        (DataType::Text, "text", text_of(any::<String>())),
        (DataType::Enum { labels: vec!["a".into()] }, "mood", text_of(Just("a".to_owned()))),
        (DataType::Other, "inet", text_of(Just("10.0.0.0/8".to_owned()))),
        (DataType::Other, "xml", text_of(any::<String>())),
        (DataType::Bytes, "bytea", any::<Vec<u8>>().prop_map(|b| Value::Bytes(b.into())).boxed()),
        (
            DataType::Json,
            "jsonb",
            any::<i64>().prop_map(|n| Value::Json(format!("{{\"a\": {n}}}").into())).boxed(),
        ),
        (
            DataType::Date,
            "date",
            prop_oneof![-2_440_000..2_145_000_000_i32, Just(i32::MAX), Just(i32::MIN)]
                .prop_map(Value::Date)
                .boxed(),
        ),
        (DataType::Time { precision: None }, "time without time zone", micros_of_time()),
        (
            DataType::Time { precision: three },
            "time(3) without time zone",
            clock(1_000_000).prop_map(Value::Time).boxed(),
        ),
        (
            DataType::TimeTz { precision: None },
            "time with time zone",
            (clock(1_000), -900_i32..900)
                .prop_map(|(nanos, minutes)| Value::TimeTz { nanos, offset_seconds: minutes * 60 })
                .boxed(),
        ),
        (
            DataType::Timestamp { precision: None },
            "timestamp without time zone",
            instant().prop_map(Value::Timestamp).boxed(),
        ),
        (
            DataType::Timestamp { precision: three },
            "timestamp(3) without time zone",
            instant().prop_map(move |at| Value::Timestamp(cut(at))).boxed(),
        ),
        (
            DataType::TimestampTz { precision: None },
            "timestamp with time zone",
            instant().prop_map(Value::TimestampTz).boxed(),
        ),
        (
            DataType::Interval,
            "interval",
            span.prop_map(|(months, days, micros)| Value::Interval { months, days, micros })
                .boxed(),
        ),
        (DataType::Uuid, "uuid", any::<[u8; 16]>().prop_map(Value::Uuid).boxed()),
        (DataType::Other, "bit(1)", text_of("[01]")),
        (DataType::Other, "bit(11)", text_of("[01]{11}")),
        (DataType::Other, "bit varying(1)", text_of("[01]?")),
        (DataType::Other, "bit varying(40)", text_of("[01]{0,40}")),
        (DataType::Other, "bit varying", text_of("[01]{0,40}")),
        (
            DataType::Other,
            "money",
            text_of((0_u32.., 0_u8..100).prop_map(|(n, cents)| format!("${n}.{cents:02}"))),
        ),
        (DataType::Other, "oid", text_of(any::<u32>().prop_map(|n| n.to_string()))),
        (
            DataType::Other,
            "point",
            text_of((finite(), finite()).prop_map(|(x, y)| {
                format!("({},{})", super::foreign::double(x), super::foreign::double(y))
            })),
        ),
        (DataType::Other, "public.hstore", text_of(hstore)),
        (DataType::Other, "public.geometry", text_of("01[0-9A-F]{8}([0-9A-F]{2}){16}")),
        (DataType::Other, "public.vector(3)", text_of("\\[[1-9]\\.[1-9],-[1-9],[1-9]e-0[5-9]\\]")),
        (DataType::Other, "public.halfvec", text_of("\\[[1-9],0\\.5\\]")),
    ]
}

/// Arrays of elements, of one dimension or of two.
fn arrays_of((element, native_type, values): Typed) -> Typed {
    let values = prop::option::weighted(0.9, values).prop_map(|value| value.unwrap_or(Value::Null));
    let arrays =
        (prop::collection::vec(values, 0..5), any::<bool>()).prop_map(|(elements, two)| {
            let length = u32::try_from(elements.len()).unwrap();
            let dimension = |length| Dimension { length, lower_bound: 1 };
            let dimensions = match length {
                0 => Vec::new(),
                4 if two => vec![dimension(2), dimension(2)],
                length => vec![dimension(length)],
            };
            Value::Array(Box::new(Array { dimensions, elements }))
        });
    let name: &'static str = Box::leak(format!("{native_type}[]").into_boxed_str());
    (DataType::Array(Box::new(element)), name, arrays.boxed())
}

fn any_column() -> impl Strategy<Value = (DataType, &'static str, Vec<Value>)> {
    let all: Vec<Typed> = types().into_iter().chain(types().into_iter().map(arrays_of)).collect();
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
