//! JSON of one column as a value.

use super::guess::Guessed;
use super::text;
use crate::debezium::decimal::{self, Parsed};
use crate::debezium::options::Placeholder;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use cdc_core::{Array, Dimension, Timestamp, Value};
use serde_json::Value as Json;

/// What reads one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
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
    fn read(&self, json: &Json) -> Option<Value> {
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
            Self::MicroDuration => Value::Interval { months: 0, days: 0, micros: json.as_i64()? },
            Self::IsoInterval => text::interval(json.as_str()?)?,
            _ => return None,
        })
    }
}

/// Numbers, and the names of those that JSON has no numbers for.
fn float(json: &Json) -> Option<f64> {
    match json {
        Json::String(text) if matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => {
            text.parse().ok()
        }
        other => other.as_f64(),
    }
}

fn octets(json: &Json) -> Option<Vec<u8>> {
    STANDARD.decode(json.as_str()?).ok()
}

/// From unscaled bytes, or from the number that `decimal.format=NUMERIC` writes.
fn decimal_value(json: &Json, scale: i32) -> Option<Value> {
    let text = match json {
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

fn point(json: &Json) -> Option<Value> {
    let (x, y) = (float(json.get("x")?)?, float(json.get("y")?)?);
    Some(Value::text(format!("({x},{y})")))
}

fn bits(octets: &[u8], length: u32) -> Option<Value> {
    let mut digits: String =
        octets.iter().rev().map(|octet| format!("{octet:08b}")).collect::<String>();
    let needed = digits.trim_start_matches('0').len();
    digits.drain(..digits.len() - needed);
    let length = usize::try_from(length).ok()?;
    if length > 0 && needed > length || length > BITS_MAX {
        return None;
    }
    Some(Value::text(format!("{digits:0>length$}")))
}

/// PostgreSQL's own limit.
const BITS_MAX: usize = 83_886_080;
