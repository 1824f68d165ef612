//! `interval`, binary and in the style `postgres`.

use super::datetime::{digits, parse_fraction, print_fraction, put};
use super::field::{Decoded, Field, Problem};
use cdc_core::Value;

const MICROS_PER_SECOND: i64 = 1_000_000;

pub(super) fn from_binary(field: Field<'_>) -> Decoded<Value> {
    let mut reader = field.reader();
    let (micros, days, months) = (reader.i64()?, reader.i32()?, reader.i32()?);
    reader.finish()?;
    Ok(Value::Interval { months, days, micros })
}

/// Reads `-1 years -2 mons +3 days -04:05:06.789`: every part has a sign of its own.
pub(super) fn from_text(field: Field<'_>) -> Decoded<Value> {
    let text = field.utf8()?;
    match text {
        "infinity" => return Ok(INFINITY),
        "-infinity" => return Ok(NEG_INFINITY),
        _ => {}
    }
    let (mut months, mut days, mut micros) = (0_i64, 0_i64, 0_i64);
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            micros = parse_clock(word)?;
            continue;
        }
        let (negative, number) = split_sign(word);
        let number = long_digits(number)?;
        let number = if negative { -number } else { number };
        match words.next() {
            Some("year" | "years") => months += number * 12,
            Some("mon" | "mons") => months += number,
            Some("day" | "days") => days += number,
            _ => return Err(Problem::Syntax),
        }
    }
    let small = |number: i64| i32::try_from(number).map_err(|_| Problem::OutOfRange);
    Ok(Value::Interval { months: small(months)?, days: small(days)?, micros })
}

/// What PostgreSQL 17 and later print as `infinity`.
const INFINITY: Value = Value::Interval { months: i32::MAX, days: i32::MAX, micros: i64::MAX };
const NEG_INFINITY: Value = Value::Interval { months: i32::MIN, days: i32::MIN, micros: i64::MIN };

fn split_sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Up to ten digits.
fn long_digits(text: &str) -> Decoded<i64> {
    if text.is_empty() || text.len() > 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::Syntax);
    }
    text.parse().map_err(|_| Problem::Syntax)
}

fn parse_clock(text: &str) -> Decoded<i64> {
    let (negative, text) = split_sign(text);
    let mut parts = text.splitn(3, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (hours, minutes, seconds) = (long_digits(next())?, digits(next())?, next());
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let seconds = i128::from((hours * 60 + minutes) * 60 + digits(seconds)?);
    let micros = seconds * i128::from(MICROS_PER_SECOND) + i128::from(parse_fraction(fraction)?);
    let micros = if negative { -micros } else { micros };
    i64::try_from(micros).map_err(|_| Problem::OutOfRange)
}

/// Prints an interval as the server does in the style `postgres`.
pub(super) fn print(months: i32, days: i32, micros: i64, out: &mut Vec<u8>) {
    let value = Value::Interval { months, days, micros };
    if value == INFINITY || value == NEG_INFINITY {
        let text: &[u8] = if value == INFINITY { b"infinity" } else { b"-infinity" };
        out.extend_from_slice(text);
        return;
    }
    let mut printer = Printer { out, first: true, negative_before: false };
    printer.part(months / 12, "year");
    printer.part(months % 12, "mon");
    printer.part(days, "day");
    printer.clock(micros);
}

struct Printer<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
    negative_before: bool,
}

impl Printer<'_> {
    fn separate(&mut self) {
        if !self.first {
            self.out.push(b' ');
        }
        self.first = false;
    }

    fn part(&mut self, number: i32, unit: &str) {
        if number == 0 {
            return;
        }
        self.separate();
        // A positive part behind a negative one needs its sign said.
        let plus = if self.negative_before && number > 0 { "+" } else { "" };
        let plural = if number == 1 { "" } else { "s" };
        put(self.out, format_args!("{plus}{number} {unit}{plural}"));
        self.negative_before = number < 0;
    }

    fn clock(&mut self, micros: i64) {
        if micros == 0 && !self.first {
            return;
        }
        self.separate();
        let sign = match micros < 0 {
            true => "-",
            false if self.negative_before => "+",
            false => "",
        };
        let total = micros.unsigned_abs();
        let (seconds, fraction) = (total / 1_000_000, total % 1_000_000);
        let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        put(self.out, format_args!("{sign}{hours:02}:{minutes:02}:{seconds:02}"));
        print_fraction(i64::try_from(fraction).unwrap_or(0), self.out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_printed_interval_is_read_back(months: i32, days: i32, micros: i64) {
            let mut text = Vec::new();
            print(months, days, micros, &mut text);
            let frame = Bytes::from(text);
            prop_assert_eq!(
                from_text(Field::whole(&frame)),
                Ok(Value::Interval { months, days, micros })
            );
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9:. yearsmondayinf]{0,40}") {
            let frame = Bytes::from(text);
            let read = from_text(Field::whole(&frame));
            prop_assert!(read.is_err() || !frame.is_empty());
        }
    }

    #[test]
    fn signs_are_said_where_the_server_says_them() {
        let check = |months, days, micros, expected: &str| {
            let mut text = Vec::new();
            print(months, days, micros, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        };
        check(0, 0, 0, "00:00:00");
        check(13, 1, 1_500_000, "1 year 1 mon 1 day 00:00:01.5");
        check(-13, 2, -1, "-1 years -1 mons +2 days -00:00:00.000001");
        check(0, -1, 1_000_000, "-1 days +00:00:01");
    }
}
