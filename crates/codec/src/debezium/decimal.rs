//! Decimal text as the bytes of an unscaled integer.

use super::error::Problem;
use std::borrow::Cow;

/// Digits that a declared scale may add to a value; PostgreSQL allows a scale of 1000.
const PADDING_DIGITS_MAX: usize = 20_000;

/// PostgreSQL's longest decimals have 147,455 digits.
const UNSCALED_BYTES_MAX: usize = 64 << 10;

const INVALID: Problem = Problem::Shape("not a decimal number");

/// A decimal number in parts; both digit texts may be empty, not both at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

/// What a decimal's text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    Finite(Decimal<'a>),
    /// The name under which the envelope shows it.
    Special(&'static str),
}

pub(super) fn parse(text: &[u8]) -> Result<Parsed<'_>, Problem> {
    match text {
        b"NaN" => return Ok(Parsed::Special("NaN")),
        b"Infinity" => return Ok(Parsed::Special("POSITIVE_INFINITY")),
        b"-Infinity" => return Ok(Parsed::Special("NEGATIVE_INFINITY")),
        _ => {}
    }
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    let numeric = whole.iter().chain(fraction).all(u8::is_ascii_digit);
    if !numeric || whole.is_empty() && fraction.is_empty() {
        return Err(INVALID);
    }
    Ok(Parsed::Finite(Decimal { negative, whole, fraction }))
}

impl<'a> Decimal<'a> {
    /// The bytes of the value times 10 to the power of `scale`.
    pub(super) fn unscaled(self, scale: i32) -> Result<Vec<u8>, Problem> {
        let digits = self.digits_at(scale)?;
        Ok(two_s_complement(self.negative, &digits))
    }

    /// The smallest scale, from 0 up, that loses nothing, and the bytes of the value at that scale.
    pub(super) fn shortest(self) -> Result<(i32, Vec<u8>), Problem> {
        let zeros = self.fraction.iter().rev().take_while(|digit| **digit == b'0').count();
        let scale = i32::try_from(self.fraction.len() - zeros).map_err(|_| INVALID)?;
        Ok((scale, self.unscaled(scale)?))
    }

    fn digits_at(self, scale: i32) -> Result<Cow<'a, [u8]>, Problem> {
        let have = i64::try_from(self.fraction.len()).map_err(|_| INVALID)?;
        let missing = i64::from(scale) - have;
        if self.fraction.is_empty() && missing == 0 {
            return Ok(Cow::Borrowed(self.whole));
        }
        let mut digits = Vec::with_capacity(self.whole.len() + self.fraction.len());
        digits.extend_from_slice(self.whole);
        digits.extend_from_slice(self.fraction);
        let count = usize::try_from(missing.unsigned_abs()).unwrap_or(usize::MAX);
        if missing >= 0 {
            if count > PADDING_DIGITS_MAX {
                return Err(Problem::Range("the declared scale is too large"));
            }
            digits.resize(digits.len() + count, b'0');
        } else {
            let kept = digits.len().saturating_sub(count);
            if digits.iter().skip(kept).any(|digit| *digit != b'0') {
                return Err(Problem::Range("more digits than the declared scale"));
            }
            digits.truncate(kept);
        }
        Ok(Cow::Owned(digits))
    }
}

/// The shortest big-endian two's complement of a number in decimal digits.
pub(super) fn two_s_complement(negative: bool, digits: &[u8]) -> Vec<u8> {
    let mut limbs = magnitude(digits);
    let negative = negative && !limbs.is_empty();
    if negative {
        decrement(&mut limbs);
    }
    let mut bytes: Vec<u8> = limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    if bytes.first().is_none_or(|first| *first >= 0x80) {
        bytes.insert(0, 0);
    }
    if negative {
        for byte in &mut bytes {
            *byte = !*byte;
        }
    }
    bytes
}

/// The plain text of unscaled bytes at a scale, the reverse of [`Decimal::unscaled`]; `None` for more
/// digits than any database has.
pub(super) fn text_of(unscaled: &[u8], scale: i32) -> Option<String> {
    if unscaled.is_empty() || unscaled.len() > UNSCALED_BYTES_MAX {
        return None;
    }
    let negative = unscaled.first().is_some_and(|first| *first >= 0x80);
    let mut digits = digits_of(unscaled, negative);
    let places = usize::try_from(scale.unsigned_abs()).ok().filter(|n| *n <= PADDING_DIGITS_MAX)?;
    if scale < 0 {
        digits.extend(std::iter::repeat_n('0', if digits == "0" { 0 } else { places }));
    } else if places > 0 {
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at_checked(padded.len() - places)?;
        digits = format!("{whole}.{fraction}");
    }
    Some(if negative { format!("-{digits}") } else { digits })
}

