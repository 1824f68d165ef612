//! Values as PostgreSQL sends them, binary or text, into [`Value`]s.
//!
//! ```text
//!   type catalog ─▶ Codec per column ─▶ Decoder ─┬─ binary ─▶ Value
//!                                                └─ text ───▶ Value     (both give the same value)
//! ```
//!
//! Everything here is a total function of the bytes it is given: wrong input is an [`Error`] that
//! names the column and its type, never a panic and never the value.

mod array;
mod codec;
mod composite;
mod datetime;
mod decoder;
mod field;
mod float;
mod geometry;
mod interval;
mod network;
mod numeric;
mod printed;
mod render;
mod scalar;

pub use decoder::{DecodedColumn, Decoder, Error};
pub use field::Problem;

use crate::schema::TypeCatalog;
use bytes::Bytes;
use cdc_core::Value;

/// Reads a value of a type from the text that the server prints for it.
pub(crate) fn value_of_text(
    type_oid: u32,
    types: &TypeCatalog,
    text: &str,
) -> Result<Value, Problem> {
    codec::Codec::of(type_oid, types).text(field::Field::whole(&Bytes::from(text.to_owned())))
}
