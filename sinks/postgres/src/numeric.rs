//! Decimal text to PostgreSQL's binary `numeric`.

use bytes::{BufMut, BytesMut};

const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;
const SIGN_INFINITY: u16 = 0xD000;
const SIGN_NEGATIVE_INFINITY: u16 = 0xF000;
/// Most digits after the point that the format can carry.
const SCALE_MAX: u16 = 0x3FFF;
const DIGITS_PER_GROUP: usize = 4;

/// The text is not a number that PostgreSQL's `numeric` can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotNumeric;

/// Appends the binary form of a number in plain decimal notation, `NaN`, `Infinity` or `-Infinity`.
pub(crate) fn encode(text: &[u8], out: &mut BytesMut) -> Result<(), NotNumeric> {
    match text {
        b"NaN" => put_header(out, 0, 0, SIGN_NAN, 0),
        b"Infinity" => put_header(out, 0, 0, SIGN_INFINITY, 0),
        b"-Infinity" => put_header(out, 0, 0, SIGN_NEGATIVE_INFINITY, 0),
        finite => return encode_finite(finite, out),
    }
    Ok(())
}

fn encode_finite(text: &[u8], out: &mut BytesMut) -> Result<(), NotNumeric> {
    let (sign, digits) = match text.split_first() {
        Some((b'-', rest)) => (SIGN_NEGATIVE, rest),
        Some((b'+', rest)) => (SIGN_POSITIVE, rest),
        _ => (SIGN_POSITIVE, text),
    };
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(point) => {
            let (whole, rest) = digits.split_at(point);
            (whole, rest.get(1..).unwrap_or_default())
        }
        None => (digits, &[][..]),
    };
    let all_digits = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if !all_digits || whole.len() + fraction.len() == 0 {
        return Err(NotNumeric);
    }
    let scale = u16::try_from(fraction.len()).ok().filter(|scale| *scale <= SCALE_MAX);
    let scale = scale.ok_or(NotNumeric)?;

    let mut groups = Vec::with_capacity((whole.len() + fraction.len()) / DIGITS_PER_GROUP + 2);
    let head = whole.len() % DIGITS_PER_GROUP;
    let (first, rest) = whole.split_at(head);
    if !first.is_empty() {
        groups.push(group(first));
    }
    groups.extend(rest.chunks(DIGITS_PER_GROUP).map(group));
    let whole_groups = groups.len();
    groups.extend(fraction.chunks(DIGITS_PER_GROUP).map(padded_group));

    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let significant = groups.get(leading..groups.len() - trailing.min(groups.len() - leading));
    let significant = significant.unwrap_or_default();
    if significant.is_empty() {
        put_header(out, 0, 0, SIGN_POSITIVE, scale);
        return Ok(());
    }
    let weight = i64::try_from(whole_groups).map_err(|_| NotNumeric)?
        - i64::try_from(leading).map_err(|_| NotNumeric)?
        - 1;
    let weight = i16::try_from(weight).map_err(|_| NotNumeric)?;
    let count = u16::try_from(significant.len()).map_err(|_| NotNumeric)?;
    put_header(out, count, weight, sign, scale);
    for group in significant {
        out.put_u16(*group);
    }
    Ok(())
}

fn put_header(out: &mut BytesMut, count: u16, weight: i16, sign: u16, scale: u16) {
    out.put_u16(count);
    out.put_i16(weight);
    out.put_u16(sign);
    out.put_u16(scale);
}

fn group(digits: &[u8]) -> u16 {
    digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')))
}

fn padded_group(digits: &[u8]) -> u16 {
    let missing = DIGITS_PER_GROUP.saturating_sub(digits.len());
    (0..missing).fold(group(digits), |sum, _| sum * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<i32> {
        let mut out = BytesMut::new();
        encode(text.as_bytes(), &mut out).unwrap();
        out.chunks(2).map(|pair| i32::from(i16::from_be_bytes([pair[0], pair[1]]))).collect()
    }

    #[test]
    fn groups_digits_by_four_from_the_point() {
        assert_eq!(words("0"), [0, 0, 0, 0]);
        assert_eq!(words("-0.00"), [0, 0, 0, 2]);
        assert_eq!(words("12.340"), [2, 0, 0, 3, 12, 3400]);
        assert_eq!(words("10000"), [1, 1, 0, 0, 1]);
        assert_eq!(words("0.00001"), [1, -2, 0, 5, 1000]);
        assert_eq!(words("-12345.6"), [3, 1, 0x4000, 1, 1, 2345, 6000]);
        assert_eq!(words(".5"), [1, -1, 0, 1, 5000]);
    }

    #[test]
    fn refuses_what_is_not_a_plain_number() {
        for text in ["", "-", ".", "1e5", "1.2.3", "abc", " 1"] {
            assert_eq!(encode(text.as_bytes(), &mut BytesMut::new()), Err(NotNumeric), "{text}");
        }
        let too_fine = format!("0.{}", "1".repeat(20_000));
        assert_eq!(encode(too_fine.as_bytes(), &mut BytesMut::new()), Err(NotNumeric));
    }
}
