//! Dates and times in the units and texts of the envelope.

use super::error::Problem;
use crate::connect::Writer;
use cdc_core::Timestamp;
use std::fmt;

const SECONDS_A_DAY: i64 = 86_400;
const NANOS_A_DAY: i64 = SECONDS_A_DAY * 1_000_000_000;
/// A month of 365.25 / 12 days.
const MICROS_A_MONTH: i128 = 2_629_800_000_000;
const MICROS_A_DAY: i128 = 86_400_000_000;

/// Stands for an infinite timestamp in a numeric field, as PostgreSQL's JDBC driver has it.
const POSITIVE_INFINITY: i64 = 9_223_372_036_825_200_000;
const NEGATIVE_INFINITY: i64 = -9_223_372_036_832_400_000;

const OUT_OF_RANGE: Problem = Problem::Range("the date does not fit 64 bits");

/// Unit or form of a date, time or timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
    /// Milliseconds by the names of Kafka Connect.
    Connect,
    /// ISO 8601 text.
    Iso,
}

impl Unit {
    pub(super) fn nanos(self) -> u32 {
        match self {
            Self::Millis | Self::Connect => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos | Self::Iso => 1,
        }
    }
}

/// Writes a day since 1970.
pub(super) fn write_date<W: Writer>(out: &mut W, days: i32, unit: Unit) {
    match (unit, days) {
        (Unit::Iso, i32::MAX) => out.plain(format_args!("infinity")),
        (Unit::Iso, i32::MIN) => out.plain(format_args!("-infinity")),
        (Unit::Iso, days) => out.plain(format_args!("{}Z", Day(i64::from(days)))),
        _ => out.integer(i64::from(days)),
    }
}

/// Writes a time of day.
pub(super) fn write_time<W: Writer>(out: &mut W, nanos: i64, unit: Unit) {
    if unit == Unit::Iso {
        out.plain(format_args!("{}Z", Clock::of_nanos(nanos)));
    } else {
        out.integer(nanos.div_euclid(i64::from(unit.nanos())));
    }
}

/// Writes a timestamp without a zone.
pub(super) fn write_timestamp<W: Writer>(
    out: &mut W,
    value: Timestamp,
    unit: Unit,
) -> Result<(), Problem> {
    if unit == Unit::Iso {
        write_iso(out, value, None);
    } else {
        out.integer(timestamp(value, unit)?);
    }
    Ok(())
}

/// A timestamp in its unit since 1970.
fn timestamp(value: Timestamp, unit: Unit) -> Result<i64, Problem> {
    // The constants count microseconds, which milliseconds hold as well; as nanoseconds they would be
    // dates that are not far away.
    let infinite = |micros: i64| match unit {
        Unit::Millis | Unit::Connect => Ok(micros / 1_000),
        Unit::Micros => Ok(micros),
        Unit::Nanos | Unit::Iso => Err(OUT_OF_RANGE),
    };
    if value == Timestamp::INFINITY {
        return infinite(POSITIVE_INFINITY);
    }
    if value == Timestamp::NEG_INFINITY {
        return infinite(NEGATIVE_INFINITY);
    }
    since_epoch(value, i64::from(1_000_000_000 / unit.nanos())).ok_or(OUT_OF_RANGE)
}

/// Units since 1970, of which a second has `per_second`; `None` when they do not fit.
pub(super) fn since_epoch(value: Timestamp, per_second: i64) -> Option<i64> {
    let fraction = i64::from(value.nanos) * per_second / 1_000_000_000;
    let whole = i128::from(value.seconds) * i128::from(per_second);
    i64::try_from(whole + i128::from(fraction)).ok()
}

/// Microseconds of a span, a month counted as 365.25 / 12 days.
pub(super) fn interval(months: i32, days: i32, micros: i64) -> Result<i64, Problem> {
    if (months, days, micros) == (i32::MAX, i32::MAX, i64::MAX) {
        return Ok(i64::MAX);
    }
    if (months, days, micros) == (i32::MIN, i32::MIN, i64::MIN) {
        return Ok(i64::MIN);
    }
    let sum = i128::from(months) * MICROS_A_MONTH + i128::from(days) * MICROS_A_DAY;
    i64::try_from(sum + i128::from(micros))
        .map_err(|_| Problem::Range("the interval does not fit 64 bits of microseconds"))
}

/// Writes a span as ISO 8601 text with all of its parts.
pub(super) fn write_interval<W: Writer>(out: &mut W, months: i32, days: i32, micros: i64) {
    let (hours, minutes) = (micros / 3_600_000_000, micros / 60_000_000 % 60);
    let seconds = micros % 60_000_000;
    let sign = if seconds < 0 { "-" } else { "" };
    let fraction = Fraction(seconds.unsigned_abs() % 1_000_000 * 1_000);
    out.plain(format_args!(
        "P{}Y{}M{days}DT{hours}H{minutes}M{sign}{}{fraction}S",
        months / 12,
        months % 12,
        seconds.unsigned_abs() / 1_000_000
    ));
}

