//! Values as PostgreSQL prints them, for the types that contain other types.

use super::{
    array,
    codec::Codec,
    datetime::{self, put},
    field::{Decoded, Field},
    float, interval,
};
use cdc_core::Value;

impl Codec {
    /// Prints a binary field as the server's output function would.
    pub(super) fn print(&self, field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
        match self {
            Self::Printed(printed) => printed.print(field, out),
            _ => {
                let value = self.binary(field)?;
                render(&value, self, out);
                Ok(())
            }
        }
    }
}

/// Prints a value of a type that `codec` reads as the server's output function would.
pub(super) fn render(value: &Value, codec: &Codec, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Unchanged => {}
        Value::Bool(value) => out.push(if *value { b't' } else { b'f' }),
        Value::Int(number) => put(out, format_args!("{number}")),
        Value::UInt(number) => put(out, format_args!("{number}")),
        Value::Float32(number) => float::print_single(*number, out),
        Value::Float64(number) => float::print_double(*number, out),
        Value::Decimal(text) | Value::Text(text) | Value::Json(text) => {
            out.extend_from_slice(text);
        }
        Value::Bytes(bytes) => {
            out.extend_from_slice(b"\\x");
            for byte in bytes {
                put(out, format_args!("{byte:02x}"));
            }
        }
        Value::Date(days) => datetime::print_date(*days, out),
        Value::Time(nanos) => datetime::print_time(*nanos, out),
        Value::TimeTz { nanos, offset_seconds } => {
            datetime::print_time(*nanos, out);
            datetime::print_offset(*offset_seconds, out);
        }
        Value::Timestamp(timestamp) => datetime::print_timestamp(*timestamp, false, out),
        Value::TimestampTz(timestamp) => datetime::print_timestamp(*timestamp, true, out),
        Value::Interval { months, days, micros } => interval::print(*months, *days, *micros, out),
        Value::Uuid(bytes) => {
            for (index, byte) in bytes.iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    out.push(b'-');
                }
                put(out, format_args!("{byte:02x}"));
            }
        }
        Value::Array(values) => {
            if let Codec::Array(codec) = codec {
                array::print(codec, values, out);
            }
        }
    }
}
