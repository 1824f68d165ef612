//! Any change is valid JSON, and its values can be read back.

use super::Encoder;
use super::golden::{change, column, schema};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use cdc_core::{Array, Column, DataType, Dimension, Operation, Row, Timestamp, Value};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::time::UNIX_EPOCH;

/// A column type, a value of it, and what reads its JSON back in a form that compares with `shown`.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) data_type: DataType,
    pub(super) native_type: &'static str,
    pub(super) value: Value,
}

fn sample(data_type: DataType, native_type: &'static str, value: Value) -> Sample {
    Sample { data_type, native_type, value }
}

fn scalar() -> impl Strategy<Value = Sample> {
    let micros = any::<i64>().prop_map(|n| Timestamp::from_micros(n / 4));
    let precision = prop_oneof![Just(None), (0_u8..=6).prop_map(Some)];
    prop_oneof![
        any::<bool>().prop_map(|b| sample(DataType::Bool, "boolean", Value::Bool(b))),
        any::<i64>().prop_map(|n| sample(DataType::Int64, "bigint", Value::Int(n))),
        any::<u64>().prop_map(|n| sample(DataType::UInt64, "n", Value::UInt(n))),
        any::<f64>().prop_map(|n| sample(DataType::Float64, "float8", Value::Float64(n))),
        any::<f32>().prop_map(|n| sample(DataType::Float32, "float4", Value::Float32(n))),
        (any::<i128>(), 0_i32..30).prop_map(|(n, scale)| {
            let data_type = DataType::Decimal { precision: Some(60), scale: Some(scale) };
            sample(data_type, "numeric", decimal(n, scale))
        }),
        (any::<i128>(), 0_i32..30).prop_map(|(n, scale)| {
            let data_type = DataType::Decimal { precision: None, scale: None };
            sample(data_type, "numeric", decimal(n, scale))
        }),
        any::<String>().prop_map(|s| sample(DataType::Text, "text", Value::text(s))),
        // What reads like bits is for the bit strings.
        any::<String>()
            .prop_map(|s| if !s.is_empty() && s.bytes().all(|b| matches!(b, b'0' | b'1')) {
                format!("{s}x")
            } else {
                s
            })
            .prop_map(|s| sample(DataType::Other, "hstore", Value::text(s))),
        any::<String>().prop_map(|s| sample(DataType::Json, "json", Value::Json(Bytes::from(s)))),
        any::<Vec<u8>>().prop_map(|b| sample(
            DataType::Bytes,
            "bytea",
            Value::Bytes(Bytes::from(b))
        )),
        any::<i32>().prop_map(|d| sample(DataType::Date, "date", Value::Date(d))),
        (0_i64..=86_400_000_000, precision.clone()).prop_map(|(micros, precision)| {
            sample(DataType::Time { precision }, "time", Value::Time(micros * 1_000))
        }),
        (micros.clone(), precision).prop_map(|(at, precision)| {
            sample(DataType::Timestamp { precision }, "timestamp", Value::Timestamp(at))
        }),
        micros.prop_map(|at| {
            sample(DataType::TimestampTz { precision: None }, "timestamptz", Value::TimestampTz(at))
        }),
        any::<[u8; 16]>().prop_map(|b| sample(DataType::Uuid, "uuid", Value::Uuid(b))),
        "[01]{0,40}".prop_map(|s| sample(DataType::Other, "bit varying", Value::text(s))),
    ]
}

pub(super) fn any_sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        4 => scalar(),
        1 => (scalar(), 0_u32..4, 1_u32..3).prop_map(|(inner, rows, columns)| {
            let count = usize::try_from(rows * columns).expect("small");
            let dimension = |length| Dimension { length, lower_bound: 1 };
            let array = Array {
                dimensions: if count == 0 { vec![] } else { vec![dimension(rows), dimension(columns)] },
                elements: vec![inner.value; count],
            };
            let data_type = DataType::Array(Box::new(inner.data_type));
            sample(data_type, inner.native_type, Value::Array(Box::new(array)))
        }),
    ]
}

