//! Dates, times and spans from ISO 8601 text.

use cdc_core::{Timestamp, Value};

const SECONDS_A_DAY: i64 = 86_400;
/// PostgreSQL's years are far within.
const YEAR_MAX: i64 = 10_000_000;

/// `2016-11-04Z`, `+294276-01-01Z`, `infinity`: days since 1970.
pub(super) fn date(text: &str) -> Option<i64> {
    match text {
        "infinity" => return Some(i64::from(i32::MAX)),
        "-infinity" => return Some(i64::from(i32::MIN)),
        _ => {}
    }
    days(text.strip_suffix('Z').unwrap_or(text))
}

/// `11:51:30.123Z`, `24:00:00+02:00`: nanoseconds since midnight, seconds east of UTC.
pub(super) fn time(text: &str) -> Option<(i64, i32)> {
    let (clock, offset) = split_offset(text)?;
    Some((nanos(clock)?, offset))
}

/// `2016-11-04T11:51:30.123456Z`, `-infinity`.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    match text {
        "infinity" => return Some(Timestamp::INFINITY),
        "-infinity" => return Some(Timestamp::NEG_INFINITY),
        _ => {}
    }
    let (date, time) = text.split_once('T')?;
    let (clock, offset) = split_offset(time)?;
    let nanos = nanos(clock)?;
    let seconds = days(date)? * SECONDS_A_DAY + nanos / 1_000_000_000 - i64::from(offset);
    Some(Timestamp { seconds, nanos: u32::try_from(nanos % 1_000_000_000).ok()? })
}

/// `P1Y2M3DT4H5M6.78S`, every part there.
pub(super) fn interval(text: &str) -> Option<Value> {
    let rest = text.strip_prefix('P')?;
    let (years, rest) = part(rest, 'Y')?;
    let (months, rest) = part(rest, 'M')?;
    let (days, rest) = part(rest, 'D')?;
    let (hours, rest) = part(rest.strip_prefix('T')?, 'H')?;
    let (minutes, rest) = part(rest, 'M')?;
    let seconds = rest.strip_suffix('S')?;
    let micros = i128::from(hours) * 3_600_000_000 + i128::from(minutes) * 60_000_000;
    let months = years.checked_mul(12)?.checked_add(months)?;
    Some(Value::Interval {
        months: i32::try_from(months).ok()?,
        days: i32::try_from(days).ok()?,
        micros: i64::try_from(micros + i128::from(seconds_in_micros(seconds)?)).ok()?,
    })
}

fn part(text: &str, unit: char) -> Option<(i64, &str)> {
    let (number, rest) = text.split_once(unit)?;
    Some((number.parse().ok()?, rest))
}

fn seconds_in_micros(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = i64::try_from(unsigned(whole)?).ok()?;
    whole.checked_mul(1_000_000)?.checked_add(fraction_of(fraction, 6)?)?.checked_mul(sign)
}

fn split_offset(text: &str) -> Option<(&str, i32)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (clock, offset) = text.split_at_checked(at)?;
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let mut parts = offset.get(1..)?.split(':').map(|part| part.parse::<i32>().ok());
    let (hours, minutes) = (parts.next()??, parts.next().unwrap_or(Some(0))?);
    let seconds = parts.next().unwrap_or(Some(0))?;
    let known =
        (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds);
    known.then_some((clock, sign * (hours * 3600 + minutes * 60 + seconds)))
}

/// `11:51:30.123`
fn nanos(clock: &str) -> Option<i64> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':').map(unsigned);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if hour > 24 || minute > 59 || second > 60 || parts.next().is_some() {
        return None;
    }
    let seconds = i64::try_from(hour * 3600 + minute * 60 + second).ok()?;
    Some(seconds * 1_000_000_000 + fraction_of(fraction, 9)?)
}

/// Digits after the point, as so many digits; finer ones are refused.
fn fraction_of(digits: &str, width: usize) -> Option<i64> {
    if digits.len() > width {
        return None;
    }
    unsigned(&format!("{digits:0<width$}")).and_then(|number| i64::try_from(number).ok())
}

/// Digits and nothing else.
fn unsigned(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// `2016-11-04`, `-0044-03-15`, `+11000-01-01`: days since 1970.
fn days(text: &str) -> Option<i64> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut parts = body.split('-').map(unsigned);
    let year = i64::try_from(parts.next()??).ok()? * sign;
    let (month, day) = (i64::try_from(parts.next()??).ok()?, i64::try_from(parts.next()??).ok()?);
    if parts.next().is_some() { None } else { days_since_1970(year, month, day) }
}

/// The day of a date of the proleptic Gregorian calendar.
pub(crate) fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let known = (-YEAR_MAX..=YEAR_MAX).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day);
    known.then(|| days_of(year, month, day))
}

/// Counts years from March, so that the leap day is the last of its year.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_every_era() {
        for (text, days) in [
            ("1970-01-01Z", 0),
            ("2016-11-04Z", 17_109),
            ("-0043-03-15Z", -735_160),
            ("-4712-11-24Z", -2_440_222),
            ("+5874897-12-31Z", 2_145_042_905),
            ("2000-02-29", 11_016),
        ] {
            assert_eq!(date(text), Some(days), "{text}");
        }
        assert_eq!(time("24:00:00Z"), Some((86_400_000_000_000, 0)));
        assert_eq!(time("01:02:03.4+05:30"), Some((3_723_400_000_000, 19_800)));
        let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
        assert_eq!(timestamp("1969-12-31T23:59:59.999999Z"), at(-1, 999_999_000));
        assert_eq!(timestamp("1970-01-01T02:00:00+02:00"), at(0, 0));
        assert_eq!(timestamp("infinity"), Some(Timestamp::INFINITY));
        let span = Value::Interval { months: 14, days: 3, micros: 14_706_780_000 };
        assert_eq!(interval("P1Y2M3DT4H5M6.78S"), Some(span));
        let span = Value::Interval { months: -1, days: 2, micros: -11_045_000_001 };
        assert_eq!(interval("P0Y-1M2DT-3H-4M-5.000001S"), Some(span));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "Z", "2016", "2016-13-01", "2016-01-01-01", "99999999999-01-01", "x-01-01"]
        {
            assert_eq!(date(text), None, "{text}");
        }
        for text in ["", "Z", "1:2", "25:00:00Z", "01:02:03.0000000001Z", "01:02:03+99:00", "+"] {
            assert_eq!(time(text), None, "{text}");
        }
        for text in ["", "P", "P1Y", "P1Y2M3DT4H5M", "PxY2M3DT4H5M6S"] {
            assert_eq!(interval(text), None, "{text}");
        }
    }
}
