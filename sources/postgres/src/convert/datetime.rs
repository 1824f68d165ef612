//! Dates, times and timestamps, binary and in ISO style.

use super::field::{Decoded, Field, Problem};
use cdc_core::{Timestamp, Value};
use std::io::Write as _;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
const EPOCH_DAYS: i32 = 10_957;
const SECONDS_PER_DAY: i64 = 86_400;
const EPOCH_SECONDS: i64 = EPOCH_DAYS as i64 * SECONDS_PER_DAY;
const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = SECONDS_PER_DAY * MICROS_PER_SECOND;
const NANOS_PER_MICRO: i64 = 1_000;
/// The server knows no year beyond 5,874,897.
const YEAR_MAX: i64 = 5_874_897;
/// Offsets reach almost 16 hours, sixteen is beyond all of them.
const OFFSET_SECONDS_MAX: i32 = 16 * 3_600;

pub(super) fn date_from_binary(field: Field<'_>) -> Decoded<Value> {
    match i32::from_be_bytes(field.exact()?) {
        infinity @ (i32::MAX | i32::MIN) => Ok(Value::Date(infinity)),
        days => days.checked_add(EPOCH_DAYS).map(Value::Date).ok_or(Problem::OutOfRange),
    }
}

pub(super) fn time_from_binary(field: Field<'_>) -> Decoded<Value> {
    micros_of_day(i64::from_be_bytes(field.exact()?)).map(Value::Time)
}

pub(super) fn time_tz_from_binary(field: Field<'_>) -> Decoded<Value> {
    let mut reader = field.reader();
    let nanos = micros_of_day(reader.i64()?)?;
    // The server counts seconds west of Greenwich.
    let west = reader.i32()?;
    reader.finish()?;
    let offset_seconds = west.checked_neg().ok_or(Problem::OutOfRange)?;
    if offset_seconds.abs() > OFFSET_SECONDS_MAX {
        return Err(Problem::OutOfRange);
    }
    Ok(Value::TimeTz { nanos, offset_seconds })
}

fn micros_of_day(micros: i64) -> Decoded<i64> {
    if (0..=MICROS_PER_DAY).contains(&micros) {
        Ok(micros * NANOS_PER_MICRO)
    } else {
        Err(Problem::OutOfRange)
    }
}

pub(super) fn timestamp_from_binary(field: Field<'_>) -> Decoded<Timestamp> {
    Ok(match i64::from_be_bytes(field.exact()?) {
        i64::MAX => Timestamp::INFINITY,
        i64::MIN => Timestamp::NEG_INFINITY,
        micros => {
            let since_2000 = Timestamp::from_micros(micros);
            Timestamp { seconds: since_2000.seconds + EPOCH_SECONDS, nanos: since_2000.nanos }
        }
    })
}

pub(super) fn date_from_text(field: Field<'_>) -> Decoded<Value> {
    let text = field.utf8()?;
    match text {
        "infinity" => return Ok(Value::Date(i32::MAX)),
        "-infinity" => return Ok(Value::Date(i32::MIN)),
        _ => {}
    }
    let (date, before_christ) = strip_era(text);
    let days = parse_date(date, before_christ)?;
    i32::try_from(days).map(Value::Date).map_err(|_| Problem::OutOfRange)
}

pub(super) fn time_from_text(field: Field<'_>) -> Decoded<Value> {
    parse_time(field.utf8()?).map(Value::Time)
}

pub(super) fn time_tz_from_text(field: Field<'_>) -> Decoded<Value> {
    let (time, offset) = split_offset(field.utf8()?)?;
    let offset_seconds = parse_offset(offset)?;
    Ok(Value::TimeTz { nanos: parse_time(time)?, offset_seconds })
}

pub(super) fn timestamp_from_text(field: Field<'_>) -> Decoded<Timestamp> {
    let text = field.utf8()?;
    if let Some(infinity) = infinity(text) {
        return Ok(infinity);
    }
    let (text, before_christ) = strip_era(text);
    let (date, time) = text.split_once(' ').ok_or(Problem::Syntax)?;
    instant(parse_date(date, before_christ)?, parse_time(time)?, 0)
}