fn decimal(unscaled: i128, scale: i32) -> Value {
    let scale = usize::try_from(scale).expect("positive");
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if unscaled < 0 { "-" } else { "" };
    let point = if scale == 0 { "" } else { "." };
    Value::Decimal(Bytes::from(format!("{sign}{whole}{point}{fraction}")))
}

/// Does this JSON say the same as the value?
fn says(json: &Json, value: &Value, data_type: &DataType) -> bool {
    match (value, data_type) {
        (Value::Null, _) => json.is_null(),
        (Value::Bool(b), _) => json == b,
        (Value::Int(n), _) => json == n,
        (Value::UInt(n), _) => json == n,
        (Value::Float64(n), _) => float(json, *n),
        (Value::Float32(n), _) => match json.as_f64() {
            #[expect(clippy::cast_possible_truncation, reason = "it was one")]
            Some(read) => read as f32 == *n,
            None => !n.is_finite(),
        },
        (Value::Decimal(text), DataType::Decimal { scale: Some(scale), .. }) => {
            decimal(unscaled(json), *scale) == Value::Decimal(text.clone())
        }
        (Value::Decimal(text), _) => {
            let scale = json["scale"].as_i64().and_then(|n| i32::try_from(n).ok()).expect("scale");
            let Value::Decimal(read) = decimal(unscaled(&json["value"]), scale) else {
                return false;
            };
            let plain = |text: &[u8]| {
                let text = String::from_utf8(text.to_vec()).expect("ASCII");
                if text.contains('.') {
                    text.trim_end_matches('0').trim_end_matches('.').to_owned()
                } else {
                    text
                }
            };
            plain(&read) == plain(text)
        }
        (Value::Text(text), DataType::Other) if text.iter().all(|b| matches!(b, b'0' | b'1')) => {
            json == "{}" && text.is_empty() || bits(json, text)
        }
        (Value::Text(text) | Value::Json(text), _) => {
            json.as_str().map(str::as_bytes) == Some(text)
        }
        (Value::Bytes(bytes), _) => {
            STANDARD.decode(json.as_str().expect("text")).is_ok_and(|b| b == *bytes)
        }
        (Value::Date(days), _) => json == days,
        (Value::Time(nanos), DataType::Time { precision }) => {
            *json == (nanos / if precision.unwrap_or(6) <= 3 { 1_000_000 } else { 1_000 })
        }
        (Value::Timestamp(at), DataType::Timestamp { precision }) => {
            let micros = at.to_micros().expect("in range");
            *json == (if precision.unwrap_or(6) <= 3 { micros.div_euclid(1_000) } else { micros })
        }
        (Value::TimestampTz(at), _) => instant(json.as_str().expect("text")) == at.to_micros(),
        (Value::Uuid(bytes), _) => {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            json.as_str().expect("text").replace('-', "") == hex
        }
        (Value::Array(array), DataType::Array(element)) => {
            let mut flat = Vec::new();
            for row in json.as_array().expect("array") {
                flat.extend(row.as_array().expect("two dimensions"));
            }
            flat.len() == array.elements.len()
                && flat.iter().zip(&array.elements).all(|(json, value)| says(json, value, element))
        }
        other => panic!("no rule for {other:?}"),
    }
}

fn float(json: &Json, value: f64) -> bool {
    match json.as_str() {
        Some("NaN") => value.is_nan(),
        Some(text) => text.parse() == Ok(value),
        // `serde_json` may read the last digit wrong; `json.rs` compares the texts exactly.
        None => json.as_f64().is_some_and(|read| read.to_bits().abs_diff(value.to_bits()) <= 4),
    }
}

fn unscaled(json: &Json) -> i128 {
    let bytes = STANDARD.decode(json.as_str().expect("text")).expect("base64");
    let fill = if bytes[0] >= 0x80 { 0xff } else { 0 };
    let mut wide = [fill; 16];
    wide[16 - bytes.len()..].copy_from_slice(&bytes);
    i128::from_be_bytes(wide)
}