/// The digits of a big-endian two's complement without its sign.
fn digits_of(bytes: &[u8], negative: bool) -> String {
    const TEN_TO_19: u128 = 10_000_000_000_000_000_000;
    let fill = if negative { 0xff } else { 0 };
    // The highest limb first.
    let mut limbs: Vec<u64> = Vec::with_capacity(bytes.len() / 8 + 1);
    let (head, tail) = bytes.split_at(bytes.len() % 8);
    let mut first = [fill; 8];
    for (to, from) in first.iter_mut().rev().zip(head.iter().rev()) {
        *to = *from;
    }
    limbs.push(u64::from_be_bytes(first));
    limbs.extend(
        tail.chunks_exact(8)
            .map(|chunk| chunk.iter().fold(0_u64, |limb, byte| limb << 8 | u64::from(*byte))),
    );
    if negative {
        let mut carry = true;
        for limb in limbs.iter_mut().rev() {
            let (value, carried) = (!*limb).overflowing_add(u64::from(carry));
            *limb = value;
            carry = carried;
        }
    }
    let mut groups: Vec<u64> = Vec::new();
    while limbs.iter().any(|limb| *limb != 0) {
        let mut rest = 0_u128;
        for limb in &mut limbs {
            let value = rest << 64 | u128::from(*limb);
            *limb = low(value / TEN_TO_19);
            rest = value % TEN_TO_19;
        }
        groups.push(low(rest));
    }
    let mut groups = groups.into_iter().rev();
    let mut out = groups.next().unwrap_or(0).to_string();
    for group in groups {
        out.push_str(&format!("{group:019}"));
    }
    out
}

/// Decimal digits as 64-bit limbs, the lowest first, without leading zero limbs.
fn magnitude(digits: &[u8]) -> Vec<u64> {
    // 10^19 is the largest power of ten in 64 bits.
    const DIGITS_A_STEP: usize = 19;
    let mut limbs: Vec<u64> = Vec::with_capacity(digits.len() / DIGITS_A_STEP + 1);
    let first = digits.len() % DIGITS_A_STEP;
    let (head, tail) = digits.split_at(first);
    for chunk in std::iter::once(head).chain(tail.chunks(DIGITS_A_STEP)) {
        let mut factor = 1_u64;
        let mut carry = 0_u64;
        for digit in chunk {
            factor *= 10;
            carry = carry * 10 + u64::from(digit.wrapping_sub(b'0') % 10);
        }
        for limb in &mut limbs {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            *limb = low(product);
            carry = low(product >> 64);
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    limbs
}

fn decrement(limbs: &mut [u64]) {
    for limb in limbs {
        let (value, borrowed) = limb.overflowing_sub(1);
        *limb = value;
        if !borrowed {
            return;
        }
    }
}

fn low(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finite(text: &str) -> Decimal<'_> {
        match parse(text.as_bytes()).unwrap() {
            Parsed::Finite(decimal) => decimal,
            Parsed::Special(name) => panic!("{name}"),
        }
    }

    #[test]
    fn bytes_are_the_shortest_two_s_complement() {
        for (text, expected) in [
            ("0", &[0_u8][..]),
            ("-0", &[0]),
            ("1", &[1]),
            ("-1", &[0xff]),
            ("127", &[0x7f]),
            ("128", &[0, 0x80]),
            ("-128", &[0x80]),
            ("-129", &[0xff, 0x7f]),
            ("256", &[1, 0]),
            ("-256", &[0xff, 0]),
            ("18446744073709551616", &[1, 0, 0, 0, 0, 0, 0, 0, 0]),
            ("-18446744073709551616", &[0xff, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(finite(text).unscaled(0).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn scale_moves_the_point_and_never_drops_a_digit() {
        assert_eq!(finite("1.5").unscaled(2).unwrap(), [0, 150]);
        assert_eq!(finite("1200").unscaled(-2).unwrap(), [12]);
        assert_eq!(finite(".5").unscaled(1).unwrap(), [5]);
        assert!(finite("1.55").unscaled(1).is_err());
        assert!(finite("1250").unscaled(-2).is_err());
        assert!(finite("1").unscaled(i32::MAX).is_err());
        assert_eq!(finite("0").unscaled(i32::MIN).unwrap(), [0]);
        assert_eq!(finite("1.100").shortest().unwrap(), (1, vec![11]));
        assert_eq!(finite("1200").shortest().unwrap(), (0, vec![4, 0xb0]));
    }

    #[test]
    fn refuses_what_is_not_a_number() {
        for text in ["", "-", ".", "1.2.3", "1e5", "+1", " 1", "nan"] {
            assert_eq!(parse(text.as_bytes()), Err(INVALID), "{text}");
        }
    }

    proptest! {
        #[test]
        fn bytes_read_back_as_the_text_they_were(value: i128, scale in 0_i32..60) {
            let text = value.to_string();
            let bytes = finite(&text).unscaled(0).unwrap();
            prop_assert_eq!(text_of(&bytes, 0), Some(text));
            let scaled = text_of(&bytes, scale).unwrap();
            prop_assert_eq!(finite(&scaled).unscaled(scale).unwrap(), bytes);
        }

        #[test]
        fn long_numbers_read_back(digits in "-?[1-9][0-9]{0,300}") {
            let bytes = finite(&digits).unscaled(0).unwrap();
            prop_assert_eq!(text_of(&bytes, 0), Some(digits));
        }

        #[test]
        fn agrees_with_128_bit_arithmetic(value: i128) {
            let bytes = finite(&value.to_string()).unscaled(0).unwrap();
            let fill = if value < 0 { 0xff } else { 0 };
            let mut wide = [fill; 16];
            wide[16 - bytes.len()..].copy_from_slice(&bytes);
            prop_assert_eq!(i128::from_be_bytes(wide), value);
        }
    }
}
