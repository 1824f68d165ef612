//! One field of any type into a value, from either form.

use super::{
    array,
    codec::Codec,
    datetime,
    field::{Decoded, Field, Problem},
    float, interval, numeric,
};
use bytes::Bytes;
use cdc_core::Value;

impl Codec {
    /// Reads the form that the type's send function makes.
    #[inline]
    pub(super) fn binary(&self, field: Field<'_>) -> Decoded<Value> {
        match self {
            Self::Int4 => Ok(Value::Int(i32::from_be_bytes(field.exact()?).into())),
            Self::Int8 => Ok(Value::Int(i64::from_be_bytes(field.exact()?))),
            Self::Text => text(field),
            Self::TimestampTz => datetime::timestamp_from_binary(field).map(Value::TimestampTz),
            Self::Timestamp => datetime::timestamp_from_binary(field).map(Value::Timestamp),
            Self::Bool => match field.exact()? {
                [0] => Ok(Value::Bool(false)),
                [1] => Ok(Value::Bool(true)),
                _ => Err(Problem::OutOfRange),
            },
            Self::Int2 => Ok(Value::Int(i16::from_be_bytes(field.exact()?).into())),
            Self::Oid => Ok(Value::Int(u32::from_be_bytes(field.exact()?).into())),
            Self::Float4 => Ok(Value::Float32(f32::from_be_bytes(field.exact()?))),
            Self::Float8 => Ok(Value::Float64(f64::from_be_bytes(field.exact()?))),
            Self::Numeric => numeric::from_binary(field).map(Value::Decimal),
            Self::Char => field.exact().map(|[byte]| char_value(byte)),
            Self::Bytea => Ok(Value::Bytes(field.shared())),
            Self::Json => json(field),
            Self::Jsonb => json(versioned(field)?),
            Self::Uuid => field.exact().map(Value::Uuid),
            Self::Date => datetime::date_from_binary(field),
            Self::Time => datetime::time_from_binary(field),
            Self::TimeTz => datetime::time_tz_from_binary(field),
            Self::Interval => interval::from_binary(field),
            Self::Array(codec) => array::from_binary(codec, field),
            Self::Printed(printed) => {
                let mut out = Vec::new();
                printed.print(field, &mut out)?;
                Ok(Value::Text(Bytes::from(out)))
            }
            Self::Unprinted => Err(Problem::NotBinary),
        }
    }

    /// Reads the form that the type's output function makes under our session settings.
    pub(super) fn text(&self, field: Field<'_>) -> Decoded<Value> {
        match self {
            Self::Bool => match field.bytes() {
                b"t" => Ok(Value::Bool(true)),
                b"f" => Ok(Value::Bool(false)),
                _ => Err(Problem::Syntax),
            },
            Self::Int2 => integer::<i16>(field),
            Self::Int4 => integer::<i32>(field),
            Self::Int8 => integer::<i64>(field),
            Self::Oid => integer::<u32>(field),
            Self::Float4 => float::single_from_text(field).map(Value::Float32),
            Self::Float8 => float::double_from_text(field).map(Value::Float64),
            Self::Numeric => numeric::from_text(field).map(Value::Decimal),
            Self::Char => match field.bytes() {
                [byte] => Ok(char_value(*byte)),
                _ => text(field),
            },
            Self::Bytea => bytea(field.bytes()).map(Value::Bytes),
            Self::Json | Self::Jsonb => json(field),
            Self::Uuid => uuid(field.bytes()).map(Value::Uuid),
            Self::Date => datetime::date_from_text(field),
            Self::Time => datetime::time_from_text(field),
            Self::TimeTz => datetime::time_tz_from_text(field),
            Self::Timestamp => datetime::timestamp_from_text(field).map(Value::Timestamp),
            Self::TimestampTz => datetime::timestamp_tz_from_text(field).map(Value::TimestampTz),
            Self::Interval => interval::from_text(field),
            Self::Array(codec) => array::from_text(codec, field),
            Self::Text | Self::Printed(_) | Self::Unprinted => text(field),
        }
    }
}

#[inline]
fn text(field: Field<'_>) -> Decoded<Value> {
    field.utf8()?;
    Ok(Value::Text(field.shared()))
}

fn json(field: Field<'_>) -> Decoded<Value> {
    field.utf8()?;
    Ok(Value::Json(field.shared()))
}

/// What follows the version number that some binary forms start with.
pub(super) fn versioned(field: Field<'_>) -> Decoded<Field<'_>> {
    let mut reader = field.reader();
    match reader.u8()? {
        1 => Ok(reader.rest()),
        _ => Err(Problem::OutOfRange),
    }
}

fn integer<T>(field: Field<'_>) -> Decoded<Value>
where
    T: std::str::FromStr + Into<i64>,
{
    let text = field.utf8()?;
    if text.starts_with('+') {
        return Err(Problem::Syntax);
    }
    text.parse::<T>().map(|number| Value::Int(number.into())).map_err(|_| Problem::Syntax)
}

/// A zero byte prints as nothing, a byte that is no ASCII as `\ooo`.
fn char_value(byte: u8) -> Value {
    match byte {
        0 => Value::Text(Bytes::new()),
        1..=0x7F => Value::Text(Bytes::copy_from_slice(&[byte])),
        _ => Value::text(format!("\\{byte:03o}")),
    }
}

fn hex_digit(byte: u8) -> Decoded<u8> {
    let digit = char::from(byte).to_digit(16).ok_or(Problem::Syntax)?;
    u8::try_from(digit).map_err(|_| Problem::Syntax)
}

fn hex_pairs(text: &[u8]) -> impl Iterator<Item = Decoded<u8>> + '_ {
    text.chunks(2).map(|pair| match pair {
        [high, low] => Ok(hex_digit(*high)? << 4 | hex_digit(*low)?),
        _ => Err(Problem::Syntax),
    })
}

fn bytea(text: &[u8]) -> Decoded<Bytes> {
    if let Some(hex) = text.strip_prefix(b"\\x") {
        let mut out = Vec::with_capacity(hex.len() / 2);
        for byte in hex_pairs(hex) {
            out.push(byte?);
        }
        return Ok(Bytes::from(out));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    loop {
        rest = match rest {
            [] => return Ok(Bytes::from(out)),
            [b'\\', b'\\', tail @ ..] => {
                out.push(b'\\');
                tail
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                tail
            }
            [b'\\', ..] => return Err(Problem::Syntax),
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
        };
    }
}

fn uuid(text: &[u8]) -> Decoded<[u8; 16]> {
    let digits: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'-').collect();
    let bytes = hex_pairs(&digits).collect::<Decoded<Vec<u8>>>()?;
    bytes.try_into().map_err(|_| Problem::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_text_forms_of_bytes_are_read() {
        assert_eq!(bytea(b"\\x00ff7A").unwrap().as_ref(), [0, 0xFF, 0x7A]);
        assert_eq!(bytea(b"\\000\\377z\\\\").unwrap().as_ref(), [0, 0xFF, b'z', b'\\']);
        for bad in [b"\\x0".as_slice(), b"\\xzz", b"\\9", b"\\400"] {
            assert_eq!(bytea(bad), Err(Problem::Syntax));
        }
    }

    #[test]
    fn one_byte_characters_print_as_the_server_prints_them() {
        assert_eq!(char_value(0), Value::text(""));
        assert_eq!(char_value(b'x'), Value::text("x"));
        assert_eq!(char_value(0xE4), Value::text("\\344"));
    }
}
