//! One column's value, as it was in the database.

use bytes::Bytes;

/// The values of one row, in the order of its table schema's columns.
pub type Row = Box<[Value]>;

/// One column's value. Variable-length values are slices of the frame they arrived in, so that a row
/// costs one allocation.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// In `after`: the column keeps the value it had (an unchanged TOAST column). In `before`: the
    /// database did not log this column. Never to be written over real data.
    Unchanged,
    /// True or false.
    Bool(bool),
    /// A signed integer of up to 64 bits.
    Int(i64),
    /// An unsigned integer that needs 64 bits.
    UInt(u64),
    /// A single-precision number.
    Float32(f32),
    /// A double-precision number.
    Float64(f64),
    /// An exact number in plain decimal notation, with the scale it was stored with: `-12.340`,
    /// or `NaN`, `Infinity`, `-Infinity`.
    Decimal(Bytes),
    /// UTF-8 text. Also the form of every type that has no variant of its own: its database's text
    /// form, with the type's name in [`Column::native_type`](crate::Column::native_type).
    Text(Bytes),
    /// Raw bytes.
    Bytes(Bytes),
    /// A JSON document, exactly as the database prints it.
    Json(Bytes),
    /// Days since 1970-01-01 in the proleptic Gregorian calendar; `i32::MAX` is infinity,
    /// `i32::MIN` is minus infinity.
    Date(i32),
    /// Nanoseconds since midnight; 24:00:00 is allowed.
    Time(i64),
    /// A time of day with its offset.
    TimeTz {
        /// Nanoseconds since local midnight.
        nanos: i64,
        /// Offset of local time in seconds east of UTC.
        offset_seconds: i32,
    },
    /// A date and time without a zone, counted as if it were UTC.
    Timestamp(Timestamp),
    /// An instant.
    TimestampTz(Timestamp),
    /// A span whose parts do not convert into each other.
    Interval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Microseconds.
        micros: i64,
    },
    /// A UUID.
    Uuid([u8; 16]),
    /// An array of any number of dimensions.
    Array(Box<Array>),
}

impl Value {
    /// Builds a text value from a static or owned string.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Bytes::from(text.into()))
    }

    /// Bytes of memory that the value keeps alive beyond its own enum.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Decimal(b) | Self::Text(b) | Self::Bytes(b) | Self::Json(b) => b.len(),
            Self::Array(array) => {
                let inner: usize = array.elements.iter().map(Self::heap_bytes).sum();
                inner + array.elements.len() * size_of::<Self>() + array.dimensions.len() * 8
            }
            Self::Null
            | Self::Unchanged
            | Self::Bool(_)
            | Self::Int(_)
            | Self::UInt(_)
            | Self::Float32(_)
            | Self::Float64(_)
            | Self::Date(_)
            | Self::Time(_)
            | Self::TimeTz { .. }
            | Self::Timestamp(_)
            | Self::TimestampTz(_)
            | Self::Interval { .. }
            | Self::Uuid(_) => 0,
        }
    }
}

/// A point on the time line: seconds since 1970-01-01T00:00:00 and nanoseconds after that second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds, rounded down; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after `seconds`, below 1,000,000,000.
    pub nanos: u32,
}

impl Timestamp {
    /// Later than every other timestamp.
    pub const INFINITY: Self = Self { seconds: i64::MAX, nanos: 0 };
    /// Earlier than every other timestamp.
    pub const NEG_INFINITY: Self = Self { seconds: i64::MIN, nanos: 0 };

    /// Splits microseconds since 1970 into seconds and nanoseconds.
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        let nanos = u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0) * 1_000;
        Self { seconds: micros.div_euclid(1_000_000), nanos }
    }

    /// Microseconds since 1970; `None` when they do not fit, as infinity does not.
    #[must_use]
    pub fn to_micros(self) -> Option<i64> {
        let micros = i128::from(self.seconds) * 1_000_000 + i128::from(self.nanos / 1_000);
        i64::try_from(micros).ok()
    }

    /// Is this one of the two infinities?
    #[must_use]
    pub fn is_infinite(self) -> bool {
        self == Self::INFINITY || self == Self::NEG_INFINITY
    }
}

/// An array of any number of dimensions, its elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// From the outermost in; empty for an empty array.
    pub dimensions: Vec<Dimension>,
    /// As many as the product of the dimensions' lengths.
    pub elements: Vec<Value>,
}

/// One dimension of an [`Array`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// Number of elements along this dimension.
    pub length: u32,
    /// Index of the first element; 1 unless the user chose another.
    pub lower_bound: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_round_trip_on_both_sides_of_the_epoch() {
        for micros in [0, 1, -1, 999_999, -1_000_001, i64::MAX, i64::MIN] {
            assert_eq!(Timestamp::from_micros(micros).to_micros(), Some(micros));
        }
        assert_eq!(Timestamp::from_micros(-1), Timestamp { seconds: -1, nanos: 999_999_000 });
        assert_eq!(Timestamp::INFINITY.to_micros(), None);
    }

    #[test]
    fn a_value_stays_small() {
        assert!(size_of::<Value>() <= 40);
    }
}
