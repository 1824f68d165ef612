//! The log's own row format: what is written to disk once and read back by every sink.
//!
//! ```text
//! record  = 0x01 schema | 0x02 change
//! schema  = id:varint  json:bytes                      (a TableSchema)
//! change  = flags:u8  schema_id:varint  transaction_id:varint  commit_seconds:zigzag
//!           commit_nanos:varint  log_address:varint  [before:row]  [after:row]
//! flags   = operation in bits 0-2, has before 0x08, has after 0x10, ends transaction 0x20
//! row     = count:varint  value*
//! value   = tag:u8  payload
//! bytes   = length:varint  octets
//! ```
//!
//! Varints are unsigned LEB128; zigzag maps signed to unsigned first. The position is not in here:
//! the transport stores it beside the payload.

mod change;
mod letter;
mod value;
mod wire;

pub use change::{
    Kind, decode_change, decode_schema, encode_change, encode_key, encode_schema, kind,
};
pub use letter::{decode_letter, encode_letter};

#[cfg(test)]
mod tests;
