//! Values of the row format.

use super::wire::{Reader, put_bytes, put_varint, put_zigzag};
use crate::DecodeError;
use bytes::{BufMut, BytesMut};
use cdc_core::{Array, Dimension, Timestamp, Value};

const NULL: u8 = 0;
const UNCHANGED: u8 = 1;
const FALSE: u8 = 2;
const TRUE: u8 = 3;
const INT: u8 = 4;
const UINT: u8 = 5;
const FLOAT32: u8 = 6;
const FLOAT64: u8 = 7;
const DECIMAL: u8 = 8;
const TEXT: u8 = 9;
const BYTES: u8 = 10;
const JSON: u8 = 11;
const DATE: u8 = 12;
const TIME: u8 = 13;
const TIME_TZ: u8 = 14;
const TIMESTAMP: u8 = 15;
const TIMESTAMP_TZ: u8 = 16;
const INTERVAL: u8 = 17;
const UUID: u8 = 18;
const ARRAY: u8 = 19;

/// An array's elements are no arrays in any source; one level more does no harm.
const DEPTH_MAX: u32 = 4;

pub(super) fn put_row(out: &mut BytesMut, row: &[Value]) {
    put_varint(out, row.len() as u64);
    for value in row {
        put_value(out, value);
    }
}

fn put_value(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Null => out.put_u8(NULL),
        Value::Unchanged => out.put_u8(UNCHANGED),
        Value::Bool(value) => out.put_u8(if *value { TRUE } else { FALSE }),
        Value::Int(value) => {
            out.put_u8(INT);
            put_zigzag(out, *value);
        }
        Value::UInt(value) => {
            out.put_u8(UINT);
            put_varint(out, *value);
        }
        Value::Float32(value) => {
            out.put_u8(FLOAT32);
            out.put_u32(value.to_bits());
        }
        Value::Float64(value) => {
            out.put_u8(FLOAT64);
            out.put_u64(value.to_bits());
        }
        Value::Decimal(bytes) => put_tagged(out, DECIMAL, bytes),
        Value::Text(bytes) => put_tagged(out, TEXT, bytes),
        Value::Bytes(bytes) => put_tagged(out, BYTES, bytes),
        Value::Json(bytes) => put_tagged(out, JSON, bytes),
        Value::Date(days) => {
            out.put_u8(DATE);
            put_zigzag(out, i64::from(*days));
        }
        Value::Time(nanos) => {
            out.put_u8(TIME);
            put_zigzag(out, *nanos);
        }
        Value::TimeTz { nanos, offset_seconds } => {
            out.put_u8(TIME_TZ);
            put_zigzag(out, *nanos);
            put_zigzag(out, i64::from(*offset_seconds));
        }
        Value::Timestamp(at) => put_timestamp(out, TIMESTAMP, *at),
        Value::TimestampTz(at) => put_timestamp(out, TIMESTAMP_TZ, *at),
        Value::Interval { months, days, micros } => {
            out.put_u8(INTERVAL);
            put_zigzag(out, i64::from(*months));
            put_zigzag(out, i64::from(*days));
            put_zigzag(out, *micros);
        }
        Value::Uuid(uuid) => {
            out.put_u8(UUID);
            out.put_slice(uuid);
        }
        Value::Array(array) => put_array(out, array),
    }
}

fn put_tagged(out: &mut BytesMut, tag: u8, bytes: &[u8]) {
    out.put_u8(tag);
    put_bytes(out, bytes);
}

fn put_timestamp(out: &mut BytesMut, tag: u8, at: Timestamp) {
    out.put_u8(tag);
    put_zigzag(out, at.seconds);
    put_varint(out, u64::from(at.nanos));
}

fn put_array(out: &mut BytesMut, array: &Array) {
    out.put_u8(ARRAY);
    put_varint(out, array.dimensions.len() as u64);
    for dimension in &array.dimensions {
        put_varint(out, u64::from(dimension.length));
        put_zigzag(out, i64::from(dimension.lower_bound));
    }
    put_row(out, &array.elements);
}

pub(super) fn read_row(reader: &mut Reader) -> Result<Vec<Value>, DecodeError> {
    read_values(reader, 0)
}

fn read_values(reader: &mut Reader, depth: u32) -> Result<Vec<Value>, DecodeError> {
    let count = reader.count()?;
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        values.push(read_value(reader, depth)?);
    }
    Ok(values)
}

fn read_value(reader: &mut Reader, depth: u32) -> Result<Value, DecodeError> {
    Ok(match reader.u8()? {
        NULL => Value::Null,
        UNCHANGED => Value::Unchanged,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INT => Value::Int(reader.zigzag()?),
        UINT => Value::UInt(reader.varint()?),
        FLOAT32 => Value::Float32(f32::from_be_bytes(reader.array()?)),
        FLOAT64 => Value::Float64(f64::from_be_bytes(reader.array()?)),
        DECIMAL => Value::Decimal(reader.bytes()?),
        TEXT => Value::Text(reader.bytes()?),
        BYTES => Value::Bytes(reader.bytes()?),
        JSON => Value::Json(reader.bytes()?),
        DATE => Value::Date(reader.i32("a date")?),
        TIME => Value::Time(reader.zigzag()?),
        TIME_TZ => {
            Value::TimeTz { nanos: reader.zigzag()?, offset_seconds: reader.i32("an offset")? }
        }
        TIMESTAMP => Value::Timestamp(read_timestamp(reader)?),
        TIMESTAMP_TZ => Value::TimestampTz(read_timestamp(reader)?),
        INTERVAL => Value::Interval {
            months: reader.i32("months")?,
            days: reader.i32("days")?,
            micros: reader.zigzag()?,
        },
        UUID => Value::Uuid(reader.array()?),
        ARRAY if depth >= DEPTH_MAX => return Err(DecodeError::TooDeep),
        ARRAY => Value::Array(Box::new(read_array(reader, depth + 1)?)),
        tag => return Err(DecodeError::UnknownTag { what: "value", tag }),
    })
}

fn read_timestamp(reader: &mut Reader) -> Result<Timestamp, DecodeError> {
    Ok(Timestamp { seconds: reader.zigzag()?, nanos: reader.u32("nanoseconds")? })
}

fn read_array(reader: &mut Reader, depth: u32) -> Result<Array, DecodeError> {
    let count = reader.count()?;
    let mut dimensions = Vec::with_capacity(count);
    for _ in 0..count {
        let length = reader.u32("an array's length")?;
        dimensions.push(Dimension { length, lower_bound: reader.i32("a lower bound")? });
    }
    Ok(Array { dimensions, elements: read_values(reader, depth)? })
}
