//! One value in the form of its column.

use super::decimal::{self, Parsed};
use super::options::{BinaryMode, IntervalMode};
use super::{error::Problem, form::Form, temporal};
use crate::connect::{Writer, label};
use base64::{Engine as _, engine::general_purpose};
use cdc_core::{Array, Dimension, Value};
use std::fmt::Write as _;

/// Arrays within arrays, dimensions included. PostgreSQL knows at most 6.
const DEPTH_MAX: usize = 32;

const OTHER_TYPE: Problem = Problem::Shape("a value of another type than its column's");
const MISCOUNTED: Problem = Problem::Shape("array with other dimensions than elements");
const NOT_A_NUMBER: Problem = Problem::Range("not a number, which only text and doubles can say");
const NESTED: Problem = Problem::Range("an array of several dimensions");

/// Writes a value in the form of its column. A value of another type than its column's is written as
/// what it is where the format has no schema. `Value::Unchanged` is the caller's to handle; inside an
/// array it is null.
pub(super) fn write<W: Writer>(out: &mut W, value: &Value, form: &Form) -> Result<(), Problem> {
    nested(out, value, form, 0)
}

fn nested<W: Writer>(out: &mut W, value: &Value, form: &Form, depth: usize) -> Result<(), Problem> {
    match (value, form) {
        (Value::Null | Value::Unchanged, _) => out.null(),
        (Value::Bool(value), Form::Boolean) => out.boolean(*value),
        (Value::Int(number), Form::Int16 | Form::Int32 | Form::Int64) => out.integer(*number),
        (Value::UInt(number), Form::UInt64) => {
            if !out.unsigned(*number) {
                return Err(Problem::Range("more than 63 bits"));
            }
        }
        (Value::Float32(number), Form::Float32) => out.float32(*number),
        (Value::Float64(number), Form::Float64) => out.float64(*number),
        (Value::Decimal(text), form) => decimal(out, text, form)?,
        (Value::Text(text), Form::Native(native)) => native.write(out, text)?,
        (Value::Text(text), Form::Text | Form::Semantic(_) | Form::Enum(_))
        | (Value::Json(text), Form::Semantic(_)) => out.string(utf8(text)?),
        (Value::Bytes(octets), Form::Bytes(mode)) => bytes(out, octets, *mode),
        (Value::Date(days), Form::Date(unit)) => temporal::write_date(out, *days, *unit),
        (Value::Time(nanos), Form::Time(unit)) => temporal::write_time(out, *nanos, *unit),
        (Value::TimeTz { nanos, offset_seconds }, Form::TimeTz) => {
            temporal::write_time_tz(out, *nanos, *offset_seconds);
        }
        (Value::Timestamp(at), Form::Timestamp(unit)) => {
            temporal::write_timestamp(out, *at, *unit)?;
        }
        (Value::TimestampTz(at), Form::TimestampTz { digits }) => {
            temporal::write_instant(out, *at, *digits);
        }
        (Value::Interval { months, days, micros }, Form::Interval(mode)) => match mode {
            IntervalMode::Numeric => out.integer(temporal::interval(*months, *days, *micros)?),
            IntervalMode::String => temporal::write_interval(out, *months, *days, *micros),
        },
        (Value::Uuid(octets), Form::Uuid) => uuid(out, *octets),
        (Value::Array(array), Form::Array(element)) => write_array(out, array, element, depth)?,
        _ if out.is_typed() => return Err(OTHER_TYPE),
        (Value::Text(text) | Value::Json(text), _) => out.string(utf8(text)?),
        (value, _) => nested(out, value, &natural(value), depth + 1)?,
    }
    Ok(())
}

/// The form of a value whose column says something else.
fn natural(value: &Value) -> Form {
    match value {
        Value::Bool(_) => Form::Boolean,
        Value::Int(_) => Form::Int64,
        Value::UInt(_) => Form::UInt64,
        Value::Float32(_) => Form::Float32,
        Value::Float64(_) => Form::Float64,
        Value::Decimal(_) => Form::AnyDecimal,
        Value::Bytes(_) => Form::Bytes(BinaryMode::Bytes),
        Value::Date(_) => Form::Date(temporal::Unit::Micros),
        Value::Time(_) => Form::Time(temporal::Unit::Micros),
        Value::TimeTz { .. } => Form::TimeTz,
        Value::Timestamp(_) => Form::Timestamp(temporal::Unit::Micros),
        Value::TimestampTz(_) => Form::TimestampTz { digits: 6 },
        Value::Interval { .. } => Form::Interval(IntervalMode::Numeric),
        Value::Uuid(_) => Form::Uuid,
        Value::Array(_) => Form::Array(Box::new(Form::Text)),
        Value::Null | Value::Unchanged | Value::Text(_) | Value::Json(_) => Form::Text,
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(bytes).map_err(|_| Problem::Encoding)
}

fn decimal<W: Writer>(out: &mut W, text: &[u8], form: &Form) -> Result<(), Problem> {
    let parsed = decimal::parse(text)?;
    match (form, parsed) {
        (Form::DecimalText { .. }, Parsed::Finite(_)) => out.string(utf8(text)?),
        // Java's name for it.
        (Form::DecimalText { .. }, Parsed::Special("NaN")) => out.string("NAN"),
        (Form::DecimalText { .. }, Parsed::Special(name)) => out.string(name),
        (Form::DecimalDouble, _) => {
            // PostgreSQL's words for what is not a number are Rust's too.
            let number = utf8(text)?.parse().map_err(|_| Problem::Shape("not a number"))?;
            out.float64(number);
        }
        (Form::Decimal { scale, .. }, Parsed::Finite(number)) => {
            out.bytes(&number.unscaled(*scale)?);
        }
        (Form::Decimal { .. }, Parsed::Special(name)) if !out.is_typed() => out.string(name),
        (Form::AnyDecimal, Parsed::Finite(number)) => {
            let (scale, unscaled) = number.shortest()?;
            any_decimal(out, scale, |out| out.bytes(&unscaled));
        }
        (Form::AnyDecimal, Parsed::Special(name)) if !out.is_typed() => {
            any_decimal(out, 0, |out| out.string(name));
        }
        (Form::Decimal { .. } | Form::AnyDecimal, Parsed::Special(_)) => return Err(NOT_A_NUMBER),
        _ if out.is_typed() => return Err(OTHER_TYPE),
        _ => return decimal(out, text, &Form::AnyDecimal),
    }
    Ok(())
}

/// A struct of scale and unscaled bytes.
pub(super) fn any_decimal<W: Writer>(out: &mut W, scale: i32, value: impl FnOnce(&mut W)) {
    out.begin_struct();
    out.field(label!("scale"));
    out.integer(i64::from(scale));
    out.field(label!("value"));
    value(out);
    out.end_struct();
}

fn bytes<W: Writer>(out: &mut W, octets: &[u8], mode: BinaryMode) {
    match mode {
        BinaryMode::Bytes => out.bytes(octets),
        BinaryMode::Base64 => out.string(&general_purpose::STANDARD.encode(octets)),
        BinaryMode::Base64UrlSafe => out.string(&general_purpose::URL_SAFE.encode(octets)),
        BinaryMode::Hex => out.string(&hex(octets)),
    }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut out, octet| {
        write!(out, "{octet:02x}").expect("a string takes every character");
        out
    })
}

