//! Values as text that PostgreSQL reads back to the same value, whatever its session settings.

use cdc_core::{Array, Dimension, Timestamp, Value};

const SECONDS_PER_DAY: i64 = 86_400;
const NANOS_PER_SECOND: i64 = 1_000_000_000;
const MICROS_PER_SECOND: u64 = 1_000_000;

/// Where the text form of an array puts its commas: `box` is the one type with another delimiter.
pub(crate) const COMMA: u8 = b',';

/// Appends the text form; nothing for NULL and for unchanged columns, which have none.
pub(crate) fn write(value: &Value, delimiter: u8, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Unchanged => {}
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Decimal(bytes) | Value::Text(bytes) | Value::Json(bytes) => {
            out.extend_from_slice(bytes);
        }
        Value::Bytes(bytes) => write_hex(bytes, out),
        Value::Array(array) => write_array(array, delimiter, out),
        Value::Int(_)
        | Value::UInt(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::TimeTz { .. }
        | Value::Timestamp(_)
        | Value::TimestampTz(_)
        | Value::Interval { .. }
        | Value::Uuid(_) => out.extend_from_slice(scalar(value).as_bytes()),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::Float32(value) => float(f64::from(*value), || value.to_string()),
        Value::Float64(value) => float(*value, || value.to_string()),
        Value::Date(days) => date(*days),
        Value::Time(nanos) => time(*nanos),
        Value::TimeTz { nanos, offset_seconds } => time(*nanos) + &offset(*offset_seconds),
        Value::Timestamp(at) => timestamp(*at, ""),
        Value::TimestampTz(at) => timestamp(*at, "+00"),
        Value::Interval { months, days, micros } => interval(*months, *days, *micros),
        Value::Uuid(bytes) => uuid::Uuid::from_bytes(*bytes).to_string(),
        _ => String::new(),
    }
}

fn float(value: f64, digits: impl Fn() -> String) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        digits()
    }
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            out.extend(DIGITS.get(usize::from(half)));
        }
    }
}

/// Year, month and day of a number of days since 1970-01-01 (proleptic Gregorian).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The date without its era, and the era that must follow everything else.
fn calendar(days: i64) -> (String, &'static str) {
    let (year, month, day) = civil(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}

fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".into(),
        i32::MIN => "-infinity".into(),
        days => {
            let (date, era) = calendar(i64::from(days));
            date + era
        }
    }
}

fn time(nanos: i64) -> String {
    let (seconds, nanos) = (nanos.div_euclid(NANOS_PER_SECOND), nanos.rem_euclid(NANOS_PER_SECOND));
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let mut out = format!("{hours:02}:{minutes:02}:{seconds:02}");
    if nanos != 0 {
        let fraction = format!(".{nanos:09}");
        out.push_str(fraction.trim_end_matches('0'));
    }
    out
}

fn offset(seconds_east: i32) -> String {
    let sign = if seconds_east < 0 { '-' } else { '+' };
    let seconds = seconds_east.unsigned_abs();
    let mut out = format!("{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    if !seconds.is_multiple_of(60) {
        out.push_str(&format!(":{:02}", seconds % 60));
    }
    out
}

fn timestamp(at: Timestamp, zone: &str) -> String {
    if at == Timestamp::INFINITY {
        return "infinity".into();
    }
    if at == Timestamp::NEG_INFINITY {
        return "-infinity".into();
    }
    let (date, era) = calendar(at.seconds.div_euclid(SECONDS_PER_DAY));
    let nanos = at.seconds.rem_euclid(SECONDS_PER_DAY) * NANOS_PER_SECOND + i64::from(at.nanos);
    format!("{date} {}{zone}{era}", time(nanos))
}