fn bits(json: &Json, text: &[u8]) -> bool {
    let Ok(bytes) = STANDARD.decode(json.as_str().expect("text")) else { return false };
    let value = text.iter().fold(0_u64, |n, digit| n << 1 | u64::from(digit - b'0'));
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(&bytes);
    u64::from_le_bytes(wide) == value
}

/// Microseconds of an ISO text, counted day by day from its year: another way than the encoder's.
fn instant(text: &str) -> Option<i64> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let negative = date.starts_with('-');
    let mut parts = date.trim_start_matches(['+', '-']).split('-');
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (year, month, day) = (number()?, number()?, number()?);
    let year = if negative { -year } else { year };
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let past = year - 1;
    let mut days = 365 * year + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    days += months.iter().take(usize::try_from(month - 1).ok()?).sum::<i64>() + day - 1;
    // 1970-01-01 by the same count.
    days -= 365 * 1970 + 1969 / 4 - 1969 / 100 + 1969 / 400;
    let mut parts = clock.split([':', '.']);
    let mut number = || parts.next()?.parse::<i64>().ok();
    let seconds = (days * 24 + number()?) * 3600 + number()? * 60 + number()?;
    seconds.checked_mul(1_000_000)?.checked_add(number()?)
}

fn encode(columns: Vec<Column>, row: Row) -> (Option<Vec<u8>>, Vec<u8>) {
    let key: Vec<u16> = (0..u16::try_from(columns.len()).expect("few")).collect();
    let change = change(&schema(columns, &key), Operation::Insert, None, Some(row));
    let mut encoder = Encoder::new("cdc");
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let has_key = encoder.key(&change, &mut key).expect("key");
    encoder.value(&change, UNIX_EPOCH, &mut value).expect("value");
    (has_key.then_some(key), value)
}

proptest! {
    #[test]
    fn every_value_can_be_read_back(
        samples in prop::collection::vec(any_sample(), 1..6),
        name in any::<String>(),
    ) {
        let label = |index: usize| format!("{index}{name}");
        let columns: Vec<Column> = samples
            .iter()
            .enumerate()
            .map(|(index, s)| column(&label(index), s.data_type.clone(), s.native_type))
            .collect();
        let row: Row = samples.iter().map(|s| s.value.clone()).collect();
        let (key, value) = encode(columns, row);
        let envelope: Json = serde_json::from_slice(&value).expect("valid JSON");
        let key: Json = serde_json::from_slice(&key.expect("a key")).expect("valid JSON");
        prop_assert_eq!(&envelope["after"], &key);
        let names: Vec<String> = key.as_object().expect("object").keys().cloned().collect();
        prop_assert_eq!(names, (0..samples.len()).map(label).collect::<Vec<_>>());
        for (index, sample) in samples.iter().enumerate() {
            let json = &key[label(index)];
            prop_assert!(says(json, &sample.value, &sample.data_type), "{:?} as {}", sample, json);
        }
    }

    #[test]
    fn any_bytes_are_valid_json_or_an_error(
        text in any::<Vec<u8>>(),
        native in prop::sample::select(vec![
            "bit(1)", "bit(9)", "bit varying", "money", "oid", "point", "hstore", "geometry",
            "vector(2)", "inet",
        ]),
        prefix in prop::sample::select(vec!["", "(", "[", "\"a\"=>", "01", "$"]),
    ) {
        let text = [prefix.as_bytes(), &text].concat();
        let valid = std::str::from_utf8(&text).is_ok();
        let schema = schema(vec![column("c", DataType::Other, native)], &[]);
        let row: Row = Box::new([Value::Text(Bytes::from(text))]);
        let change = change(&schema, Operation::Insert, None, Some(row));
        let mut out = Vec::new();
        match Encoder::new("cdc").value(&change, UNIX_EPOCH, &mut out) {
            Ok(()) => prop_assert!(serde_json::from_slice::<Json>(&out).is_ok()),
            Err(error) => prop_assert!(error.code == "CDC-4220" && !valid && out.is_empty()),
        }
    }
}
