//! Whole keys and envelopes, and one line for each type: column, value, JSON.

use super::Encoder;
use bytes::Bytes;
use cdc_core::{
    Array, Change, Column, DataType, Dimension, Operation, Position, Row, TableId, TableSchema,
    Timestamp, Transaction, Value,
};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

pub(super) fn column(name: &str, data_type: DataType, native_type: &str) -> Column {
    Column {
        name: name.into(),
        data_type,
        native_type: native_type.into(),
        nullable: true,
        number: None,
        missing: None,
        default: None,
    }
}

pub(super) fn schema(columns: Vec<Column>, key: &[u16]) -> Arc<TableSchema> {
    Arc::new(TableSchema {
        table: TableId::new("public", "users"),
        dialect: "postgres".to_owned(),
        columns,
        key: key.to_vec(),
        number: None,
    })
}

pub(super) fn change(
    schema: &Arc<TableSchema>,
    operation: Operation,
    before: Option<Row>,
    after: Option<Row>,
) -> Change {
    let commit_time = Timestamp { seconds: 1_700_000_000, nanos: 123_456_000 };
    Change {
        schema: Arc::clone(schema),
        operation,
        before,
        after,
        position: Position::new(24_023_200, 2),
        log_address: 24_023_128,
        transaction: Arc::new(Transaction { id: 555, commit_time }),
        ends_transaction: false,
    }
}

fn envelope(change: &Change) -> String {
    let mut out = Vec::new();
    let processed_at = UNIX_EPOCH + Duration::from_nanos(1_700_000_001_234_567_891);
    Encoder::new("cdc")
        .with_database("shop")
        .value(change, processed_at, &mut out)
        .expect("a valid change");
    String::from_utf8(out).expect("UTF-8")
}

fn key(change: &Change) -> Option<String> {
    let mut out = Vec::new();
    let written = Encoder::new("cdc").key(change, &mut out).expect("a valid key");
    assert_eq!(written, !out.is_empty());
    written.then(|| String::from_utf8(out).expect("UTF-8"))
}

fn users() -> Arc<TableSchema> {
    let columns =
        vec![column("id", DataType::Int32, "integer"), column("name", DataType::Text, "text")];
    schema(columns, &[0])
}

fn row(id: i64, name: Value) -> Option<Row> {
    Some(Box::new([Value::Int(id), name]))
}

fn source(snapshot: &str, sequence: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        r#"{{"version":"{version}","connector":"postgresql","name":"cdc","ts_ms":1700000000123,"snapshot":"{snapshot}","db":"shop","sequence":"{sequence}","ts_us":1700000000123456,"ts_ns":1700000000123456000,"schema":"public","table":"users","txId":555,"lsn":24023128,"xmin":null,"origin":null,"origin_lsn":null}}"#
    )
}

fn expected(before: &str, after: &str, source: &str, op: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{source},"transaction":null,"op":"{op}","ts_ms":1700000001234,"ts_us":1700000001234567,"ts_ns":1700000001234567891}}"#
    )
}

const STREAMED: &str = r#"[\"24023200\",\"24023128\"]"#;

