//! How a column's values are written, and what Connect calls them: one decision for both.

use super::native::Native;
use super::options::{BinaryMode, DecimalMode, HstoreMode, IntervalMode, Options, TimeMode};
use super::temporal::Unit;
use crate::connect::{Field, Kind, Schema};
use cdc_core::{Column, DataType};

/// How a column's values are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Boolean,
    Int16,
    Int32,
    Int64,
    /// 64 bits without a sign.
    UInt64,
    Float32,
    Float64,
    Text,
    /// Text with a meaning that Connect has a name for.
    Semantic(&'static str),
    /// One of these labels, in one text with commas.
    Enum(String),
    /// Unscaled bytes at this scale.
    Decimal {
        precision: Option<u32>,
        scale: i32,
    },
    /// Scale and unscaled bytes.
    AnyDecimal,
    /// A decimal number as text.
    DecimalText {
        scale: Option<i32>,
    },
    /// The nearest double-precision number.
    DecimalDouble,
    Bytes(BinaryMode),
    Date(Unit),
    /// Units since midnight.
    Time(Unit),
    TimeTz,
    /// Units since 1970.
    Timestamp(Unit),
    /// Text with so many digits of a second.
    TimestampTz {
        digits: u8,
    },
    Interval(IntervalMode),
    Uuid,
    /// A type that arrives as text.
    Native(Native),
    /// Elements of this form.
    Array(Box<Form>),
}

impl Form {
    pub(super) fn of(column: &Column, options: &Options) -> Self {
        Self::of_type(&column.data_type, &column.native_type, options)
    }

    fn of_type(data_type: &DataType, native_type: &str, options: &Options) -> Self {
        match data_type {
            DataType::Bool => Self::Boolean,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::UInt64 => Self::UInt64,
            DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal { precision, scale } => {
                Self::decimal(*precision, *scale, options.decimals)
            }
            DataType::Text => Self::Text,
            DataType::Bytes => Self::Bytes(options.binary),
            DataType::Json => Self::Semantic("io.debezium.data.Json"),
            DataType::Date => Self::Date(Unit::of_date(options.times)),
            DataType::Time { precision } => Self::Time(Unit::of_time(options.times, *precision)),
            DataType::TimeTz { .. } => Self::TimeTz,
            DataType::Timestamp { precision } => {
                Self::Timestamp(Unit::of_timestamp(options.times, *precision))
            }
            DataType::TimestampTz { precision } => {
                Self::TimestampTz { digits: precision.unwrap_or(6) }
            }
            DataType::Interval => Self::Interval(options.intervals),
            DataType::Uuid => Self::Uuid,
            DataType::Enum { labels } => Self::Enum(labels.join(",")),
            DataType::Array(element) => {
                let element_type = native_type.trim_end_matches("[]");
                Self::Array(Box::new(Self::of_type(element, element_type, options)))
            }
            DataType::Other => Self::of_native(native_type, options),
        }
    }

    fn of_native(native_type: &str, options: &Options) -> Self {
        let bare = native_type.rsplit_once('.').map_or(native_type, |(_, bare)| bare);
        match (native_type, bare) {
            ("xml", _) => Self::Semantic("io.debezium.data.Xml"),
            ("tsvector", _) => Self::Semantic("io.debezium.data.Tsvector"),
            (_, "ltree") => Self::Semantic("io.debezium.data.Ltree"),
            _ => Native::named(native_type, options).map_or(Self::Text, Self::Native),
        }
    }

    pub(super) fn decimal(precision: Option<u32>, scale: Option<i32>, mode: DecimalMode) -> Self {
        match (mode, scale) {
            (DecimalMode::Precise, Some(scale)) => Self::Decimal { precision, scale },
            (DecimalMode::Precise, None) => Self::AnyDecimal,
            (DecimalMode::Double, _) => Self::DecimalDouble,
            (DecimalMode::String, scale) => Self::DecimalText { scale },
        }
    }

    /// Are its values arrays or maps, which Protobuf cannot tell from null where they are empty?
    pub(super) fn is_repeated(&self) -> bool {
        matches!(
            self,
            Self::Array(_) | Self::Native(Native::Vector { .. } | Native::Hstore(HstoreMode::Map))
        )
    }

