//! Records of the log and dead letters in the log's row format.

use bytes::{Bytes, BytesMut};
use cdc_codec::{debezium::Encoder, row};
use cdc_core::{Change, Column, DataType, Position, SchemaId, TableId, TableSchema};
use std::{sync::Arc, time::UNIX_EPOCH};

const POSITION: Position = Position::new(1, 1);

/// Any bytes are refused or decoded; what was decoded survives another round, and can be written as
/// JSON or is refused.
pub(super) fn feed(bytes: &[u8]) {
    let payload = Bytes::copy_from_slice(bytes);
    let kind = row::kind(&payload);
    if let Ok((id, schema)) = row::decode_schema(&payload) {
        assert_eq!(kind, Ok(row::Kind::Schema));
        let mut out = BytesMut::new();
        row::encode_schema(id, &schema, &mut out);
        assert_eq!(row::decode_schema(&out.freeze()), Ok((id, schema)));
    }
    let schema = Arc::new(schema());
    if let Ok(change) = row::decode_change(&payload, POSITION, &schema, &mut None) {
        assert!(matches!(kind, Ok(row::Kind::Change(_))));
        let mut out = BytesMut::new();
        row::encode_change(SchemaId(7), &change, &mut out);
        let again = row::decode_change(&out.freeze(), POSITION, &schema, &mut None);
        same(&change, &again.expect("what was encoded is decoded"));
        write(&change);
    }
    if let Ok(change) = row::decode_letter(&payload, POSITION) {
        let again = row::decode_letter(&row::encode_letter(&change), POSITION);
        same(&change, &again.expect("what was encoded is decoded"));
        write(&change);
    }
}

/// Compares by text, in which NaN equals NaN.
fn same(one: &Change, other: &Change) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

fn write(change: &Change) {
    let mut encoder = Encoder::new("cdc");
    let (mut key, mut value) = (Vec::new(), Vec::new());
    if encoder.key(change, &mut key).is_ok() && !key.is_empty() {
        serde_json::from_slice::<serde_json::Value>(&key).expect("a key is JSON");
    }
    if encoder.value(change, UNIX_EPOCH, &mut value).is_ok() {
        serde_json::from_slice::<serde_json::Value>(&value).expect("a value is JSON");
    }
}

fn schema() -> TableSchema {
    let types = [
        DataType::Int32,
        DataType::Text,
        DataType::Decimal { precision: Some(10), scale: Some(2) },
        DataType::TimestampTz { precision: None },
        DataType::Array(Box::new(DataType::Json)),
    ];
    let column = |(number, data_type): (usize, DataType)| Column {
        name: format!("column{number}"),
        data_type,
        native_type: "any".to_owned(),
        nullable: true,
        number: None,
        missing: None,
        default: None,
    };
    TableSchema {
        table: TableId::new("public", "fuzzed"),
        dialect: "postgres".to_owned(),
        columns: types.into_iter().enumerate().map(column).collect(),
        key: vec![0],
        number: None,
    }
}
