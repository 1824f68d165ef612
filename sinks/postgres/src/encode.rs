//! Values to the bytes that PostgreSQL's binary protocol takes.

use crate::{literal, numeric};
use bytes::{BufMut, BytesMut};
use cdc_core::{Array, DataType, Timestamp, Value};
use tokio_postgres::types::Type;

/// Days from 1970-01-01 to PostgreSQL's own epoch, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_SECONDS: i64 = 946_684_800;
const NANOS_PER_MICRO: i64 = 1_000;
const JSONB_VERSION: u8 = 1;
const SQL_NULL: i32 = -1;

/// The form in which a column's values travel to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    /// Text that the server casts; takes every value.
    Text {
        /// Between the elements of arrays.
        delimiter: u8,
    },
    Json,
    Jsonb,
    Bytea,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
}

/// The value is not one that the column's wire form can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit;

impl Wire {
    /// Text, with the usual delimiter in arrays.
    pub(crate) const TEXT: Self = Self::Text { delimiter: literal::COMMA };

    /// The binary form that takes `data_type` to a column of the type `oid`, if there is one.
    pub(crate) fn binary(oid: u32, data_type: &DataType) -> Option<Self> {
        let integer = matches!(data_type, DataType::Int16 | DataType::Int32 | DataType::Int64);
        let exact = matches!(data_type, DataType::Decimal { .. } | DataType::UInt64);
        let wire = match Type::from_oid(oid)? {
            Type::BOOL if *data_type == DataType::Bool => Self::Bool,
            Type::INT2 if integer => Self::Int2,
            Type::INT4 if integer => Self::Int4,
            Type::INT8 if integer => Self::Int8,
            Type::FLOAT4 if *data_type == DataType::Float32 => Self::Float4,
            Type::FLOAT8 if matches!(data_type, DataType::Float32 | DataType::Float64) => {
                Self::Float8
            }
            Type::NUMERIC if integer || exact => Self::Numeric,
            Type::JSON if *data_type == DataType::Json => Self::Json,
            Type::JSONB if *data_type == DataType::Json => Self::Jsonb,
            Type::BYTEA if *data_type == DataType::Bytes => Self::Bytea,
            Type::DATE if *data_type == DataType::Date => Self::Date,
            Type::TIME if matches!(data_type, DataType::Time { .. }) => Self::Time,
            Type::TIMETZ if matches!(data_type, DataType::TimeTz { .. }) => Self::TimeTz,
            Type::TIMESTAMP if matches!(data_type, DataType::Timestamp { .. }) => Self::Timestamp,
            Type::TIMESTAMPTZ if matches!(data_type, DataType::TimestampTz { .. }) => {
                Self::TimestampTz
            }
            Type::INTERVAL if *data_type == DataType::Interval => Self::Interval,
            Type::UUID if *data_type == DataType::Uuid => Self::Uuid,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR => Self::TEXT,
            _ => return None,
        };
        Some(wire)
    }

    /// The type of an array of such values.
    pub(crate) fn array_type(self) -> Type {
        match self {
            Self::Bool => Type::BOOL_ARRAY,
            Self::Int2 => Type::INT2_ARRAY,
            Self::Int4 => Type::INT4_ARRAY,
            Self::Int8 => Type::INT8_ARRAY,
            Self::Float4 => Type::FLOAT4_ARRAY,
            Self::Float8 => Type::FLOAT8_ARRAY,
            Self::Numeric => Type::NUMERIC_ARRAY,
            Self::Text { .. } => Type::TEXT_ARRAY,
            Self::Json => Type::JSON_ARRAY,
            Self::Jsonb => Type::JSONB_ARRAY,
            Self::Bytea => Type::BYTEA_ARRAY,
            Self::Date => Type::DATE_ARRAY,
            Self::Time => Type::TIME_ARRAY,
            Self::TimeTz => Type::TIMETZ_ARRAY,
            Self::Timestamp => Type::TIMESTAMP_ARRAY,
            Self::TimestampTz => Type::TIMESTAMPTZ_ARRAY,
            Self::Interval => Type::INTERVAL_ARRAY,
            Self::Uuid => Type::UUID_ARRAY,
        }
    }

