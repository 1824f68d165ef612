//! Types that PostgreSQL tells as text, and records in another form, back as that text.

use super::values::{float, octets};
use crate::debezium::decimal;
use crate::debezium::native::{MONEY_SCALE, Native};
use crate::debezium::options::{DecimalMode, HstoreMode};
use serde_json::Value as Json;
use std::fmt::Write as _;

/// The text; `None` when the JSON is not of this type.
pub(super) fn text(native: Native, json: &Json) -> Option<String> {
    Some(match native {
        Native::Bit => if json.as_bool()? { "1" } else { "0" }.to_owned(),
        Native::Bits { length } => bits(&octets(json)?, length)?,
        Native::Money(mode) => money(json, mode)?,
        Native::Oid => u32::try_from(json.as_u64()?).ok()?.to_string(),
        Native::Point => {
            let (x, y) = (float(json.get("x")?)?, float(json.get("y")?)?);
            format!("({},{})", double(x), double(y))
        }
        Native::Hstore(HstoreMode::Json) => {
            pairs(&serde_json::from_str::<Json>(json.as_str()?).ok()?)?
        }
        Native::Hstore(HstoreMode::Map) => pairs(json)?,
        Native::Geometry { .. } => {
            octets(json.get("wkb")?)?.iter().fold(String::new(), |mut out, octet| {
                // Writing into a string cannot fail.
                let _written = write!(out, "{octet:02X}");
                out
            })
        }
        Native::Vector { .. } => vector(json)?,
    })
}

/// PostgreSQL's longest bit strings.
const BITS_MAX: usize = 83_886_080;

/// The digits of little-endian octets: so many, or as many as are needed where it is 0.
pub(super) fn bits(octets: &[u8], length: u32) -> Option<String> {
    let digits: String = octets.iter().rev().map(|octet| format!("{octet:08b}")).collect();
    let needed = digits.trim_start_matches('0');
    let length = usize::try_from(length).ok()?;
    if length > 0 && needed.len() > length || length > BITS_MAX {
        return None;
    }
    Some(format!("{needed:0>length$}"))
}

/// An amount as a plain number, which PostgreSQL takes whatever its locale.
fn money(json: &Json, mode: DecimalMode) -> Option<String> {
    match mode {
        DecimalMode::Precise => decimal::text_of(&octets(json)?, MONEY_SCALE),
        DecimalMode::Double => Some(format!("{:.2}", float(json)?)),
        DecimalMode::String => json.as_str().map(str::to_owned),
    }
}

fn vector(json: &Json) -> Option<String> {
    let numbers = json.as_array()?.iter().map(|number| {
        #[expect(clippy::cast_possible_truncation, reason = "a vector's numbers have 32 bits")]
        let number = float(number)? as f32;
        Some(shortest(&format!("{number:e}"), f64::from(number), 6))
    });
    Some(format!("[{}]", numbers.collect::<Option<Vec<_>>>()?.join(",")))
}

/// `"a"=>"1", "b"=>NULL`
fn pairs(json: &Json) -> Option<String> {
    let mut out = String::new();
    for (key, value) in json.as_object()? {
        if !out.is_empty() {
            out.push_str(", ");
        }
        quoted(&mut out, key);
        out.push_str("=>");
        match value {
            Json::Null => out.push_str("NULL"),
            value => quoted(&mut out, value.as_str()?),
        }
    }
    Some(out)
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// A double-precision number as PostgreSQL prints it.
pub(in crate::debezium) fn double(number: f64) -> String {
    shortest(&format!("{number:e}"), number, 15)
}

/// Digits and exponent as PostgreSQL prints them: plain from 0.0001 up to so many digits before the
/// point, else with an exponent of two digits or more.
fn shortest(scientific: &str, number: f64, digits_max: i32) -> String {
    if !number.is_finite() {
        return special(number).to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..digits_max).contains(&exponent) {
        return plain_digits(mantissa, exponent);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

fn special(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// A number without an exponent.
pub(super) fn plain(number: f64) -> String {
    if number.is_finite() { format!("{number}") } else { special(number).to_owned() }
}

/// `1.25` and 3: `1250`.
fn plain_digits(mantissa: &str, exponent: i32) -> String {
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa),
    };
    let digits: String = digits.chars().filter(|c| *c != '.').collect();
    let Ok(places) = usize::try_from(exponent) else {
        let zeros = usize::try_from(exponent.unsigned_abs()).unwrap_or(1).saturating_sub(1);
        return format!("{sign}0.{}{digits}", "0".repeat(zeros));
    };
    let padded = format!("{digits:0<width$}", width = places + 1);
    match padded.split_at_checked(places + 1) {
        Some((whole, "")) => format!("{sign}{whole}"),
        Some((whole, fraction)) => format!("{sign}{whole}.{fraction}"),
        None => format!("{sign}{padded}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_those_of_postgresql() {
        for (number, printed) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456.789, "123456.789"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1.25e300, "1.25e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(number), printed);
        }
        assert_eq!(vector(&json!([1, 0.1, 1e5, 1e6, -2.5])).unwrap(), "[1,0.1,100000,1e+06,-2.5]");
    }

    #[test]
    fn texts_come_back() {
        let check = |native, json: &Json, expected: &str| {
            assert_eq!(text(native, json).as_deref(), Some(expected), "{native:?}");
        };
        check(Native::Bit, &json!(true), "1");
        check(Native::Bits { length: 9 }, &json!("Aw=="), "000000011");
        check(Native::Money(DecimalMode::Precise), &json!("/h3t"), "-1234.11");
        check(Native::Money(DecimalMode::Double), &json!(-1234.11), "-1234.11");
        check(Native::Oid, &json!(4_294_967_295_u32), "4294967295");
        check(
            Native::Hstore(HstoreMode::Json),
            &json!(r#"{"a":"1\\\"","b":null}"#),
            "\"a\"=>\"1\\\\\\\"\", \"b\"=>NULL",
        );
        check(Native::Geometry { globe: false }, &json!({"wkb": "AQ/+", "srid": null}), "010FFE");
        assert_eq!(text(Native::Bits { length: 1 }, &json!("Aw==")), None);
    }
}