/// Writes an instant in UTC with at least so many digits of a second.
pub(super) fn write_instant<W: Writer>(out: &mut W, value: Timestamp, digits: u8) {
    write_iso(out, value, Some(digits));
}

/// Writes a point in time as ISO 8601 text: with at least so many digits of a second, or with those
/// that it needs.
fn write_iso<W: Writer>(out: &mut W, value: Timestamp, digits: Option<u8>) {
    if value == Timestamp::INFINITY {
        return out.plain(format_args!("infinity"));
    }
    if value == Timestamp::NEG_INFINITY {
        return out.plain(format_args!("-infinity"));
    }
    let day = Day(value.seconds.div_euclid(SECONDS_A_DAY));
    let second = value.seconds.rem_euclid(SECONDS_A_DAY);
    let clock = Clock { second, nanos: 0 };
    let nanos = value.nanos;
    let Some(digits) = digits else {
        return out.plain(format_args!("{day}T{clock}{}Z", Fraction(u64::from(nanos))));
    };
    // No digit is lost where a column holds more of them than it declares.
    let enough = |digits: &u8| nanos.is_multiple_of(10_u32.pow(9 - u32::from(*digits)));
    match [digits.min(9), 6, 9].into_iter().find(enough) {
        Some(0) => out.plain(format_args!("{day}T{clock}Z")),
        digits => {
            let width = usize::from(digits.unwrap_or(9));
            let kept = nanos / 10_u32.pow(9 - u32::from(digits.unwrap_or(9)));
            out.plain(format_args!("{day}T{clock}.{kept:0width$}Z"));
        }
    }
}

/// Writes a time with an offset in UTC, with the digits of fraction that it needs.
pub(super) fn write_time_tz<W: Writer>(out: &mut W, nanos: i64, offset_seconds: i32) {
    let shifted = i128::from(nanos) - i128::from(offset_seconds) * 1_000_000_000;
    let nanos = if shifted == i128::from(NANOS_A_DAY) && offset_seconds == 0 {
        NANOS_A_DAY
    } else {
        i64::try_from(shifted.rem_euclid(i128::from(NANOS_A_DAY))).unwrap_or(0)
    };
    out.plain(format_args!("{}Z", Clock::of_nanos(nanos)));
}

/// Prints the date of a day since 1970.
struct Day(i64);

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0);
        match year {
            10_000.. => write!(f, "+{year}")?,
            0.. => write!(f, "{year:04}")?,
            _ => write!(f, "-{:04}", year.unsigned_abs())?,
        }
        write!(f, "-{month:02}-{day:02}")
    }
}

/// Prints a time of day with the digits of fraction that it needs.
struct Clock {
    second: i64,
    nanos: u64,
}

impl Clock {
    fn of_nanos(nanos: i64) -> Self {
        let fraction = nanos.rem_euclid(1_000_000_000).unsigned_abs();
        Self { second: nanos.div_euclid(1_000_000_000), nanos: fraction }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (self.second / 3600, self.second / 60 % 60, self.second % 60);
        write!(f, "{hour:02}:{minute:02}:{second:02}{}", Fraction(self.nanos))
    }
}

/// Prints nanoseconds as a fraction without zeros at its end.
struct Fraction(u64);

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut fraction, mut width) = (self.0, 9);
        if fraction == 0 {
            return Ok(());
        }
        while fraction.is_multiple_of(10) {
            fraction /= 10;
            width -= 1;
        }
        write!(f, ".{fraction:0width$}")
    }
}

