//! Records of changes, beyond what is compared with Debezium.

use bytes::Bytes;
use cdc_codec::debezium::{Options, Record, Records};
use cdc_core::{
    Change, Column, DataType, Operation, Position, Row, TableId, TableSchema, Timestamp,
    Transaction, Value,
};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

fn table() -> Arc<TableSchema> {
    let column = |name: &str, data_type, nullable| Column {
        name: name.to_owned(),
        data_type,
        native_type: "t".to_owned(),
        nullable,
        number: None,
        missing: None,
        default: None,
    };
    let decimal = DataType::Decimal { precision: None, scale: None };
    Arc::new(TableSchema {
        table: TableId::new("public", "users"),
        dialect: "postgres".to_owned(),
        columns: vec![column("id", DataType::Int32, false), column("n", decimal, true)],
        key: vec![0],
        number: None,
    })
}

fn row(id: i64, n: &'static str) -> Option<Row> {
    Some(Box::new([Value::Int(id), Value::Decimal(Bytes::from_static(n.as_bytes()))]))
}

fn change(operation: Operation, before: Option<Row>, after: Option<Row>, ordinal: u64) -> Change {
    let commit_time = Timestamp { seconds: 1, nanos: 0 };
    Change {
        schema: table(),
        operation,
        before,
        after,
        position: Position::new(100, ordinal),
        log_address: 90 + ordinal,
        transaction: Arc::new(Transaction { id: 7, commit_time }),
        ends_transaction: ordinal == 3,
    }
}

fn options() -> Options {
    Options { schemas: false, ..Options::default() }
}

fn text(bytes: Option<&Bytes>) -> &str {
    bytes.map_or("(none)", |bytes| std::str::from_utf8(bytes).unwrap())
}

#[test]
fn a_refused_change_leaves_its_transaction_whole() {
    let options = Options { schemas: true, transaction_metadata: true, ..Options::default() };
    let mut records = Records::new("cdc", "shop", options);
    let mut out = Vec::new();
    let refused = change(Operation::Insert, None, row(1, "NaN"), 1);
    assert_eq!(records.of(&refused, UNIX_EPOCH, &mut out).unwrap_err().code, "CDC-4221");
    let good = change(Operation::Insert, None, row(2, "1.5"), 2);
    records.of(&good, UNIX_EPOCH, &mut out).unwrap();
    let last = change(Operation::Insert, None, row(3, "NaN"), 3);
    assert!(records.of(&last, UNIX_EPOCH, &mut out).is_err());
    let topics: Vec<&str> = out.iter().map(|record| &*record.topic).collect();
    assert_eq!(topics, ["cdc.transaction", "cdc.public.users", "cdc.transaction"]);
    assert!(text(out[2].value.as_ref()).contains(r#""status":"END","id":"7:100""#));
}

#[test]
fn a_change_of_the_key_names_the_other_key_in_headers() {
    let mut records = Records::new("cdc", "shop", Options { run_id: "r1".to_owned(), ..options() });
    let mut out = Vec::new();
    let moved = change(Operation::Update, row(1, "1"), row(2, "1"), 1);
    records.of(&moved, UNIX_EPOCH, &mut out).unwrap();
    let shape = |record: &Record| {
        let first = record.headers.first().unwrap();
        let value = text(record.value.as_ref());
        let op = value.find("\"op\":").map_or("", |at| &value[at..at + 8]);
        format!(
            "{} {op} {}={}",
            text(record.key.as_ref()),
            first.name,
            String::from_utf8_lossy(&first.value)
        )
    };
    let shapes: Vec<String> = out.iter().map(shape).collect();
    assert_eq!(
        shapes,
        [
            r#"{"id":1} "op":"d" __debezium.newkey={"id":2}"#,
            r#"{"id":1}  __debezium.newkey={"id":2}"#,
            r#"{"id":2} "op":"c" __debezium.oldkey={"id":1}"#,
        ]
    );
    let headers: Vec<(&str, &[u8])> =
        out[0].headers.iter().skip(1).map(|h| (&*h.name, &*h.value)).collect();
    assert_eq!(headers[0], ("__debezium.context.connectorLogicalName", &b"cdc"[..]));
    assert_eq!(headers[3], ("__debezium.context.runId", &b"r1"[..]));
}

#[test]
fn a_key_that_stays_or_was_not_logged_is_no_change_of_the_key() {
    let mut records = Records::new("cdc", "shop", options());
    let unlogged: Row = Box::new([Value::Unchanged, Value::Null]);
    for before in [None, row(1, "2"), Some(unlogged)] {
        let mut out = Vec::new();
        let update = change(Operation::Update, before, row(1, "1"), 1);
        records.of(&update, UNIX_EPOCH, &mut out).unwrap();
        assert_eq!(out.len(), 1);
    }
}

#[test]
fn truncates_are_told_on_request() {
    for (truncates, count) in [(false, 0), (true, 1)] {
        let mut records = Records::new("cdc", "shop", Options { truncates, ..options() });
        let mut out = Vec::new();
        records.of(&change(Operation::Truncate, None, None, 1), UNIX_EPOCH, &mut out).unwrap();
        assert_eq!(out.len(), count);
        assert!(out.iter().all(|record| record.key.is_none() && record.value.is_some()));
    }
}

#[test]
fn rows_of_a_snapshot_belong_to_no_transaction() {
    let options = Options { transaction_metadata: true, ..options() };
    let mut records = Records::new("cdc", "shop", options);
    let mut out = Vec::new();
    records.of(&change(Operation::Snapshot, None, row(1, "1"), 3), UNIX_EPOCH, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert!(text(out[0].value.as_ref()).contains(r#""transaction":null,"op":"r""#));
}
