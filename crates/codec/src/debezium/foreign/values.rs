//! JSON of one column as a value.

use super::guess::Guessed;
use super::{natives, text};
use crate::debezium::decimal::{self, Parsed};
use crate::debezium::native::Native;
use crate::debezium::options::{BinaryMode, Placeholder, octets_of};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use cdc_core::{Array, Dimension, Timestamp, Value};
use serde_json::Value as Json;

/// What reads one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// What records call it.
    pub(super) label: String,
    pub(super) reading: Reading,
}

/// How a column's JSON is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Bool,
    Int,
    Float32,
    Float64,
    Text,
    Bytes,
    OctetsOfText,
    /// Any JSON, as the text of a document.
    Document,
    /// Text that holds JSON.
    JsonText,
    /// Unscaled bytes at this scale.
    Decimal {
        scale: i32,
    },
    /// Scale and unscaled bytes.
    AnyDecimal,
    Days,
    IsoDate,
    /// Units of so many nanoseconds since midnight.
    Time {
        nanos: i64,
    },
    IsoTime,
    ZonedTime,
    /// So many units a second, since 1970.
    Timestamp {
        per_second: i64,
    },
    IsoTimestamp,
    ZonedTimestamp,
    MicroDuration,
    IsoInterval,
    Uuid,
    Point,
    /// So many bits, or as many as are needed where it is 0.
    Bits {
        length: u32,
    },
    Array(Box<Reading>),
    /// An array of any number of dimensions; so many more are in each element's own form.
    Nested {
        element: Box<Reading>,
        depth: usize,
    },
    /// An integer without a sign.
    Unsigned,
    /// Octets as text.
    Encoded(BinaryMode),
    /// A decimal number as text.
    DecimalText,
    /// A decimal number as a double-precision number.
    DecimalDouble,
    /// Text of a type of PostgreSQL's that is told in another form.
    Native(Native),
    /// Without a schema.
    Guess(Guessed),
}

/// What a value looks like that had not changed.
#[derive(Clone, Debug)]
pub(super) struct Marks {
    text: String,
    base64: String,
    octets: Vec<u8>,
    uuid: String,
}

impl Marks {
    pub(super) fn new(placeholder: &Placeholder) -> Self {
        Self {
            text: placeholder.text.clone(),
            base64: STANDARD.encode(&placeholder.octets),
            octets: placeholder.octets.clone(),
            uuid: uuid::Uuid::from_bytes(placeholder.uuid).to_string(),
        }
    }

