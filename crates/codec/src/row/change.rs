//! Schema and change records.

use super::{
    value::{put_row, read_row},
    wire::{Reader, put_bytes, put_varint, put_zigzag},
};
use crate::DecodeError;
use bytes::{BufMut, Bytes, BytesMut};
use cdc_core::{
    Change, Operation, Position, Row, SchemaId, TableSchema, Timestamp, Transaction, Value,
};
use std::sync::Arc;

const SCHEMA: u8 = 1;
const CHANGE: u8 = 2;

const OPERATION: u8 = 0x07;
const HAS_BEFORE: u8 = 0x08;
const HAS_AFTER: u8 = 0x10;
const ENDS_TRANSACTION: u8 = 0x20;

/// What a record is, told from its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table schema with its number.
    Schema,
    /// A change written under this schema.
    Change(SchemaId),
}

/// Tells what a record is without decoding it.
pub fn kind(payload: &Bytes) -> Result<Kind, DecodeError> {
    match payload.first() {
        Some(&SCHEMA) => Ok(Kind::Schema),
        Some(&CHANGE) => {
            let mut reader = Reader::new(payload.clone());
            let _kind_and_flags: [u8; 2] = reader.array()?;
            Ok(Kind::Change(SchemaId(reader.u32("a schema id")?)))
        }
        Some(&tag) => Err(DecodeError::UnknownTag { what: "record", tag }),
        None => Err(DecodeError::Truncated),
    }
}

/// Appends a schema record.
pub fn encode_schema(id: SchemaId, schema: &TableSchema, out: &mut BytesMut) {
    out.put_u8(SCHEMA);
    put_varint(out, u64::from(id.0));
    let json = serde_json::to_vec(schema).expect("a schema has string keys only");
    put_bytes(out, &json);
}

/// Reads a schema record.
pub fn decode_schema(payload: &Bytes) -> Result<(SchemaId, TableSchema), DecodeError> {
    let mut reader = Reader::new(payload.clone());
    match reader.u8()? {
        SCHEMA => {}
        tag => return Err(DecodeError::UnknownTag { what: "schema record", tag }),
    }
    let id = SchemaId(reader.u32("a schema id")?);
    let json = reader.bytes()?;
    reader.finish()?;
    let schema: TableSchema =
        serde_json::from_slice(&json).map_err(|_| DecodeError::InvalidSchema)?;
    if schema.key.iter().any(|index| usize::from(*index) >= schema.columns.len()) {
        return Err(DecodeError::InvalidSchema);
    }
    Ok((id, schema))
}

/// Appends a change record. `id` is the number of the change's schema.
pub fn encode_change(id: SchemaId, change: &Change, out: &mut BytesMut) {
    out.put_u8(CHANGE);
    let mut flags = operation_code(change.operation);
    if change.before.is_some() {
        flags |= HAS_BEFORE;
    }
    if change.after.is_some() {
        flags |= HAS_AFTER;
    }
    if change.ends_transaction {
        flags |= ENDS_TRANSACTION;
    }
    out.put_u8(flags);
    put_varint(out, u64::from(id.0));
    put_varint(out, change.transaction.id);
    put_zigzag(out, change.transaction.commit_time.seconds);
    put_varint(out, u64::from(change.transaction.commit_time.nanos));
    put_varint(out, change.log_address);
    for row in [&change.before, &change.after].into_iter().flatten() {
        put_row(out, row);
    }
}

/// Appends the values of a row that identify it, by the indexes in its table's key: what partitions
/// are chosen by. Equal keys have equal bytes.
pub fn encode_key(key: &[u16], row: &[Value], out: &mut BytesMut) {
    for value in key.iter().filter_map(|index| row.get(usize::from(*index))) {
        put_row(out, std::slice::from_ref(value));
    }
}

/// Reads a change record written under `schema`. Consecutive changes of one transaction share the
/// `transaction` that the caller keeps between calls.
pub fn decode_change(
    payload: &Bytes,
    position: Position,
    schema: &Arc<TableSchema>,
    transaction: &mut Option<Arc<Transaction>>,
) -> Result<Change, DecodeError> {
    let mut reader = Reader::new(payload.clone());
    match reader.u8()? {
        CHANGE => {}
        tag => return Err(DecodeError::UnknownTag { what: "change record", tag }),
    }
    let flags = reader.u8()?;
    let operation = operation_of(flags & OPERATION)?;
    let _schema_id = reader.u32("a schema id")?;
    let id = reader.varint()?;
    let seconds = reader.zigzag()?;
    let commit_time = Timestamp { seconds, nanos: reader.u32("nanoseconds")? };
    let shared = share(transaction, Transaction { id, commit_time });
    let log_address = reader.varint()?;
    let mut row = |bit| read_optional_row(&mut reader, flags & bit != 0, schema);
    let (before, after) = (row(HAS_BEFORE)?, row(HAS_AFTER)?);
    reader.finish()?;
    Ok(Change {
        schema: Arc::clone(schema),
        operation,
        before,
        after,
        position,
        log_address,
        transaction: shared,
        ends_transaction: flags & ENDS_TRANSACTION != 0,
    })
}

fn read_optional_row(
    reader: &mut Reader,
    present: bool,
    schema: &TableSchema,
) -> Result<Option<Row>, DecodeError> {
    if !present {
        return Ok(None);
    }
    let row = read_row(reader)?;
    if row.len() != schema.columns.len() {
        return Err(DecodeError::OutOfRange("a row's number of columns"));
    }
    Ok(Some(row.into_boxed_slice()))
}

fn share(kept: &mut Option<Arc<Transaction>>, new: Transaction) -> Arc<Transaction> {
    match kept {
        Some(kept) if **kept == new => Arc::clone(kept),
        _ => Arc::clone(kept.insert(Arc::new(new))),
    }
}

fn operation_code(operation: Operation) -> u8 {
    match operation {
        Operation::Snapshot => 0,
        Operation::Insert => 1,
        Operation::Update => 2,
        Operation::Delete => 3,
        Operation::Truncate => 4,
        Operation::Message => 5,
    }
}

fn operation_of(code: u8) -> Result<Operation, DecodeError> {
    Ok(match code {
        0 => Operation::Snapshot,
        1 => Operation::Insert,
        2 => Operation::Update,
        3 => Operation::Delete,
        4 => Operation::Truncate,
        5 => Operation::Message,
        tag => return Err(DecodeError::UnknownTag { what: "operation", tag }),
    })
}
