//! Avro as Confluent's converter for Connect makes it, and reads it back.
//!
//! ```text
//! Schema ─▶ Plan ─┬─▶ the text that is registered
//!                 └─▶ places in the order of the bytes ◀─ AvroWriter ◀─ one change
//! text of any writer ─▶ Reader ─▶ Schema
//! bytes of any writer ─▶ Reader ─▶ calls to any Writer
//! ```
//!
//! A [`Reader`] tells what it reads to any [`Writer`](super::Writer); [`Reader::json`] makes JSON with
//! schemas of it, so that whatever reads Debezium's JSON reads its Avro, too.
//!
//! | Connect | Avro |
//! |---|---|
//! | struct | record; its name is split at the last point; without one `ConnectDefault`, `ConnectDefault2` … |
//! | optional | union of null and the type; the type first where there is a default |
//! | int8, int16 | `int` with `connect.type` |
//! | Decimal, Date, Time, Timestamp of Connect | `decimal`, `date`, `time-millis`, `timestamp-millis` |
//! | name, version, parameters, doc, default | `connect.name`, `connect.version` … |
//!
//! A record that is used again is named only, as Java prints it: without its namespace where that is
//! the namespace of the record around it.

mod foreign;
mod plan;
mod reader;
mod text;
mod writer;

#[cfg(test)]
pub(crate) mod properties;
#[cfg(test)]
mod rate;

pub use foreign::Unreadable;
pub use plan::Plan;
pub use reader::{Malformed, Reader};
pub use writer::AvroWriter;