    /// The type of one such value.
    pub(crate) fn element_type(self) -> Type {
        match self {
            Self::Bool => Type::BOOL,
            Self::Int2 => Type::INT2,
            Self::Int4 => Type::INT4,
            Self::Int8 => Type::INT8,
            Self::Float4 => Type::FLOAT4,
            Self::Float8 => Type::FLOAT8,
            Self::Numeric => Type::NUMERIC,
            Self::Text { .. } => Type::TEXT,
            Self::Json => Type::JSON,
            Self::Jsonb => Type::JSONB,
            Self::Bytea => Type::BYTEA,
            Self::Date => Type::DATE,
            Self::Time => Type::TIME,
            Self::TimeTz => Type::TIMETZ,
            Self::Timestamp => Type::TIMESTAMP,
            Self::TimestampTz => Type::TIMESTAMPTZ,
            Self::Interval => Type::INTERVAL,
            Self::Uuid => Type::UUID,
        }
    }
}

/// Appends a length and the value, or the length of NULL.
pub(crate) fn field(wire: Wire, value: &Value, out: &mut BytesMut) -> Result<(), Unfit> {
    with_length(out, |out| match value {
        Value::Null => Ok(false),
        value => scalar(wire, value, out).map(|()| true),
    })
}

/// Appends a length and an array in PostgreSQL's binary form, or the length of NULL.
pub(crate) fn array_field(wire: Wire, value: &Value, out: &mut BytesMut) -> Result<(), Unfit> {
    with_length(out, |out| match value {
        Value::Null => Ok(false),
        Value::Array(array) => put_array(wire, array, out).map(|()| true),
        _ => Err(Unfit),
    })
}

/// Reserves the length, writes, and fills it in; `Ok(false)` from `write` means NULL.
fn with_length(
    out: &mut BytesMut,
    write: impl FnOnce(&mut BytesMut) -> Result<bool, Unfit>,
) -> Result<(), Unfit> {
    let at = out.len();
    out.put_i32(SQL_NULL);
    if write(out)? {
        let length = i32::try_from(out.len() - at - 4).map_err(|_| Unfit)?;
        patch(out, at, length);
    }
    Ok(())
}

fn patch(out: &mut BytesMut, at: usize, number: i32) {
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}

fn scalar(wire: Wire, value: &Value, out: &mut BytesMut) -> Result<(), Unfit> {
    match (wire, value) {
        (_, Value::Unchanged) => return Err(Unfit),
        (Wire::Text { delimiter }, value) => text(value, delimiter, out),
        (Wire::Bool, Value::Bool(value)) => out.put_u8(u8::from(*value)),
        (Wire::Int2, Value::Int(value)) => out.put_i16(i16::try_from(*value).map_err(|_| Unfit)?),
        (Wire::Int4, Value::Int(value)) => out.put_i32(i32::try_from(*value).map_err(|_| Unfit)?),
        (Wire::Int8, Value::Int(value)) => out.put_i64(*value),
        (Wire::Float4, Value::Float32(value)) => out.put_f32(*value),
        (Wire::Float8, Value::Float64(value)) => out.put_f64(*value),
        (Wire::Float8, Value::Float32(value)) => out.put_f64(f64::from(*value)),
        (Wire::Numeric, Value::Decimal(digits)) => {
            numeric::encode(digits, out).map_err(|_| Unfit)?;
        }
        (Wire::Numeric, Value::Int(_) | Value::UInt(_)) => {
            let mut digits = Vec::new();
            literal::write(value, literal::COMMA, &mut digits);
            numeric::encode(&digits, out).map_err(|_| Unfit)?;
        }
        (Wire::Json, Value::Json(bytes) | Value::Text(bytes)) => out.put_slice(bytes),
        (Wire::Jsonb, Value::Json(bytes) | Value::Text(bytes)) => {
            out.put_u8(JSONB_VERSION);
            out.put_slice(bytes);
        }
        (Wire::Bytea, Value::Bytes(bytes)) => out.put_slice(bytes),
        (Wire::Date, Value::Date(days)) => out.put_i32(date(*days)?),
        (Wire::Time, Value::Time(nanos)) => out.put_i64(micros(*nanos)?),
        (Wire::TimeTz, Value::TimeTz { nanos, offset_seconds }) => {
            out.put_i64(micros(*nanos)?);
            out.put_i32(offset_seconds.checked_neg().ok_or(Unfit)?);
        }
        (Wire::Timestamp, Value::Timestamp(at)) | (Wire::TimestampTz, Value::TimestampTz(at)) => {
            out.put_i64(timestamp(*at)?);
        }
        (Wire::Interval, Value::Interval { months, days, micros }) => {
            out.put_i64(*micros);
            out.put_i32(*days);
            out.put_i32(*months);
        }
        (Wire::Uuid, Value::Uuid(bytes)) => out.put_slice(bytes),
        _ => return Err(Unfit),
    }
    Ok(())
}