    /// The schema of the column's values, required.
    pub(super) fn schema(&self) -> Schema {
        let semantic = |kind: Kind, name: &str| Schema::new(kind).named(name).version(1);
        match self {
            Self::Boolean => Schema::new(Kind::Boolean),
            Self::Int16 => Schema::new(Kind::Int16),
            Self::Int32 => Schema::new(Kind::Int32),
            Self::Int64 | Self::UInt64 => Schema::new(Kind::Int64),
            Self::Float32 => Schema::new(Kind::Float32),
            Self::Float64 | Self::DecimalDouble => Schema::new(Kind::Float64),
            Self::Text | Self::DecimalText { .. } => Schema::new(Kind::String),
            Self::Semantic(name) => semantic(Kind::String, name),
            Self::Enum(allowed) => {
                semantic(Kind::String, "io.debezium.data.Enum").parameter("allowed", allowed)
            }
            Self::Decimal { precision, scale } => decimal_schema(*precision, *scale),
            Self::AnyDecimal => any_decimal_schema(),
            Self::Bytes(BinaryMode::Bytes) => Schema::new(Kind::Bytes),
            Self::Bytes(_) => Schema::new(Kind::String),
            Self::Date(unit) => semantic(unit.date_kind(), unit.date_name()),
            Self::Time(unit) => semantic(unit.time_kind(), unit.time_name()),
            Self::Timestamp(unit) => semantic(unit.timestamp_kind(), unit.timestamp_name()),
            Self::TimeTz => semantic(Kind::String, "io.debezium.time.ZonedTime"),
            Self::TimestampTz { .. } => semantic(Kind::String, "io.debezium.time.ZonedTimestamp"),
            Self::Interval(IntervalMode::Numeric) => {
                semantic(Kind::Int64, "io.debezium.time.MicroDuration")
            }
            Self::Interval(IntervalMode::String) => {
                semantic(Kind::String, "io.debezium.time.Interval")
            }
            Self::Uuid => semantic(Kind::String, "io.debezium.data.Uuid"),
            Self::Native(native) => native.schema(),
            Self::Array(element) => Schema::array_of(element.schema().optional()),
        }
    }
}

/// A decimal number of a fixed scale.
pub(super) fn decimal_schema(precision: Option<u32>, scale: i32) -> Schema {
    let schema = Schema::new(Kind::Bytes)
        .named("org.apache.kafka.connect.data.Decimal")
        .version(1)
        .parameter("scale", scale.to_string());
    match precision {
        Some(digits) => schema.parameter("connect.decimal.precision", digits.to_string()),
        None => schema,
    }
}

fn any_decimal_schema() -> Schema {
    Schema::of_fields(vec![
        Field::new("scale", Schema::new(Kind::Int32)),
        Field::new("value", Schema::new(Kind::Bytes)),
    ])
    .named("io.debezium.data.VariableScaleDecimal")
    .version(1)
    .doc("Variable scaled decimal")
}

impl Unit {
    fn of_date(mode: TimeMode) -> Self {
        match mode {
            TimeMode::Connect => Self::Connect,
            TimeMode::Isostring => Self::Iso,
            _ => Self::Micros,
        }
    }

    fn of_time(mode: TimeMode, digits: Option<u8>) -> Self {
        match mode {
            TimeMode::AdaptiveTimeMicroseconds => Self::Micros,
            mode => Self::of_timestamp(mode, digits),
        }
    }

    /// Databases keep 6 digits by default.
    fn of_timestamp(mode: TimeMode, digits: Option<u8>) -> Self {
        match mode {
            TimeMode::Adaptive | TimeMode::AdaptiveTimeMicroseconds => {
                if digits.unwrap_or(6) <= 3 {
                    Self::Millis
                } else {
                    Self::Micros
                }
            }
            TimeMode::Connect => Self::Connect,
            TimeMode::Isostring => Self::Iso,
            TimeMode::Microseconds => Self::Micros,
            TimeMode::Nanoseconds => Self::Nanos,
        }
    }

    fn date_kind(self) -> Kind {
        if self == Self::Iso { Kind::String } else { Kind::Int32 }
    }

    fn date_name(self) -> &'static str {
        match self {
            Self::Connect => "org.apache.kafka.connect.data.Date",
            Self::Iso => "io.debezium.time.IsoDate",
            Self::Millis | Self::Micros | Self::Nanos => "io.debezium.time.Date",
        }
    }

    fn time_kind(self) -> Kind {
        match self {
            Self::Millis | Self::Connect => Kind::Int32,
            Self::Micros | Self::Nanos => Kind::Int64,
            Self::Iso => Kind::String,
        }
    }

    fn time_name(self) -> &'static str {
        match self {
            Self::Millis => "io.debezium.time.Time",
            Self::Micros => "io.debezium.time.MicroTime",
            Self::Nanos => "io.debezium.time.NanoTime",
            Self::Connect => "org.apache.kafka.connect.data.Time",
            Self::Iso => "io.debezium.time.IsoTime",
        }
    }

    fn timestamp_kind(self) -> Kind {
        if self == Self::Iso { Kind::String } else { Kind::Int64 }
    }

    fn timestamp_name(self) -> &'static str {
        match self {
            Self::Millis => "io.debezium.time.Timestamp",
            Self::Micros => "io.debezium.time.MicroTimestamp",
            Self::Nanos => "io.debezium.time.NanoTimestamp",
            Self::Connect => "org.apache.kafka.connect.data.Timestamp",
            Self::Iso => "io.debezium.time.IsoTimestamp",
        }
    }
}