/// Writes a UUID as text.
pub(super) fn uuid<W: Writer>(out: &mut W, octets: [u8; 16]) {
    let number = u128::from_be_bytes(octets);
    out.plain(format_args!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        number >> 96,
        number >> 80 & 0xffff,
        number >> 64 & 0xffff,
        number >> 48 & 0xffff,
        number & 0xffff_ffff_ffff
    ));
}

fn write_array<W: Writer>(
    out: &mut W,
    array: &Array,
    form: &Form,
    depth: usize,
) -> Result<(), Problem> {
    let Some((dimension, inner)) = array.dimensions.split_first() else {
        if !array.elements.is_empty() {
            return Err(MISCOUNTED);
        }
        out.begin_array(0);
        out.end_array();
        return Ok(());
    };
    if !inner.is_empty() && out.is_typed() {
        return Err(NESTED);
    }
    write_dimension(out, *dimension, inner, &array.elements, (form, depth + 1))
}

fn write_dimension<W: Writer>(
    out: &mut W,
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
    out.begin_array(length);
    let stride = elements.len().checked_div(length).unwrap_or(0).max(1);
    for chunk in elements.chunks(stride) {
        out.item();
        match (inner.split_first(), chunk) {
            (Some((next, inner)), chunk) => {
                write_dimension(out, *next, inner, chunk, (form, depth + 1))?;
            }
            (None, [element]) => nested(out, element, form, depth)?,
            (None, _) => return Err(MISCOUNTED),
        }
    }
    out.end_array();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::JsonWriter;

    fn array(lengths: &[u32], elements: usize, typed: bool) -> Result<String, Problem> {
        let dimensions =
            lengths.iter().map(|length| Dimension { length: *length, lower_bound: 1 }).collect();
        let elements = (0..elements).map(|n| Value::Int(i64::try_from(n).unwrap())).collect();
        let mut out = Vec::new();
        let value = Value::Array(Box::new(Array { dimensions, elements }));
        let form = Form::Array(Box::new(Form::Int32));
        write(&mut JsonWriter::new(&mut out, typed), &value, &form)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn arrays_nest_by_their_dimensions() {
        assert_eq!(array(&[], 0, true).unwrap(), "[]");
        assert_eq!(array(&[0], 0, true).unwrap(), "[]");
        assert_eq!(array(&[3], 3, true).unwrap(), "[0,1,2]");
        assert_eq!(array(&[2, 3], 6, false).unwrap(), "[[0,1,2],[3,4,5]]");
        assert_eq!(array(&[1, 2, 1], 2, false).unwrap(), "[[[0],[1]]]");
        assert_eq!(array(&[2, 3], 6, true), Err(NESTED));
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
            assert!(
                matches!(array(lengths, elements, false), Err(Problem::Shape(_))),
                "{lengths:?}"
            );
        }
    }

    #[test]
    fn a_schema_is_kept_and_without_one_nothing_is_lost() {
        for (value, form, loose) in [
            (Value::Int(1), Form::Text, Ok("1")),
            (Value::text("a"), Form::Int32, Ok("\"a\"")),
            (Value::Decimal("NaN".into()), Form::AnyDecimal, Ok(r#"{"scale":0,"value":"NaN"}"#)),
            (Value::Decimal("1.5".into()), Form::Text, Ok(r#"{"scale":1,"value":"Dw=="}"#)),
        ] {
            let mut out = Vec::new();
            let written = write(&mut JsonWriter::new(&mut out, false), &value, &form);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(written.map(|()| text.as_str()), loose);
            assert!(write(&mut JsonWriter::new(&mut Vec::new(), true), &value, &form).is_err());
        }
    }
}
