//! Kafka Connect's schema model, which every format of Debezium's records is derived from.
//!
//! ```text
//! TableSchema + Options ─▶ Schema of key, envelope … ─┬─▶ text of JSON with schemas
//!                                                     ├─▶ Avro schema      (others build on it)
//!                                                     └─▶ Protobuf, JSON Schema
//! Change ─▶ calls to a Writer, in the order of the schema ─▶ bytes of one format
//! ```
//!
//! A [`Schema`] is a tree: a [`Kind`] with what Connect says about it (is it optional, which semantic
//! name and version, which parameters). A [`Writer`] takes one value of a schema, part by part, so
//! that no format needs a tree of the value.

pub mod avro;
mod distinct;
mod framing;
mod json;
pub mod json_schema;
mod label;
mod misfit;
mod names;
mod print;
pub mod protobuf;
mod read;
mod schema;
mod varint;
mod writer;

#[cfg(test)]
mod converted;
#[cfg(test)]
pub(crate) mod sample;

pub use framing::{Framed, Unframed, frame, unframe};
pub use json::JsonWriter;
pub use label::Label;
pub(crate) use label::label;
pub use misfit::{Misfit, Unsayable};
pub use names::NameAdjustment;
pub use print::print;
pub use read::{UnreadableSchema, read};
pub use schema::{Field, Kind, Literal, Schema};
pub use writer::Writer;
