//! A change together with its schema, for dead letters: readable without a log or a registry.

use super::{
    change::{decode_change, decode_schema, encode_change, encode_schema},
    wire::{Reader, put_bytes},
};
use crate::DecodeError;
use bytes::{Bytes, BytesMut};
use cdc_core::{Change, Position, SchemaId};
use std::sync::Arc;

/// Encodes a change with its schema.
#[must_use]
pub fn encode_letter(change: &Change) -> Bytes {
    let (mut out, mut part) = (BytesMut::new(), BytesMut::new());
    encode_schema(SchemaId(0), &change.schema, &mut part);
    put_bytes(&mut out, &part);
    part.clear();
    encode_change(SchemaId(0), change, &mut part);
    put_bytes(&mut out, &part);
    out.freeze()
}

/// The reverse of [`encode_letter`].
pub fn decode_letter(payload: &Bytes, position: Position) -> Result<Change, DecodeError> {
    let mut reader = Reader::new(payload.clone());
    let (_, schema) = decode_schema(&reader.bytes()?)?;
    let change = decode_change(&reader.bytes()?, position, &Arc::new(schema), &mut None)?;
    reader.finish()?;
    Ok(change)
}
