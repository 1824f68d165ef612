//! Dates and times in the units and texts of the envelope.

use super::{error::Problem, json};
use cdc_core::Timestamp;

const SECONDS_A_DAY: i64 = 86_400;
const NANOS_A_DAY: i64 = SECONDS_A_DAY * 1_000_000_000;
/// A month of 365.25 / 12 days.
const MICROS_A_MONTH: i128 = 2_629_800_000_000;
const MICROS_A_DAY: i128 = 86_400_000_000;

/// Stands for an infinite timestamp in a numeric field, as PostgreSQL's JDBC driver has it.
const POSITIVE_INFINITY: i64 = 9_223_372_036_825_200_000;
const NEGATIVE_INFINITY: i64 = -9_223_372_036_832_400_000;

const OUT_OF_RANGE: Problem = Problem::Range("the date does not fit 64 bits");

/// Unit of a numeric time or timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
}

impl Unit {
    /// The unit of a type that keeps so many digits of a second; databases keep 6 by default.
    pub(super) fn of_precision(digits: Option<u8>) -> Self {
        if digits.unwrap_or(6) <= 3 { Self::Millis } else { Self::Micros }
    }

    fn nanos(self) -> u32 {
        match self {
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
        }
    }
}

/// A time of day in its unit.
pub(super) fn time(nanos: i64, unit: Unit) -> i64 {
    nanos.div_euclid(i64::from(unit.nanos()))
}

/// A timestamp in its unit since 1970.
pub(super) fn timestamp(value: Timestamp, unit: Unit) -> Result<i64, Problem> {
    if value == Timestamp::INFINITY {
        return Ok(POSITIVE_INFINITY);
    }
    if value == Timestamp::NEG_INFINITY {
        return Ok(NEGATIVE_INFINITY);
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

/// An instant as a JSON string in UTC with six digits of fraction, nine where six would lose some.
pub(super) fn write_instant(out: &mut Vec<u8>, value: Timestamp) {
    if value == Timestamp::INFINITY {
        return out.extend_from_slice(b"\"infinity\"");
    }
    if value == Timestamp::NEG_INFINITY {
        return out.extend_from_slice(b"\"-infinity\"");
    }
    let (year, month, day) = civil(value.seconds.div_euclid(SECONDS_A_DAY));
    let second = value.seconds.rem_euclid(SECONDS_A_DAY);
    out.push(b'"');
    match year {
        10_000.. => json::token(out, format_args!("+{year}")),
        0.. => json::token(out, format_args!("{year:04}")),
        _ => json::token(out, format_args!("-{:04}", year.unsigned_abs())),
    }
    json::token(out, format_args!("-{month:02}-{day:02}T"));
    write_clock(out, second);
    if value.nanos.is_multiple_of(1_000) {
        json::token(out, format_args!(".{:06}Z\"", value.nanos / 1_000));
    } else {
        json::token(out, format_args!(".{:09}Z\"", value.nanos));
    }
}

/// A time with an offset as a JSON string in UTC, with the digits of fraction that it needs.
pub(super) fn write_time_tz(out: &mut Vec<u8>, nanos: i64, offset_seconds: i32) {
    let shifted = i128::from(nanos) - i128::from(offset_seconds) * 1_000_000_000;
    let nanos = if shifted == i128::from(NANOS_A_DAY) && offset_seconds == 0 {
        NANOS_A_DAY
    } else {
        i64::try_from(shifted.rem_euclid(i128::from(NANOS_A_DAY))).unwrap_or(0)
    };
    out.push(b'"');
    write_clock(out, nanos / 1_000_000_000);
    let mut fraction = nanos % 1_000_000_000;
    if fraction > 0 {
        let mut width = 9;
        while fraction % 10 == 0 {
            fraction /= 10;
            width -= 1;
        }
        json::token(out, format_args!(".{fraction:0width$}"));
    }
    out.extend_from_slice(b"Z\"");
}

fn write_clock(out: &mut Vec<u8>, second: i64) {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    json::token(out, format_args!("{hour:02}:{minute:02}:{second:02}"));
}

/// Year, month and day of a day since 1970 in the proleptic Gregorian calendar. Counts in eras of
/// 400 years that start on 1 March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
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

    fn instant(seconds: i64, nanos: u32) -> String {
        let mut out = Vec::new();
        write_instant(&mut out, Timestamp { seconds, nanos });
        String::from_utf8(out).unwrap()
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
            let mut out = Vec::new();
            write_time_tz(&mut out, nanos, offset);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{expected}\""));
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
        assert_eq!(time(NANOS_A_DAY, Unit::Micros), 86_400_000_000);
    }
}