fn text(value: &Value, delimiter: u8, out: &mut BytesMut) {
    match value {
        Value::Text(bytes) | Value::Json(bytes) | Value::Decimal(bytes) => out.put_slice(bytes),
        value => {
            let mut buffer = Vec::new();
            literal::write(value, delimiter, &mut buffer);
            out.put_slice(&buffer);
        }
    }
}

fn date(days: i32) -> Result<i32, Unfit> {
    match days {
        i32::MAX | i32::MIN => Ok(days),
        days => days.checked_sub(EPOCH_DAYS).ok_or(Unfit),
    }
}

/// Whole microseconds; anything finer would be lost without a word.
fn micros(nanos: i64) -> Result<i64, Unfit> {
    if nanos % NANOS_PER_MICRO == 0 { Ok(nanos / NANOS_PER_MICRO) } else { Err(Unfit) }
}

fn timestamp(at: Timestamp) -> Result<i64, Unfit> {
    if at == Timestamp::INFINITY {
        return Ok(i64::MAX);
    }
    if at == Timestamp::NEG_INFINITY {
        return Ok(i64::MIN);
    }
    micros(i64::from(at.nanos))?;
    // The last years that PostgreSQL knows do not fit when they are counted from 1970.
    let seconds = at.seconds.checked_sub(EPOCH_SECONDS).ok_or(Unfit)?;
    Timestamp { seconds, ..at }.to_micros().ok_or(Unfit)
}

fn put_array(wire: Wire, array: &Array, out: &mut BytesMut) -> Result<(), Unfit> {
    let empty = array.elements.is_empty();
    let dimensions = if empty { &[][..] } else { &array.dimensions[..] };
    let elements: u64 = dimensions.iter().map(|dimension| u64::from(dimension.length)).product();
    if !empty && u64::try_from(array.elements.len()) != Ok(elements) {
        return Err(Unfit);
    }
    let has_null = array.elements.contains(&Value::Null);
    out.put_i32(i32::try_from(dimensions.len()).map_err(|_| Unfit)?);
    out.put_i32(i32::from(has_null));
    out.put_u32(wire.element_type().oid());
    for dimension in dimensions {
        out.put_i32(i32::try_from(dimension.length).map_err(|_| Unfit)?);
        out.put_i32(dimension.lower_bound);
    }
    array.elements.iter().try_for_each(|element| field(wire, element, out))
}

/// Builds the one-dimensional array that carries one column of many rows.
#[derive(Debug)]
pub(crate) struct ColumnArray {
    wire: Wire,
    bytes: BytesMut,
    count: i32,
    has_null: bool,
}

/// Dimensions, null flag, element type, length, lower bound.
const ARRAY_HEADER_BYTES: usize = 20;

impl ColumnArray {
    /// An empty array.
    pub(crate) fn new(wire: Wire) -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_bytes(0, ARRAY_HEADER_BYTES);
        Self { wire, bytes, count: 0, has_null: false }
    }

    /// Appends one element.
    pub(crate) fn push(&mut self, value: &Value) -> Result<(), Unfit> {
        self.has_null |= *value == Value::Null;
        self.count = self.count.checked_add(1).ok_or(Unfit)?;
        field(self.wire, value, &mut self.bytes)
    }

    /// Bytes held.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The finished parameter.
    pub(crate) fn finish(mut self) -> BytesMut {
        let oid = self.wire.element_type().oid();
        patch(&mut self.bytes, 0, 1);
        patch(&mut self.bytes, 4, i32::from(self.has_null));
        patch(&mut self.bytes, 8, i32::from_be_bytes(oid.to_be_bytes()));
        patch(&mut self.bytes, 12, self.count);
        patch(&mut self.bytes, 16, 1);
        self.bytes
    }
}
