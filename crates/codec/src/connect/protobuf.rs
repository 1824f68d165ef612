//! Protobuf as Confluent's converter for Connect makes it.
//!
//! | Connect | Protobuf |
//! |---|---|
//! | struct | message, inside the message that first uses it; the outermost name's points make the package |
//! | int8, int16, int32 | `int32`, the narrow ones with `connect.type` |
//! | array | `repeated`; items are never null |
//! | map | `repeated` messages of `key` and `value` |
//! | Decimal, Date, Time, Timestamp of Connect | `confluent.type.Decimal`, `google.type.Date`, `google.type.TimeOfDay`, `google.protobuf.Timestamp` |
//!
//! A plain field of proto3 is not written where it is zero or empty, so that null cannot be told from
//! zero: [`Nullables::Optional`] marks what may be null with `optional`, as the converter does with
//! `optional.for.nullables`.

mod digits;
mod plan;
mod reader;
mod text;
mod writer;

#[cfg(test)]
pub(crate) mod properties;

pub use plan::{Nullables, Plan};
pub use reader::{Malformed, Reader};
pub use writer::ProtobufWriter;
