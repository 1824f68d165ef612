use super::*;
use crate::DecodeError;
use bytes::{Bytes, BytesMut};
use cdc_core::{
    Array, Change, Column, DataType, Dimension, Operation, Position, SchemaId, TableId,
    TableSchema, Timestamp, Transaction, Value,
};
use proptest::prelude::*;
use std::sync::Arc;

fn schema(columns: usize) -> Arc<TableSchema> {
    let column = |n| Column {
        name: format!("c{n}"),
        data_type: DataType::Text,
        native_type: "text".into(),
        nullable: true,
        number: None,
        missing: None,
        default: None,
    };
    Arc::new(TableSchema {
        table: TableId::new("public", "t"),
        dialect: "postgres".into(),
        columns: (0..columns).map(column).collect(),
        key: vec![],
        number: None,
    })
}

fn bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(Value::Unchanged),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::UInt),
        (-1e30..1e30_f32).prop_map(Value::Float32),
        (-1e300..1e300_f64).prop_map(Value::Float64),
        bytes().prop_map(Value::Decimal),
        bytes().prop_map(Value::Text),
        bytes().prop_map(Value::Bytes),
        bytes().prop_map(Value::Json),
        any::<i32>().prop_map(Value::Date),
        any::<i64>().prop_map(Value::Time),
        (any::<i64>(), any::<i32>())
            .prop_map(|(nanos, offset_seconds)| Value::TimeTz { nanos, offset_seconds }),
        timestamp().prop_map(Value::Timestamp),
        timestamp().prop_map(Value::TimestampTz),
        (any::<i32>(), any::<i32>(), any::<i64>())
            .prop_map(|(months, days, micros)| Value::Interval { months, days, micros }),
        any::<[u8; 16]>().prop_map(Value::Uuid),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let array = (proptest::collection::vec(scalar(), 0..6), any::<i32>()).prop_map(|(e, lower)| {
        let length = u32::try_from(e.len()).unwrap();
        let dimensions = vec![Dimension { length, lower_bound: lower }];
        Value::Array(Box::new(Array { dimensions, elements: e }))
    });
    prop_oneof![8 => scalar(), 1 => array]
}

fn change() -> impl Strategy<Value = Change> {
    let operation = prop_oneof![
        Just(Operation::Snapshot),
        Just(Operation::Insert),
        Just(Operation::Update),
        Just(Operation::Delete),
        Just(Operation::Truncate),
        Just(Operation::Message),
    ];
    let row = |n| proptest::option::of(proptest::collection::vec(value(), n));
    let rows = (0..8_usize).prop_flat_map(move |n| (Just(n), row(n), row(n)));
    let rest = (any::<(u128, u64)>(), any::<u64>(), any::<u64>(), timestamp(), any::<bool>());
    (operation, rows, rest).prop_map(|(operation, (n, before, after), rest)| {
        let ((commit, ordinal), log_address, id, commit_time, ends_transaction) = rest;
        Change {
            schema: schema(n),
            operation,
            before: before.map(Vec::into_boxed_slice),
            after: after.map(Vec::into_boxed_slice),
            position: Position::new(commit, ordinal),
            log_address,
            transaction: Arc::new(Transaction { id, commit_time }),
            ends_transaction,
        }
    })
}

proptest! {
    #[test]
    fn a_change_comes_back_as_it_went(change in change(), id: u32) {
        let mut out = BytesMut::new();
        encode_change(SchemaId(id), &change, &mut out);
        let payload = out.freeze();
        prop_assert_eq!(kind(&payload), Ok(Kind::Change(SchemaId(id))));
        let back = decode_change(&payload, change.position, &change.schema, &mut None);
        prop_assert_eq!(back, Ok(change.clone()));
        let letter = encode_letter(&change);
        prop_assert_eq!(decode_letter(&letter, change.position), Ok(change));
    }

    #[test]
    fn a_cut_record_is_an_error(change in change(), cut in 0.0..1.0_f64) {
        let mut out = BytesMut::new();
        encode_change(SchemaId(1), &change, &mut out);
        let whole = out.freeze();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below len")]
        let length = (whole.len() as f64 * cut) as usize;
        let part = whole.slice(..length.min(whole.len() - 1));
        prop_assert!(decode_change(&part, change.position, &change.schema, &mut None).is_err());
    }

    #[test]
    #[expect(clippy::let_underscore_must_use, reason = "any answer will do")]
    fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), n in 0..5_usize) {
        let payload = Bytes::from(bytes);
        let _ = kind(&payload);
        let _ = decode_schema(&payload);
        let _ = decode_change(&payload, Position::default(), &schema(n), &mut None);
        let _ = decode_letter(&payload, Position::default());
    }
}

#[test]
fn a_schema_comes_back_as_it_went() {
    let mut out = BytesMut::new();
    encode_schema(SchemaId(7), &schema(3), &mut out);
    let payload = out.freeze();
    assert_eq!(kind(&payload), Ok(Kind::Schema));
    assert_eq!(decode_schema(&payload), Ok((SchemaId(7), (*schema(3)).clone())));
}

#[test]
fn nested_arrays_have_a_limit() {
    let mut value = Value::Null;
    for _ in 0..50 {
        value = Value::Array(Box::new(Array { dimensions: vec![], elements: vec![value] }));
    }
    let change = Change {
        schema: schema(1),
        operation: Operation::Insert,
        before: None,
        after: Some(vec![value].into()),
        position: Position::default(),
        log_address: 0,
        transaction: Arc::new(Transaction { id: 0, commit_time: Timestamp::from_micros(0) }),
        ends_transaction: true,
    };
    let mut out = BytesMut::new();
    encode_change(SchemaId(1), &change, &mut out);
    let back = decode_change(&out.freeze(), change.position, &change.schema, &mut None);
    assert_eq!(back, Err(DecodeError::TooDeep));
}