pub(super) fn timestamp_tz_from_text(field: Field<'_>) -> Decoded<Timestamp> {
    let text = field.utf8()?;
    if let Some(infinity) = infinity(text) {
        return Ok(infinity);
    }
    let (text, before_christ) = strip_era(text);
    let (date, time) = text.split_once(' ').ok_or(Problem::Syntax)?;
    let (time, offset) = split_offset(time)?;
    instant(parse_date(date, before_christ)?, parse_time(time)?, parse_offset(offset)?)
}

fn infinity(text: &str) -> Option<Timestamp> {
    match text {
        "infinity" => Some(Timestamp::INFINITY),
        "-infinity" => Some(Timestamp::NEG_INFINITY),
        _ => None,
    }
}

fn instant(days: i64, nanos_of_day: i64, offset_seconds: i32) -> Decoded<Timestamp> {
    const NANOS_PER_SECOND: i64 = 1_000_000_000;
    let seconds =
        days * SECONDS_PER_DAY + nanos_of_day / NANOS_PER_SECOND - i64::from(offset_seconds);
    let nanos = u32::try_from(nanos_of_day % NANOS_PER_SECOND).map_err(|_| Problem::OutOfRange)?;
    Ok(Timestamp { seconds, nanos })
}

fn strip_era(text: &str) -> (&str, bool) {
    text.strip_suffix(" BC").map_or((text, false), |rest| (rest, true))
}

/// Digits only, and not many: nothing that is parsed here has more than nine.
pub(super) fn digits(text: &str) -> Decoded<i64> {
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::Syntax);
    }
    text.parse().map_err(|_| Problem::Syntax)
}

fn parse_date(text: &str, before_christ: bool) -> Decoded<i64> {
    let mut parts = text.splitn(3, '-');
    let mut next = || digits(parts.next().unwrap_or_default());
    let (year, month, day) = (next()?, next()?, next()?);
    if year > YEAR_MAX || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(Problem::OutOfRange);
    }
    // 1 BC is the year before 1 AD: year 0 of the proleptic calendar.
    let year = if before_christ { 1 - year } else { year };
    Ok(days_from_civil(year, month, day))
}

fn parse_time(text: &str) -> Decoded<i64> {
    let mut parts = text.splitn(3, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (hours, minutes) = (digits(next())?, digits(next())?);
    let seconds = next();
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let micros = parse_fraction(fraction)?;
    let seconds = (hours * 60 + minutes) * 60 + digits(seconds)?;
    micros_of_day(seconds * MICROS_PER_SECOND + micros)
}

/// Up to six digits after the point, as microseconds.
pub(super) fn parse_fraction(fraction: &str) -> Decoded<i64> {
    let length = u32::try_from(fraction.len()).map_err(|_| Problem::Syntax)?;
    let missing = 6_u32.checked_sub(length).ok_or(Problem::Syntax)?;
    Ok(digits(fraction)? * 10_i64.pow(missing))
}

/// Splits `12:00:00.5+05:30` before the sign.
fn split_offset(text: &str) -> Decoded<(&str, &str)> {
    let at = text.find(['+', '-']).ok_or(Problem::Syntax)?;
    text.split_at_checked(at).ok_or(Problem::Syntax)
}

/// `+05`, `-03:30`, `+00:19:32`: seconds east of Greenwich.
fn parse_offset(text: &str) -> Decoded<i32> {
    let (sign, text) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(Problem::Syntax),
    };
    let mut parts = text.splitn(3, ':');
    let hours = digits(parts.next().unwrap_or_default())?;
    let minutes = parts.next().map_or(Ok(0), digits)?;
    let seconds = parts.next().map_or(Ok(0), digits)?;
    let total = (hours * 60 + minutes) * 60 + seconds;
    i32::try_from(total)
        .ok()
        .filter(|total| *total <= OFFSET_SECONDS_MAX)
        .map(|total| sign * total)
        .ok_or(Problem::OutOfRange)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years start in March here,
/// so that the leap day is the last day of its year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The reverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// Prints a date as the server does.
pub(super) fn print_date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(b"infinity"),
        i32::MIN => out.extend_from_slice(b"-infinity"),
        days => {
            let before_christ = print_day(i64::from(days), out);
            print_era(before_christ, out);
        }
    }
}