    /// Is this the placeholder, in any form that it has?
    pub(super) fn stand_in(&self, json: &Json) -> bool {
        match json {
            Json::String(text) => {
                let object = || serde_json::from_str::<Json>(text).is_ok_and(|j| self.is_pair(&j));
                *text == self.text || *text == self.base64 || text.starts_with('{') && object()
            }
            Json::Array(items) => match items.as_slice() {
                [Json::String(text)] if *text == self.uuid => true,
                [one] if self.stand_in(one) => true,
                many => {
                    let octets = self.octets.iter().map(|octet| Some(f64::from(*octet)));
                    many.len() == self.octets.len() && many.iter().map(Json::as_f64).eq(octets)
                }
            },
            Json::Object(_) => {
                self.is_pair(json) || json.get("value").is_some_and(|value| value == &self.base64)
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => false,
        }
    }

    fn is_pair(&self, json: &Json) -> bool {
        json.as_object().is_some_and(|object| object.len() == 1)
            && json.get(&self.text).and_then(Json::as_str) == Some(&self.text)
    }
}

impl Column {
    /// The value; `None` when the JSON is not of this column's type.
    pub(super) fn read(&self, json: &Json, marks: &Marks) -> Option<Value> {
        if marks.stand_in(json) {
            return Some(Value::Unchanged);
        }
        self.reading.read(json)
    }
}

impl Reading {
    /// The value; `None` when the JSON is not of this type.
    pub(super) fn read(&self, json: &Json) -> Option<Value> {
        if json.is_null() {
            return Some(Value::Null);
        }
        Some(match self {
            Self::Bool => Value::Bool(json.as_bool()?),
            Self::Int => Value::Int(json.as_i64()?),
            #[expect(clippy::cast_possible_truncation, reason = "it was written from one")]
            Self::Float32 => Value::Float32(float(json)? as f32),
            Self::Float64 => Value::Float64(float(json)?),
            Self::Text => Value::text(json.as_str()?),
            Self::Bytes => Value::Bytes(octets(json)?.into()),
            Self::OctetsOfText => Value::Bytes(json.as_str()?.to_owned().into()),
            Self::Document => Value::Json(json.to_string().into()),
            // The zero of a document that was not logged is no document.
            Self::JsonText => {
                Value::Json(json.as_str().filter(|text| !text.is_empty())?.to_owned().into())
            }
            Self::Decimal { scale } => decimal_value(json, *scale)?,
            Self::AnyDecimal => {
                let scale = i32::try_from(json.get("scale")?.as_i64()?).ok()?;
                decimal_value(json.get("value")?, scale)?
            }
            Self::Array(element) => array(json.as_array()?, element)?,
            Self::Nested { element, depth } => nested(json, element, *depth)?,
            Self::Unsigned => Value::UInt(json.as_u64()?),
            Self::Encoded(mode) => Value::Bytes(encoded(json.as_str()?, *mode)?.into()),
            Self::DecimalText => decimal_text(json.as_str()?)?,
            Self::DecimalDouble => Value::Decimal(natives::plain(float(json)?).into()),
            Self::Native(native) => Value::text(natives::text(*native, json)?),
            Self::Uuid => Value::Uuid(uuid::Uuid::try_parse(json.as_str()?).ok()?.into_bytes()),
            Self::Point => point(json)?,
            Self::Bits { length } => bits(&octets(json)?, *length)?,
            Self::Guess(guessed) => guessed.value(json)?,
            temporal => temporal.read_time(json)?,
        })
    }

