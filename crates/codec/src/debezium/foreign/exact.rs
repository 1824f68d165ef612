//! Our own records: what reads a column is known from its form.

use super::values::Reading;
use crate::debezium::form::Form;
use crate::debezium::native::Native;
use crate::debezium::options::{BinaryMode, IntervalMode};
use crate::debezium::temporal::Unit;
use cdc_core::DataType;

/// What reads the values of a column that are written in this form.
pub(super) fn of_form(form: &Form, data_type: &DataType, native_type: &str) -> Reading {
    match form {
        Form::Boolean => Reading::Bool,
        Form::Int16 | Form::Int32 | Form::Int64 => Reading::Int,
        Form::UInt64 => Reading::Unsigned,
        Form::Float32 => Reading::Float32,
        Form::Float64 => Reading::Float64,
        Form::Text | Form::Enum(_) => Reading::Text,
        Form::Semantic(_) if *data_type == DataType::Json => Reading::JsonText,
        Form::Semantic(_) => Reading::Text,
        Form::Decimal { scale, .. } => Reading::Decimal { scale: *scale },
        Form::AnyDecimal => Reading::AnyDecimal,
        Form::DecimalText { .. } => Reading::DecimalText,
        Form::DecimalDouble => Reading::DecimalDouble,
        Form::Bytes(BinaryMode::Bytes) => Reading::Bytes,
        Form::Bytes(mode) => Reading::Encoded(*mode),
        Form::Date(Unit::Iso) => Reading::IsoDate,
        Form::Date(_) => Reading::Days,
        Form::Time(Unit::Iso) => Reading::IsoTime,
        Form::Time(unit) => Reading::Time { nanos: i64::from(unit.nanos()) },
        Form::TimeTz => Reading::ZonedTime,
        Form::Timestamp(Unit::Iso) => Reading::IsoTimestamp,
        Form::Timestamp(unit) => {
            Reading::Timestamp { per_second: i64::from(1_000_000_000 / unit.nanos()) }
        }
        Form::TimestampTz { .. } => Reading::ZonedTimestamp,
        Form::Interval(IntervalMode::Numeric) => Reading::MicroDuration,
        Form::Interval(IntervalMode::String) => Reading::IsoInterval,
        Form::Uuid => Reading::Uuid,
        Form::Native(native) => Reading::Native(exactly(*native, native_type)),
        Form::Array(element) => {
            let element_type = match data_type {
                DataType::Array(element) => element,
                other => other,
            };
            let depth = match &**element {
                Form::Native(Native::Vector { .. }) => 1,
                _ => 0,
            };
            let native_type = native_type.trim_end_matches("[]");
            let element = Box::new(of_form(element, element_type, native_type));
            Reading::Nested { element, depth }
        }
    }
}

/// A `bit varying` has as many digits as it needs.
fn exactly(native: Native, native_type: &str) -> Native {
    match native {
        Native::Bits { .. } if !is_of_fixed_length(native_type) => Native::Bits { length: 0 },
        native => native,
    }
}

fn is_of_fixed_length(native_type: &str) -> bool {
    let bare = native_type.strip_prefix("pg_catalog.").unwrap_or(native_type);
    bare.trim_start_matches('"').starts_with("bit(")
}