#[test]
fn each_operation_has_its_envelope() {
    let users = users();
    let ann = || row(1, Value::text("Ann"));
    let cases = [
        (Operation::Insert, None, ann(), "null", r#"{"id":1,"name":"Ann"}"#, "c"),
        (Operation::Update, None, ann(), "null", r#"{"id":1,"name":"Ann"}"#, "u"),
        (
            Operation::Update,
            row(7, Value::Unchanged),
            ann(),
            r#"{"id":7,"name":null}"#,
            r#"{"id":1,"name":"Ann"}"#,
            "u",
        ),
        (Operation::Delete, row(1, Value::Unchanged), None, r#"{"id":1,"name":null}"#, "null", "d"),
        (Operation::Truncate, None, None, "null", "null", "t"),
    ];
    for (operation, before, after, before_json, after_json, op) in cases {
        let change = change(&users, operation, before, after);
        let source = source("false", STREAMED);
        assert_eq!(envelope(&change), expected(before_json, after_json, &source, op));
    }
}

#[test]
fn a_message_has_an_envelope_of_its_own() {
    let schema = Arc::new(TableSchema::of_messages("postgres"));
    let content = Value::Bytes(Bytes::from_static(b"\x00hi"));
    let row: Option<Row> = Some(Box::new([Value::text("orders"), content]));
    let mut message = change(&schema, Operation::Message, None, row);
    let expected = |source: String| {
        format!(
            r#"{{"op":"m","ts_ms":1700000001234,"source":{source},"transaction":null,"message":{{"prefix":"orders","content":"AGhp"}}}}"#
        )
    };
    let nowhere = source("false", STREAMED)
        .replace(r#""schema":"public","table":"users""#, r#""schema":"","table":"""#);
    assert_eq!(envelope(&message), expected(nowhere));
    assert_eq!(key(&message).as_deref(), Some(r#"{"prefix":"orders"}"#));
    message.transaction = Arc::new(Transaction { id: 0, ..(*message.transaction).clone() });
    let outside = source("false", r#"[null,\"24023128\"]"#).replace(
        r#""schema":"public","table":"users","txId":555"#,
        r#""schema":"","table":"","txId":null"#,
    );
    assert_eq!(envelope(&message), expected(outside));
}

#[test]
fn rows_of_a_snapshot_say_so() {
    let users = users();
    let mut change = change(&users, Operation::Snapshot, None, row(1, Value::Null));
    let after = r#"{"id":1,"name":null}"#;
    let sequence = r#"[null,\"24023128\"]"#;
    assert_eq!(envelope(&change), expected("null", after, &source("true", sequence), "r"));
    // The end of a batch is not that of a table.
    change.ends_transaction = true;
    assert_eq!(envelope(&change), expected("null", after, &source("true", sequence), "r"));
}

#[test]
fn a_key_holds_its_columns_in_its_own_order() {
    let columns = || {
        vec![
            column("a", DataType::Int32, "integer"),
            column("b", DataType::Timestamp { precision: Some(3) }, "timestamp(3)"),
        ]
    };
    let at = Timestamp { seconds: 1, nanos: 500_000_000 };
    let row: Option<Row> = Some(Box::new([Value::Int(1), Value::Timestamp(at)]));
    for (order, expected) in [
        (&[0, 1][..], Some(r#"{"a":1,"b":1500}"#)),
        (&[1, 0], Some(r#"{"b":1500,"a":1}"#)),
        (&[], None),
    ] {
        let change = change(&schema(columns(), order), Operation::Insert, None, row.clone());
        assert_eq!(key(&change).as_deref(), expected);
    }
    let truncate = change(&schema(columns(), &[0]), Operation::Truncate, None, None);
    assert_eq!(key(&truncate), None);
}

#[test]
fn a_key_of_a_delete_comes_from_before() {
    let change = change(&users(), Operation::Delete, row(3, Value::Unchanged), None);
    assert_eq!(key(&change).as_deref(), Some(r#"{"id":3}"#));
}

#[test]
fn a_key_that_was_not_sent_is_taken_from_before_or_refused() {
    let columns = vec![column("id", DataType::Text, "text")];
    let schema = schema(columns, &[0]);
    let unchanged = || Some(Box::new([Value::Unchanged]) as Row);
    let before: Option<Row> = Some(Box::new([Value::text("long")]));
    let known = change(&schema, Operation::Update, before, unchanged());
    assert_eq!(key(&known).as_deref(), Some(r#"{"id":"long"}"#));
    let unknown = change(&schema, Operation::Update, None, unchanged());
    let mut out = b"kept".to_vec();
    let error = Encoder::new("cdc").key(&unknown, &mut out).unwrap_err();
    assert_eq!((error.code, out.as_slice()), ("CDC-4223", &b"kept"[..]));
}

#[test]
fn refused_values_leave_the_buffer_as_it_was() {
    let far = Value::Timestamp(Timestamp { seconds: i64::MAX - 1, nanos: 0 });
    let cases = [
        (DataType::Text, Value::Text(Bytes::from_static(b"\xff")), "CDC-4220"),
        (DataType::Timestamp { precision: None }, far, "CDC-4221"),
        (DataType::Decimal { precision: None, scale: None }, decimal("1e5"), "CDC-4222"),
    ];
    for (data_type, value, code) in cases {
        let schema = schema(vec![column("secret", data_type, "t")], &[0]);
        let change = change(&schema, Operation::Insert, None, Some(Box::new([value])));
        let mut out = b"kept".to_vec();
        let error = Encoder::new("cdc").value(&change, UNIX_EPOCH, &mut out).unwrap_err();
        assert_eq!((error.code, out.as_slice()), (code, &b"kept"[..]));
        assert!(error.context.contains("\"secret\" of public.users"), "{}", error.context);
    }
    let change = change(&users(), Operation::Insert, None, Some(Box::new([Value::Int(1)])));
    let error = Encoder::new("cdc").value(&change, UNIX_EPOCH, &mut Vec::new()).unwrap_err();
    assert_eq!(error.code, "CDC-4222");
}

fn decimal(text: &'static str) -> Value {
    Value::Decimal(Bytes::from_static(text.as_bytes()))
}

fn array(elements: Vec<Value>) -> Value {
    let length = u32::try_from(elements.len()).expect("short");
    let dimensions = vec![Dimension { length, lower_bound: 1 }];
    Value::Array(Box::new(Array { dimensions, elements }))
}

fn of(element: DataType) -> DataType {
    DataType::Array(Box::new(element))
}

fn check(cases: Vec<(DataType, &str, Value, &str)>) {
    for (data_type, native_type, value, expected_json) in cases {
        let schema = schema(vec![column("c", data_type, native_type)], &[]);
        let change = change(&schema, Operation::Insert, None, Some(Box::new([value])));
        let after = format!(r#"{{"c":{expected_json}}}"#);
        let expected = expected("null", &after, &source("false", STREAMED), "c");
        assert_eq!(envelope(&change), expected, "{native_type}");
    }
}

#[test]
fn scalar_types_have_the_forms_of_debezium() {
    let price = DataType::Decimal { precision: Some(10), scale: Some(2) };
    let any = DataType::Decimal { precision: None, scale: None };
    let labels = vec!["happy".to_owned()];
    let uuid = *b"\x55\x0e\x84\x00\xe2\x9b\x41\xd4\xa7\x16\x44\x66\x55\x44\x00\x00";
    check(vec![
        (DataType::Bool, "boolean", Value::Bool(true), "true"),
        (DataType::Int16, "smallint", Value::Int(-32768), "-32768"),
        (DataType::Int64, "bigint", Value::Int(i64::MIN), "-9223372036854775808"),
        (DataType::UInt64, "bigint unsigned", Value::UInt(u64::MAX), "18446744073709551615"),
        (DataType::Float32, "real", Value::Float32(3.33), "3.33"),
        (DataType::Float64, "double precision", Value::Float64(f64::NAN), "\"NaN\""),
        (price.clone(), "numeric(10,2)", decimal("-1234.11"), "\"/h3t\""),
        (price.clone(), "numeric(10,2)", decimal("0.00"), "\"AA==\""),
        (price, "numeric(10,2)", decimal("NaN"), "\"NaN\""),
        (any.clone(), "numeric", decimal("1.10"), r#"{"scale":1,"value":"Cw=="}"#),
        (any, "numeric", decimal("Infinity"), r#"{"scale":0,"value":"POSITIVE_INFINITY"}"#),
        (DataType::Text, "text", Value::text("a\"\\\n\u{1}ž"), r#""a\"\\\n\u0001ž""#),
        (DataType::Text, "character(5)", Value::text("ab   "), "\"ab   \""),
        (DataType::Bytes, "bytea", Value::Bytes(Bytes::from_static(b"\x01\x02\x03")), "\"AQID\""),
        (
            DataType::Json,
            "jsonb",
            Value::Json(Bytes::from_static(b"{\"a\": 1}")),
            r#""{\"a\": 1}""#,
        ),
        (DataType::Date, "date", Value::Date(-1), "-1"),
        (DataType::Time { precision: Some(3) }, "time(3)", Value::Time(1_500_000), "1"),
        (DataType::Time { precision: None }, "time", Value::Time(1_500_000), "1500"),
        (
            DataType::TimeTz { precision: None },
            "timetz",
            Value::TimeTz { nanos: 42_690_123_789_000, offset_seconds: 0 },
            "\"11:51:30.123789Z\"",
        ),
        (
            DataType::Timestamp { precision: None },
            "timestamp",
            Value::Timestamp(Timestamp::NEG_INFINITY),
            "-9223372036832400000",
        ),
        (
            DataType::TimestampTz { precision: Some(0) },
            "timestamptz(0)",
            Value::TimestampTz(Timestamp { seconds: 1_478_260_290, nanos: 0 }),
            "\"2016-11-04T11:51:30Z\"",
        ),
        (
            DataType::Interval,
            "interval",
            Value::Interval { months: 1, days: -1, micros: 1 },
            "2543400000001",
        ),
        (DataType::Uuid, "uuid", Value::Uuid(uuid), "\"550e8400-e29b-41d4-a716-446655440000\""),
        (DataType::Enum { labels }, "mood", Value::text("happy"), "\"happy\""),
        (DataType::Other, "int4range", Value::text("[1,6)"), "\"[1,6)\""),
        (DataType::Other, "inet", Value::text("10.0.0.1"), "\"10.0.0.1\""),
        (DataType::Other, "bit(2)", Value::text("11"), "\"Aw==\""),
        (DataType::Text, "text", Value::Null, "null"),
    ]);
}

#[test]
fn arrays_have_the_forms_of_their_elements() {
    let price = DataType::Decimal { precision: Some(4), scale: Some(1) };
    check(vec![
        (of(DataType::Int32), "integer[]", array(vec![Value::Int(1), Value::Null]), "[1,null]"),
        (of(price), "numeric(4,1)[]", array(vec![decimal("1.5")]), "[\"Dw==\"]"),
        (of(DataType::Other), "bit(1)[]", array(vec![Value::text("1")]), "[true]"),
        (
            of(DataType::Timestamp { precision: Some(3) }),
            "timestamp(3)[]",
            array(vec![Value::Timestamp(Timestamp { seconds: 1, nanos: 0 })]),
            "[1000]",
        ),
    ]);
}

#[test]
fn unchanged_columns_have_the_placeholder_of_their_type() {
    const TEXT: &str = "\"__debezium_unavailable_value\"";
    const BYTES: &str = "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"";
    const NUMBERS: &str = "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]";
    let any = DataType::Decimal { precision: None, scale: None };
    check(vec![
        (DataType::Text, "text", Value::Unchanged, TEXT),
        (DataType::Json, "jsonb", Value::Unchanged, TEXT),
        (DataType::Other, "tsvector", Value::Unchanged, TEXT),
        (DataType::Bytes, "bytea", Value::Unchanged, BYTES),
        (any, "numeric", Value::Unchanged, &format!(r#"{{"scale":0,"value":{BYTES}}}"#)),
        (of(DataType::Text), "text[]", Value::Unchanged, &format!("[{TEXT}]")),
        (of(DataType::Bytes), "bytea[]", Value::Unchanged, &format!("[{BYTES}]")),
        (of(DataType::Int32), "integer[]", Value::Unchanged, NUMBERS),
        (of(DataType::Date), "date[]", Value::Unchanged, NUMBERS),
        (
            of(DataType::Uuid),
            "uuid[]",
            Value::Unchanged,
            "[\"b68a35a7-17ad-35b3-af2a-ae46edb4545a\"]",
        ),
    ]);
}

#[test]
fn an_unchanged_column_shows_its_value_where_before_holds_it() {
    let change =
        change(&users(), Operation::Update, row(1, Value::text("long")), row(2, Value::Unchanged));
    let (before, after) = (r#"{"id":1,"name":"long"}"#, r#"{"id":2,"name":"long"}"#);
    assert_eq!(envelope(&change), expected(before, after, &source("false", STREAMED), "u"));
}
