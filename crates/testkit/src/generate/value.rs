//! Random values of every type.

use bytes::Bytes;
use cdc_core::{Array, DataType, Dimension, Timestamp, Value};
use rand::{Rng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

/// Longest random text or byte string, in characters or bytes.
const LENGTH_MAX: usize = 40;

/// Every type that is generated, with PostgreSQL's name of it.
pub(super) fn catalogue() -> Vec<(DataType, &'static str)> {
    let list = |element: DataType| DataType::Array(Box::new(element));
    vec![
        (DataType::Bool, "boolean"),
        (DataType::Int16, "smallint"),
        (DataType::Int32, "integer"),
        (DataType::Int64, "bigint"),
        (DataType::Float32, "real"),
        (DataType::Float64, "double precision"),
        (DataType::Decimal { precision: Some(20), scale: Some(4) }, "numeric(20,4)"),
        (DataType::Decimal { precision: None, scale: None }, "numeric"),
        (DataType::Text, "text"),
        (DataType::Bytes, "bytea"),
        (DataType::Json, "jsonb"),
        (DataType::Date, "date"),
        (DataType::Time { precision: None }, "time without time zone"),
        (DataType::Time { precision: Some(3) }, "time(3) without time zone"),
        (DataType::TimeTz { precision: None }, "time with time zone"),
        (DataType::Timestamp { precision: None }, "timestamp without time zone"),
        (DataType::Timestamp { precision: Some(3) }, "timestamp(3) without time zone"),
        (DataType::TimestampTz { precision: None }, "timestamp with time zone"),
        (DataType::Interval, "interval"),
        (DataType::Uuid, "uuid"),
        (DataType::Other, "inet"),
        (DataType::Other, "int4range"),
        (DataType::Other, "bit(5)"),
        (DataType::Other, "bit varying"),
        (DataType::Other, "point"),
        (list(DataType::Int32), "integer[]"),
        (list(DataType::Text), "text[]"),
        (list(DataType::Uuid), "uuid[]"),
        (list(DataType::Decimal { precision: Some(20), scale: Some(4) }), "numeric(20,4)[]"),
    ]
}

/// A value of a type that is not NULL: often an ordinary one, sometimes one at its limits. A type
/// without a variant of its own is told by its native name; an unknown one gets a number's text.
pub fn random_value(rng: &mut ChaCha8Rng, data_type: &DataType, native_type: &str) -> Value {
    match data_type {
        DataType::Bool => Value::Bool(rng.random()),
        DataType::Int16 => Value::Int(integer(rng, i64::from(i16::MIN), i64::from(i16::MAX))),
        DataType::Int32 => Value::Int(integer(rng, i64::from(i32::MIN), i64::from(i32::MAX))),
        DataType::Int64 => Value::Int(integer(rng, i64::MIN, i64::MAX)),
        DataType::UInt64 => Value::UInt(rng.random()),
        DataType::Float32 => Value::Float32(float32(rng)),
        DataType::Float64 => Value::Float64(float64(rng)),
        DataType::Decimal { precision, scale } => {
            Value::Decimal(Bytes::from(decimal(rng, *precision, *scale)))
        }
        DataType::Text => Value::text(text(rng)),
        DataType::Bytes => Value::Bytes(bytes(rng)),
        DataType::Json => Value::Json(Bytes::from(json(rng))),
        DataType::Date => Value::Date(rng.random_range(-700_000..1_000_000)),
        DataType::Time { precision } => Value::Time(time_of_day(rng, *precision)),
        DataType::TimeTz { precision } => Value::TimeTz {
            nanos: time_of_day(rng, *precision),
            offset_seconds: rng.random_range(-15 * 60..=15 * 60) * 60,
        },
        DataType::Timestamp { precision } => Value::Timestamp(timestamp(rng, *precision)),
        DataType::TimestampTz { precision } => Value::TimestampTz(timestamp(rng, *precision)),
        DataType::Interval => Value::Interval {
            months: rng.random_range(-1_200..1_200),
            days: rng.random_range(-10_000..10_000),
            micros: rng.random_range(-1_000_000_000_000..1_000_000_000_000),
        },
        DataType::Uuid => Value::Uuid(rng.random()),
        DataType::Enum { labels } => Value::text(labels.choose(rng).cloned().unwrap_or_default()),
        DataType::Array(element) => {
            array(rng, element, native_type.strip_suffix("[]").unwrap_or(native_type))
        }
        DataType::Other => Value::text(other(rng, native_type)),
    }
}

fn integer(rng: &mut ChaCha8Rng, least: i64, greatest: i64) -> i64 {
    match rng.random_range(0..10_u32) {
        0 => least,
        1 => greatest,
        2 => 0,
        _ => rng.random_range(least..=greatest),
    }
}

fn float32(rng: &mut ChaCha8Rng) -> f32 {
    *[0.0, -1.5, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, rng.random()]
        .choose(rng)
        .unwrap_or(&0.0)
}

fn float64(rng: &mut ChaCha8Rng) -> f64 {
    *[0.0, -1.5, f64::MAX, f64::MIN_POSITIVE, f64::NEG_INFINITY, rng.random()]
        .choose(rng)
        .unwrap_or(&0.0)
}

/// PostgreSQL prints a declared scale in full.
fn decimal(rng: &mut ChaCha8Rng, precision: Option<u32>, scale: Option<i32>) -> String {
    if rng.random_bool(0.05) {
        return "NaN".to_owned();
    }
    let scale = usize::try_from(scale.unwrap_or_else(|| rng.random_range(0..20))).unwrap_or(0);
    let digits_max = usize::try_from(precision.unwrap_or(60)).unwrap_or(60);
    let whole = digits_max.saturating_sub(scale).max(1);
    let mut digits = |count: usize| -> String {
        (0..count).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect()
    };
    let all = digits(whole);
    let whole = match all.trim_start_matches('0') {
        "" => "0",
        trimmed => trimmed,
    };
    let fraction = digits(scale);
    let zero = format!("{whole}{fraction}").bytes().all(|digit| digit == b'0');
    let sign = if !zero && rng.random() { "-" } else { "" };
    let point = if scale == 0 { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

fn text(rng: &mut ChaCha8Rng) -> String {
    let length = rng.random_range(0..=LENGTH_MAX);
    let alphabet: Vec<char> = "abc XYZ 019 \"'\\\n\t,{}()[]\u{1}žß漢🦀".chars().collect();
    (0..length).filter_map(|_| alphabet.choose(rng)).collect()
}

fn bytes(rng: &mut ChaCha8Rng) -> Bytes {
    let length = rng.random_range(0..=LENGTH_MAX);
    (0..length).map(|_| rng.random::<u8>()).collect::<Vec<u8>>().into()
}

/// As `jsonb` prints it.
fn json(rng: &mut ChaCha8Rng) -> String {
    let number: u32 = rng.random();
    let flag: bool = rng.random();
    format!("{{\"flag\": {flag}, \"number\": {number}}}")
}

fn time_of_day(rng: &mut ChaCha8Rng, precision: Option<u8>) -> i64 {
    const MICROS_A_DAY: i64 = 86_400_000_000;
    let micros =
        if rng.random_bool(0.05) { MICROS_A_DAY } else { rng.random_range(0..MICROS_A_DAY) };
    rounded(micros, precision) * 1_000
}

fn timestamp(rng: &mut ChaCha8Rng, precision: Option<u8>) -> Timestamp {
    match rng.random_range(0..20_u32) {
        0 => Timestamp::INFINITY,
        1 => Timestamp::NEG_INFINITY,
        // The first day that PostgreSQL knows, and one near the last in 64 bits of microseconds.
        2 => Timestamp::from_micros(rounded(-210_866_803_200_000_000, precision)),
        3 => Timestamp::from_micros(rounded(9_223_000_000_000_000_000, precision)),
        _ => Timestamp::from_micros(rounded(
            rng.random_range(-60_000_000_000_000_000..250_000_000_000_000_000),
            precision,
        )),
    }
}

/// Microseconds with as many digits of fraction as the type keeps.
fn rounded(micros: i64, precision: Option<u8>) -> i64 {
    let unit = 10_i64.pow(6 - u32::from(precision.unwrap_or(6).min(6)));
    micros.div_euclid(unit) * unit
}

fn array(rng: &mut ChaCha8Rng, element: &DataType, native_type: &str) -> Value {
    let (rows, columns) = (rng.random_range(0..4_u32), rng.random_range(1..3_u32));
    let dimension = |length| Dimension { length, lower_bound: 1 };
    let dimensions = match (rows, columns) {
        (0, _) => Vec::new(),
        (rows, 1) => vec![dimension(rows)],
        (rows, columns) => vec![dimension(rows), dimension(columns)],
    };
    let elements = (0..rows * columns)
        .map(|_| {
            if rng.random_bool(0.2) { Value::Null } else { random_value(rng, element, native_type) }
        })
        .collect();
    Value::Array(Box::new(Array { dimensions, elements }))
}

fn other(rng: &mut ChaCha8Rng, native_type: &str) -> String {
    let mut bits = |length: usize| -> String {
        (0..length).map(|_| if rng.random() { '1' } else { '0' }).collect()
    };
    match native_type {
        "bit(5)" => bits(5),
        "bit varying" => bits(11),
        "inet" => format!("10.0.{}.{}", rng.random::<u8>(), rng.random::<u8>()),
        "int4range" => {
            let start = rng.random_range(-1_000..1_000_i32);
            format!("[{start},{})", start + rng.random_range(1..100))
        }
        "point" => {
            format!("({},{})", rng.random_range(-90..90_i32), rng.random_range(-180..180_i32))
        }
        _ => rng.random::<u32>().to_string(),
    }
}