/// Year, month and day of a day since 1970 in the proleptic Gregorian calendar. Counts in eras of
/// 400 years that start on 1 March, so that the leap day is the last of its year.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::JsonWriter;

    fn written(write: impl FnOnce(&mut JsonWriter<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut JsonWriter::new(&mut out, true));
        String::from_utf8(out).unwrap()
    }

    fn instant(seconds: i64, nanos: u32) -> String {
        written(|out| write_instant(out, Timestamp { seconds, nanos }, 6))
    }

    #[test]
    fn instants_have_the_digits_of_their_column() {
        let at = Timestamp { seconds: 0, nanos: 120_000_000 };
        let cases =
            [(0, "120000"), (1, "120000"), (2, "12"), (3, "120"), (5, "12000"), (9, "120000000")];
        for (digits, expected) in cases {
            let expected = format!("\"1970-01-01T00:00:00.{expected}Z\"");
            assert_eq!(written(|out| write_instant(out, at, digits)), expected);
        }
        let finest = Timestamp { seconds: 0, nanos: 1 };
        let text = written(|out| write_instant(out, finest, 2));
        assert_eq!(text, "\"1970-01-01T00:00:00.000000001Z\"");
        let whole = Timestamp { seconds: 0, nanos: 0 };
        assert_eq!(written(|out| write_instant(out, whole, 0)), "\"1970-01-01T00:00:00Z\"");
    }

    #[test]
    fn text_is_iso_8601() {
        let date = |days| written(|out| write_date(out, days, Unit::Iso));
        assert_eq!(date(17_109), "\"2016-11-04Z\"");
        assert_eq!(date(i32::MAX), "\"infinity\"");
        let span = |m, d, us| written(|out| write_interval(out, m, d, us));
        assert_eq!(span(14, 3, 14_706_780_000), "\"P1Y2M3DT4H5M6.78S\"");
        assert_eq!(span(-1, 2, -11_045_000_001), "\"P0Y-1M2DT-3H-4M-5.000001S\"");
        assert_eq!(span(0, 0, -1), "\"P0Y0M0DT0H0M-0.000001S\"");
        assert!(span(i32::MIN, i32::MIN, i64::MIN).starts_with("\"P-178956970Y-8M-2147483648DT-"));
    }

    #[test]
    fn instants_are_iso_text_in_every_era() {
        for (seconds, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (-1, 999_999_000, "1969-12-31T23:59:59.999999Z"),
            (1_478_260_290, 123_456_000, "2016-11-04T11:51:30.123456Z"),
            (951_782_400, 0, "2000-02-29T00:00:00.000000Z"),
            (253_402_300_800, 0, "+10000-01-01T00:00:00.000000Z"),
            (-62_167_219_200, 0, "0000-01-01T00:00:00.000000Z"),
            (-62_167_219_201, 0, "-0001-12-31T23:59:59.000000Z"),
            (-210_866_803_200, 0, "-4713-11-24T00:00:00.000000Z"),
            (0, 1, "1970-01-01T00:00:00.000000001Z"),
        ] {
            assert_eq!(instant(seconds, nanos), format!("\"{expected}\""));
        }
        assert_eq!(instant(i64::MAX, 0), "\"infinity\"");
        assert_eq!(instant(i64::MIN, 0), "\"-infinity\"");
        for seconds in [i64::MAX - 1, i64::MIN + 1] {
            assert!(instant(seconds, 0).ends_with("Z\""));
        }
    }

    #[test]
    fn times_with_an_offset_are_shifted_to_utc() {
        for (nanos, offset, expected) in [
            (42_690_123_789_000, 0, "11:51:30.123789Z"),
            (46_290_123_000_000, 3_600, "11:51:30.123Z"),
            (3_600_000_000_000, 7_200, "23:00:00Z"),
            (NANOS_A_DAY, 0, "24:00:00Z"),
            (NANOS_A_DAY, 3_600, "23:00:00Z"),
            (NANOS_A_DAY, -3_600, "01:00:00Z"),
            (1, 0, "00:00:00.000000001Z"),
        ] {
            let text = written(|out| write_time_tz(out, nanos, offset));
            assert_eq!(text, format!("\"{expected}\""));
        }
    }

    #[test]
    fn numbers_keep_their_unit_or_are_refused() {
        let before_christ = Timestamp { seconds: -210_831_897_601, nanos: 999_999_000 };
        assert_eq!(timestamp(before_christ, Unit::Micros), Ok(-210_831_897_600_000_001));
        assert_eq!(timestamp(Timestamp::INFINITY, Unit::Micros), Ok(POSITIVE_INFINITY));
        assert_eq!(timestamp(Timestamp { seconds: -1, nanos: 1 }, Unit::Millis), Ok(-1_000));
        let far = Timestamp { seconds: i64::MAX - 1, nanos: 0 };
        assert_eq!(timestamp(far, Unit::Millis), Err(OUT_OF_RANGE));
        assert_eq!(interval(1, 2, 3), Ok(2_629_800_000_000 + 172_800_000_000 + 3));
        assert!(interval(i32::MAX, 0, 0).is_err());
        assert_eq!(interval(i32::MAX, i32::MAX, i64::MAX), Ok(i64::MAX));
        let time = written(|out| write_time(out, NANOS_A_DAY, Unit::Micros));
        assert_eq!(time, "86400000000");
        assert_eq!(timestamp(Timestamp::INFINITY, Unit::Millis), Ok(POSITIVE_INFINITY / 1_000));
        assert_eq!(timestamp(Timestamp::INFINITY, Unit::Nanos), Err(OUT_OF_RANGE));
    }
}