    fn read_time(&self, json: &Json) -> Option<Value> {
        Some(match self {
            Self::Days => Value::Date(i32::try_from(json.as_i64()?).ok()?),
            Self::IsoDate => Value::Date(i32::try_from(text::date(json.as_str()?)?).ok()?),
            Self::Time { nanos } => Value::Time(json.as_i64()?.checked_mul(*nanos)?),
            Self::IsoTime => Value::Time(text::time(json.as_str()?)?.0),
            Self::ZonedTime => {
                let (nanos, offset_seconds) = text::time(json.as_str()?)?;
                Value::TimeTz { nanos, offset_seconds }
            }
            Self::Timestamp { per_second } => {
                Value::Timestamp(timestamp(json.as_i64()?, *per_second)?)
            }
            Self::IsoTimestamp => Value::Timestamp(text::timestamp(json.as_str()?)?),
            Self::ZonedTimestamp => Value::TimestampTz(text::timestamp(json.as_str()?)?),
            Self::MicroDuration => match json.as_i64()? {
                i64::MAX => Value::Interval { months: i32::MAX, days: i32::MAX, micros: i64::MAX },
                i64::MIN => Value::Interval { months: i32::MIN, days: i32::MIN, micros: i64::MIN },
                micros => Value::Interval { months: 0, days: 0, micros },
            },
            Self::IsoInterval => text::interval(json.as_str()?)?,
            _ => return None,
        })
    }
}

/// Numbers, and the names of those that JSON has no numbers for.
pub(super) fn float(json: &Json) -> Option<f64> {
    match json {
        Json::String(text) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {
            text.parse().ok()
        }
        other => other.as_f64(),
    }
}

pub(super) fn octets(json: &Json) -> Option<Vec<u8>> {
    STANDARD.decode(json.as_str()?).ok()
}

/// Octets that were written as text.
fn encoded(text: &str, mode: BinaryMode) -> Option<Vec<u8>> {
    match mode {
        BinaryMode::Bytes | BinaryMode::Base64 => STANDARD.decode(text).ok(),
        BinaryMode::Base64UrlSafe => URL_SAFE.decode(text).ok(),
        BinaryMode::Hex => text.len().is_multiple_of(2).then(|| octets_of(text))?,
    }
}

/// What has no digits, by its name in records.
fn no_number(name: &str) -> Option<Value> {
    let text = match name {
        "NaN" | "NAN" => "NaN",
        "POSITIVE_INFINITY" => "Infinity",
        "NEGATIVE_INFINITY" => "-Infinity",
        _ => return None,
    };
    Some(Value::Decimal(text.into()))
}

fn decimal_text(text: &str) -> Option<Value> {
    if let Some(value) = no_number(text) {
        return Some(value);
    }
    let finite = matches!(decimal::parse(text.as_bytes()), Ok(Parsed::Finite(_)));
    finite.then(|| Value::Decimal(text.to_owned().into()))
}

/// From unscaled bytes, or from the number that `decimal.format=NUMERIC` writes.
fn decimal_value(json: &Json, scale: i32) -> Option<Value> {
    let text = match json {
        // None of these names is base64.
        Json::String(name) if no_number(name).is_some() => return no_number(name),
        Json::String(_) => decimal::text_of(&octets(json)?, scale)?,
        Json::Number(number) => number.to_string(),
        _ => return None,
    };
    let finite = matches!(decimal::parse(text.as_bytes()), Ok(Parsed::Finite(_)));
    finite.then(|| Value::Decimal(text.into()))
}

fn timestamp(count: i64, per_second: i64) -> Option<Timestamp> {
    // What PostgreSQL's JDBC driver takes for infinity, in microseconds and milliseconds.
    match (per_second, count) {
        (1_000_000, 9_223_372_036_825_200_000) | (1_000, 9_223_372_036_825_200) => {
            return Some(Timestamp::INFINITY);
        }
        (1_000_000, -9_223_372_036_832_400_000) | (1_000, -9_223_372_036_832_400) => {
            return Some(Timestamp::NEG_INFINITY);
        }
        _ => {}
    }
    let fraction = count.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let nanos = u32::try_from(fraction).ok()?;
    Some(Timestamp { seconds: count.div_euclid(per_second), nanos })
}

fn array(items: &[Json], element: &Reading) -> Option<Value> {
    let elements = items.iter().map(|item| element.read(item)).collect::<Option<Vec<_>>>()?;
    let length = u32::try_from(elements.len()).ok()?;
    let dimensions =
        if length == 0 { Vec::new() } else { vec![Dimension { length, lower_bound: 1 }] };
    Some(Value::Array(Box::new(Array { dimensions, elements })))
}

/// Arrays within each other, as many as the array has dimensions. Elements are in the order of rows, as
/// they are told.
fn nested(json: &Json, element: &Reading, depth: usize) -> Option<Value> {
    let (mut dimensions, mut level) = (Vec::new(), vec![json]);
    // Elements whose own form is an array are so many arrays deeper.
    while dimensions.is_empty() || arrays_within(level.first()?) > depth {
        let length = level.first()?.as_array()?.len();
        if dimensions.len() >= DIMENSIONS_MAX || length == 0 {
            break;
        }
        let mut next = Vec::with_capacity(level.len() * length);
        for part in level {
            let items = part.as_array().filter(|items| items.len() == length)?;
            next.extend(items);
        }
        dimensions.push(Dimension { length: u32::try_from(length).ok()?, lower_bound: 1 });
        level = next;
    }
    if dimensions.is_empty() {
        json.as_array().filter(|items| items.is_empty())?;
        return Some(Value::Array(Box::new(Array { dimensions, elements: Vec::new() })));
    }
    let elements = level.into_iter().map(|item| element.read(item)).collect::<Option<_>>()?;
    Some(Value::Array(Box::new(Array { dimensions, elements })))
}

/// How many arrays are within each other, by the first item of each.
fn arrays_within(json: &Json) -> usize {
    let (mut depth, mut at) = (0, Some(json));
    while let Some(Json::Array(items)) = at {
        depth += 1;
        // Null may stand for an element of any form.
        at = items.iter().find(|item| !item.is_null());
    }
    depth
}

/// PostgreSQL's arrays have six at most.
const DIMENSIONS_MAX: usize = 6;

fn point(json: &Json) -> Option<Value> {
    natives::text(Native::Point, json).map(Value::text)
}

fn bits(octets: &[u8], length: u32) -> Option<Value> {
    natives::bits(octets, length).map(Value::text)
}
