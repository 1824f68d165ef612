//! One value as JSON.

use super::decimal::{self, Parsed};
use super::{error::Problem, json, plan::Form, temporal};
use cdc_core::{Array, Dimension, Value};

/// Arrays within arrays, dimensions included. PostgreSQL knows at most 6.
const DEPTH_MAX: usize = 32;

/// Writes a value in the form of its column. A value of another type than its column's is written as
/// what it is. `Value::Unchanged` is the caller's to handle; inside an array it is null.
pub(super) fn write(out: &mut Vec<u8>, value: &Value, form: &Form) -> Result<(), Problem> {
    nested(out, value, form, 0)
}

fn nested(out: &mut Vec<u8>, value: &Value, form: &Form, depth: usize) -> Result<(), Problem> {
    match (value, form) {
        (Value::Null | Value::Unchanged, _) => out.extend_from_slice(b"null"),
        (Value::Bool(true), _) => out.extend_from_slice(b"true"),
        (Value::Bool(false), _) => out.extend_from_slice(b"false"),
        (Value::Int(number), _) => json::integer(out, *number),
        (Value::UInt(number), _) => json::unsigned(out, *number),
        (Value::Float32(number), _) => json::float32(out, *number),
        (Value::Float64(number), _) => json::float64(out, *number),
        (Value::Decimal(text), Form::Decimal { scale }) => decimal_at(out, text, *scale)?,
        (Value::Decimal(text), _) => any_decimal(out, text)?,
        (Value::Text(text), Form::Native(native)) => native.write(out, text)?,
        (Value::Text(text) | Value::Json(text), _) => json::text(out, text)?,
        (Value::Bytes(bytes), _) => json::base64(out, bytes)?,
        (Value::Date(days), _) => json::integer(out, i64::from(*days)),
        (Value::Time(nanos), form) => json::integer(out, temporal::time(*nanos, time_unit(form))),
        (Value::TimeTz { nanos, offset_seconds }, _) => {
            temporal::write_time_tz(out, *nanos, *offset_seconds);
        }
        (Value::Timestamp(at), form) => {
            json::integer(out, temporal::timestamp(*at, time_unit(form))?);
        }
        (Value::TimestampTz(at), _) => temporal::write_instant(out, *at),
        (Value::Interval { months, days, micros }, _) => {
            json::integer(out, temporal::interval(*months, *days, *micros)?);
        }
        (Value::Uuid(bytes), _) => uuid(out, *bytes),
        (Value::Array(array), form) => {
            let element = if let Form::Array(element) = form { element } else { &Form::Plain };
            write_array(out, array, element, depth)?;
        }
    }
    Ok(())
}

fn time_unit(form: &Form) -> temporal::Unit {
    match form {
        Form::Time(unit) | Form::Timestamp(unit) => *unit,
        _ => temporal::Unit::Micros,
    }
}

fn decimal_at(out: &mut Vec<u8>, text: &[u8], scale: i32) -> Result<(), Problem> {
    match decimal::parse(text)? {
        Parsed::Finite(number) => json::base64(out, &number.unscaled(scale)?),
        Parsed::Special(name) => {
            json::string(out, name);
            Ok(())
        }
    }
}

fn any_decimal(out: &mut Vec<u8>, text: &[u8]) -> Result<(), Problem> {
    out.extend_from_slice(b"{\"scale\":");
    match decimal::parse(text)? {
        Parsed::Finite(number) => {
            let (scale, unscaled) = number.shortest()?;
            json::integer(out, i64::from(scale));
            out.extend_from_slice(b",\"value\":");
            json::base64(out, &unscaled)?;
        }
        Parsed::Special(name) => {
            out.extend_from_slice(b"0,\"value\":");
            json::string(out, name);
        }
    }
    out.push(b'}');
    Ok(())
}

fn uuid(out: &mut Vec<u8>, bytes: [u8; 16]) {
    out.push(b'"');
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        json::token(out, format_args!("{byte:02x}"));
    }
    out.push(b'"');
}

fn write_array(out: &mut Vec<u8>, array: &Array, form: &Form, depth: usize) -> Result<(), Problem> {
    let Some((dimension, inner)) = array.dimensions.split_first() else {
        out.extend_from_slice(b"[]");
        return if array.elements.is_empty() { Ok(()) } else { Err(MISCOUNTED) };
    };
    write_dimension(out, *dimension, inner, &array.elements, (form, depth + 1))
}

const MISCOUNTED: Problem = Problem::Shape("array with other dimensions than elements");

fn write_dimension(
    out: &mut Vec<u8>,
    dimension: Dimension,
    inner: &[Dimension],
    elements: &[Value],
    (form, depth): (&Form, usize),
) -> Result<(), Problem> {
    if depth > DEPTH_MAX {
        return Err(Problem::Shape("array with too many dimensions"));
    }
    let length = usize::try_from(dimension.length).map_err(|_| MISCOUNTED)?;
    if length > elements.len() || !elements.len().is_multiple_of(length) {
        return Err(MISCOUNTED);
    }
    out.push(b'[');
    let stride = elements.len().checked_div(length).unwrap_or(0).max(1);
    for (index, chunk) in elements.chunks(stride).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match (inner.split_first(), chunk) {
            (Some((next, inner)), chunk) => {
                write_dimension(out, *next, inner, chunk, (form, depth + 1))?;
            }
            (None, [element]) => nested(out, element, form, depth)?,
            (None, _) => return Err(MISCOUNTED),
        }
    }
    out.push(b']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(lengths: &[u32], elements: usize) -> Result<String, Problem> {
        let dimensions =
            lengths.iter().map(|length| Dimension { length: *length, lower_bound: 1 }).collect();
        let elements = (0..elements).map(|n| Value::Int(i64::try_from(n).unwrap())).collect();
        let mut out = Vec::new();
        let value = Value::Array(Box::new(Array { dimensions, elements }));
        write(&mut out, &value, &Form::Plain)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn arrays_nest_by_their_dimensions() {
        assert_eq!(array(&[], 0).unwrap(), "[]");
        assert_eq!(array(&[0], 0).unwrap(), "[]");
        assert_eq!(array(&[3], 3).unwrap(), "[0,1,2]");
        assert_eq!(array(&[2, 3], 6).unwrap(), "[[0,1,2],[3,4,5]]");
        assert_eq!(array(&[1, 2, 1], 2).unwrap(), "[[[0],[1]]]");
    }

    #[test]
    fn arrays_of_a_wrong_size_are_refused() {
        let cases: [(&[u32], usize); 7] = [
            (&[], 1),
            (&[0], 1),
            (&[2], 3),
            (&[3], 2),
            (&[2, 2], 6),
            (&[u32::MAX, u32::MAX], 4),
            (&[1; 40], 1),
        ];
        for (lengths, elements) in cases {
            assert!(matches!(array(lengths, elements), Err(Problem::Shape(_))), "{lengths:?}");
        }
    }
}