/// Prints year, month and day; says whether ` BC` has to follow.
fn print_day(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil_from_days(days);
    let before_christ = year <= 0;
    let year = if before_christ { 1 - year } else { year };
    put(out, format_args!("{year:04}-{month:02}-{day:02}"));
    before_christ
}

fn print_era(before_christ: bool, out: &mut Vec<u8>) {
    if before_christ {
        out.extend_from_slice(b" BC");
    }
}

/// Prints a time of day as the server does.
pub(super) fn print_time(nanos: i64, out: &mut Vec<u8>) {
    let micros = nanos / NANOS_PER_MICRO;
    let seconds = micros / MICROS_PER_SECOND;
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60));
    print_fraction(micros % MICROS_PER_SECOND, out);
}

/// Prints `.5` for 500,000 and nothing for 0.
pub(super) fn print_fraction(micros: i64, out: &mut Vec<u8>) {
    if micros != 0 {
        put(out, format_args!(".{micros:06}"));
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Prints an offset as the server does, with only as many parts as it needs.
pub(super) fn print_offset(offset_seconds: i32, out: &mut Vec<u8>) {
    let sign = if offset_seconds < 0 { '-' } else { '+' };
    let total = offset_seconds.unsigned_abs();
    let (hours, minutes, seconds) = (total / 3_600, total / 60 % 60, total % 60);
    put(out, format_args!("{sign}{hours:02}"));
    if minutes != 0 || seconds != 0 {
        put(out, format_args!(":{minutes:02}"));
    }
    if seconds != 0 {
        put(out, format_args!(":{seconds:02}"));
    }
}

/// Prints a timestamp as the server does; `zone` for one with a zone, in UTC.
pub(super) fn print_timestamp(timestamp: Timestamp, zone: bool, out: &mut Vec<u8>) {
    if timestamp.is_infinite() {
        let text: &[u8] = if timestamp == Timestamp::INFINITY { b"infinity" } else { b"-infinity" };
        out.extend_from_slice(text);
        return;
    }
    let before_christ = print_day(timestamp.seconds.div_euclid(SECONDS_PER_DAY), out);
    out.push(b' ');
    let of_day = timestamp.seconds.rem_euclid(SECONDS_PER_DAY) * 1_000_000_000;
    print_time(of_day + i64::from(timestamp.nanos), out);
    if zone {
        out.extend_from_slice(b"+00");
    }
    print_era(before_christ, out);
}

/// Writes formatted text; a `Vec` cannot fail.
pub(super) fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_calendar_round_trips(days in -2_451_545_i64 - 10_957..2_145_042_906) {
            let (year, month, day) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(year, month, day), days);
        }

        #[test]
        fn a_printed_timestamp_is_read_back(seconds in -210_866_803_200_i64..9_224_318_016_000, micros in 0_u32..1_000_000) {
            let timestamp = Timestamp { seconds, nanos: micros * 1_000 };
            let mut text = Vec::new();
            print_timestamp(timestamp, true, &mut text);
            let frame = Bytes::from(text);
            prop_assert_eq!(timestamp_tz_from_text(Field::whole(&frame)), Ok(timestamp));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9:. BCinfty]{0,40}") {
            let frame = Bytes::from(text);
            let field = Field::whole(&frame);
            prop_assert!(date_from_text(field).is_err() || !frame.is_empty());
            prop_assert!(time_from_text(field).is_err() || frame.len() >= 5);
            prop_assert!(time_tz_from_text(field).is_err() || frame.len() >= 7);
            prop_assert!(timestamp_from_text(field).is_err() || frame.len() >= 8);
            prop_assert!(timestamp_tz_from_text(field).is_err() || frame.len() >= 8);
        }
    }

    #[test]
    fn the_epochs_are_where_they_belong() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 1, 1), i64::from(EPOCH_DAYS));
        assert_eq!(civil_from_days(-719_529), (-1, 12, 31));
    }
}
