//! What stands where the database sent no value.

use super::native::Native;
use super::options::{BinaryMode, IntervalMode, Placeholder, Unlogged};
use super::plan::Column;
use super::{column_default, form::Form, temporal::Unit, value};
use crate::connect::{Writer, label};

/// Writes what stands in `before` for a value that the database did not log: where it may not be null,
/// the column's default or the type's zero.
pub(super) fn unlogged<W: Writer>(out: &mut W, column: &Column, unlogged: Unlogged) {
    match &column.default {
        _ if !column.required || unlogged == Unlogged::Null && !out.is_typed() => out.null(),
        Some(default) => column_default::write(out, default, &column.form),
        None => zero(out, &column.form),
    }
}

/// Writes the type's zero.
pub(super) fn zero<W: Writer>(out: &mut W, form: &Form) {
    match form {
        Form::Boolean | Form::Native(Native::Bit) => out.boolean(false),
        Form::Int16
        | Form::Int32
        | Form::Int64
        | Form::UInt64
        | Form::Interval(IntervalMode::Numeric)
        | Form::Native(Native::Oid) => out.integer(0),
        Form::Float32 => out.float32(0.0),
        Form::Float64 | Form::DecimalDouble => out.float64(0.0),
        Form::Decimal { .. } => out.bytes(&[0]),
        Form::AnyDecimal => value::any_decimal(out, 0, |out| out.bytes(&[0])),
        Form::DecimalText { scale: Some(scale @ 1..) } => {
            let digits = usize::try_from(*scale).unwrap_or(1);
            out.plain(format_args!("0.{:0digits$}", 0));
        }
        Form::DecimalText { .. } => out.plain(format_args!("0")),
        Form::Bytes(BinaryMode::Bytes) | Form::Native(Native::Bits { .. }) => out.bytes(&[]),
        Form::Date(Unit::Iso) => out.plain(format_args!("1970-01-01Z")),
        Form::TimeTz | Form::Time(Unit::Iso) => out.plain(format_args!("00:00:00Z")),
        Form::TimestampTz { .. } | Form::Timestamp(Unit::Iso) => {
            out.plain(format_args!("1970-01-01T00:00:00Z"));
        }
        Form::Date(_) | Form::Time(_) | Form::Timestamp(_) => out.integer(0),
        Form::Interval(IntervalMode::String) => out.plain(format_args!("P0Y0M0DT0H0M0S")),
        Form::Native(native) => native.zero(out),
        Form::Array(_) => {
            out.begin_array(0);
            out.end_array();
        }
        Form::Text | Form::Semantic(_) | Form::Enum(_) | Form::Bytes(_) | Form::Uuid => {
            out.string("");
        }
    }
}

/// Writes the placeholder in the form of its type, so that a reader's parser takes it. None of the
/// forms is a value that a real column would have by chance. A type that can say nothing like it, and
/// that no database stores apart, is null.
pub(super) fn placeholder<W: Writer>(out: &mut W, form: &Form, placeholder: &Placeholder) {
    match form {
        Form::Bytes(BinaryMode::Bytes) | Form::Decimal { .. } => out.bytes(&placeholder.octets),
        Form::Native(Native::Bits { .. }) => out.bytes(&placeholder.octets),
        Form::AnyDecimal => value::any_decimal(out, 0, |out| out.bytes(&placeholder.octets)),
        Form::Array(element) => array(out, element, placeholder),
        Form::Native(native) => native.placeholder(out, placeholder),
        form if is_text(form) => out.string(&placeholder.text),
        _ => out.null(),
    }
}

fn array<W: Writer>(out: &mut W, element: &Form, holder: &Placeholder) {
    if matches!(element, Form::Boolean | Form::Native(Native::Bit)) {
        return out.null();
    }
    if let Some(number) = number_of(element) {
        out.begin_array(holder.octets.len());
        for octet in &holder.octets {
            out.item();
            number(out, *octet);
        }
    } else {
        out.begin_array(1);
        out.item();
        match element {
            Form::Uuid => value::uuid(out, holder.uuid),
            element => placeholder(out, element, holder),
        }
    }
    out.end_array();
}

/// How an octet is written where elements are numbers.
fn number_of<W: Writer>(form: &Form) -> Option<fn(&mut W, u8)> {
    match form {
        Form::Float32 => Some(|out, octet| out.float32(f32::from(octet))),
        Form::Float64 | Form::DecimalDouble => Some(|out, octet| out.float64(f64::from(octet))),
        Form::Date(Unit::Iso) | Form::Time(Unit::Iso) | Form::Timestamp(Unit::Iso) => None,
        Form::Int16
        | Form::Int32
        | Form::Int64
        | Form::UInt64
        | Form::Date(_)
        | Form::Time(_)
        | Form::Timestamp(_)
        | Form::Interval(IntervalMode::Numeric)
        | Form::Native(Native::Oid) => Some(|out, octet| out.integer(i64::from(octet))),
        _ => None,
    }
}

fn is_text(form: &Form) -> bool {
    matches!(
        form,
        Form::Text
            | Form::Semantic(_)
            | Form::Enum(_)
            | Form::DecimalText { .. }
            | Form::Bytes(_)
            | Form::Date(Unit::Iso)
            | Form::Time(Unit::Iso)
            | Form::Timestamp(Unit::Iso)
            | Form::TimeTz
            | Form::TimestampTz { .. }
            | Form::Interval(IntervalMode::String)
            | Form::Uuid
    )
}

/// A shape whose bytes are these.
pub(super) fn shape<W: Writer>(out: &mut W, wkb: &[u8], srid: Option<u32>) {
    out.begin_struct();
    out.field(label!("wkb"));
    out.bytes(wkb);
    out.field(label!("srid"));
    match srid {
        Some(srid) => out.integer(i64::from(srid)),
        None => out.null(),
    }
    out.end_struct();
}