fn interval(months: i32, days: i32, micros: i64) -> String {
    match (months, days, micros) {
        (i32::MAX, i32::MAX, i64::MAX) => return "infinity".into(),
        (i32::MIN, i32::MIN, i64::MIN) => return "-infinity".into(),
        _ => {}
    }
    let sign = if micros < 0 { "-" } else { "" };
    let magnitude = micros.unsigned_abs();
    let seconds = magnitude / MICROS_PER_SECOND;
    format!(
        "{months} mons {days} days {sign}{:02}:{:02}:{:02}.{:06}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        magnitude % MICROS_PER_SECOND,
    )
}

fn write_array(array: &Array, delimiter: u8, out: &mut Vec<u8>) {
    if array.dimensions.is_empty() || array.elements.is_empty() {
        out.extend_from_slice(b"{}");
        return;
    }
    if array.dimensions.iter().any(|dimension| dimension.lower_bound != 1) {
        let mut bounds = String::new();
        for Dimension { length, lower_bound } in &array.dimensions {
            let last = i64::from(*lower_bound) + i64::from(*length) - 1;
            bounds.push_str(&format!("[{lower_bound}:{last}]"));
        }
        out.extend_from_slice(bounds.as_bytes());
        out.push(b'=');
    }
    write_dimension(&array.dimensions, &mut array.elements.iter(), delimiter, out);
}

fn write_dimension(
    dimensions: &[Dimension],
    elements: &mut std::slice::Iter<'_, Value>,
    delimiter: u8,
    out: &mut Vec<u8>,
) {
    let Some((outer, inner)) = dimensions.split_first() else {
        match elements.next() {
            Some(value) => write_element(value, delimiter, out),
            None => out.extend_from_slice(b"NULL"),
        }
        return;
    };
    out.push(b'{');
    for index in 0..outer.length {
        if elements.len() == 0 {
            break;
        }
        if index > 0 {
            out.push(delimiter);
        }
        write_dimension(inner, elements, delimiter, out);
    }
    out.push(b'}');
}

fn write_element(value: &Value, delimiter: u8, out: &mut Vec<u8>) {
    if matches!(value, Value::Null | Value::Unchanged) {
        out.extend_from_slice(b"NULL");
        return;
    }
    let mut text = Vec::new();
    write(value, delimiter, &mut text);
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Value) -> String {
        let mut out = Vec::new();
        write(value, COMMA, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_and_times_are_iso_with_the_era_last() {
        assert_eq!(text(&Value::Date(0)), "1970-01-01");
        assert_eq!(text(&Value::Date(-719_528)), "0001-01-01 BC");
        assert_eq!(text(&Value::Date(i32::MAX)), "infinity");
        assert_eq!(text(&Value::Time(86_400 * NANOS_PER_SECOND)), "24:00:00");
        let value = Value::TimeTz { nanos: 1_500_000_000, offset_seconds: -5_400 };
        assert_eq!(text(&value), "00:00:01.5-01:30");
        let at = Timestamp { seconds: -1, nanos: 999_999_000 };
        assert_eq!(text(&Value::TimestampTz(at)), "1969-12-31 23:59:59.999999+00");
        let value = Value::Interval { months: -1, days: 2, micros: -3_000_001 };
        assert_eq!(text(&value), "-1 mons 2 days -00:00:03.000001");
    }

    #[test]
    fn arrays_keep_dimensions_bounds_and_awkward_elements() {
        let dimension = |length, lower_bound| Dimension { length, lower_bound };
        let array = |dimensions, elements| Value::Array(Box::new(Array { dimensions, elements }));
        assert_eq!(text(&array(vec![], vec![])), "{}");
        let awkward = vec![Value::text("a\"b\\"), Value::Null, Value::text("NULL")];
        assert_eq!(text(&array(vec![dimension(3, 1)], awkward)), r#"{"a\"b\\",NULL,"NULL"}"#);
        let numbers = (1..=4).map(Value::Int).collect();
        assert_eq!(
            text(&array(vec![dimension(2, 0), dimension(2, 1)], numbers)),
            r#"[0:1][1:2]={{"1","2"},{"3","4"}}"#
        );
    }
}
