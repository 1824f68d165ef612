//! `numeric`: base-10000 digits into plain decimal text.

use super::field::{Decoded, Field, Problem};
use bytes::Bytes;

const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xC000;
const SIGN_INFINITY: u16 = 0xD000;
const SIGN_NEG_INFINITY: u16 = 0xF000;
/// The stored scale has 14 bits.
const SCALE_MAX: u16 = 0x3FFF;
const DIGITS_PER_GROUP: usize = 4;

/// Prints a binary `numeric` as the server does, with the scale it was stored with.
pub(super) fn from_binary(field: Field<'_>) -> Decoded<Bytes> {
    let mut reader = field.reader();
    let group_count = usize::from(reader.u16()?);
    let weight = reader.i16()?;
    let sign = reader.u16()?;
    let scale = reader.u16()?;
    let groups = reader.take(group_count * 2)?.bytes();
    reader.finish()?;
    match sign {
        SIGN_NAN => return Ok(Bytes::from_static(b"NaN")),
        SIGN_INFINITY => return Ok(Bytes::from_static(b"Infinity")),
        SIGN_NEG_INFINITY => return Ok(Bytes::from_static(b"-Infinity")),
        SIGN_POSITIVE | SIGN_NEGATIVE => {}
        _ => return Err(Problem::OutOfRange),
    }
    if scale > SCALE_MAX {
        return Err(Problem::OutOfRange);
    }
    print(sign == SIGN_NEGATIVE, i32::from(weight), usize::from(scale), groups)
}

fn print(negative: bool, weight: i32, scale: usize, groups: &[u8]) -> Decoded<Bytes> {
    let whole_groups = usize::try_from(weight + 1).unwrap_or(0);
    let mut out = Vec::with_capacity(whole_groups * DIGITS_PER_GROUP + scale + 3);
    if negative {
        out.push(b'-');
    }
    let start = out.len();
    for index in 0..whole_groups {
        push_group(&mut out, group(groups, index)?);
    }
    trim_leading_zeros(&mut out, start);
    if out.len() == start {
        out.push(b'0');
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        let mut index = weight + 1;
        while out.len() < end {
            // Groups before the first stored one are zeros: 0.00001234 has weight -2.
            let value = usize::try_from(index).map_or(Ok(0), |index| group(groups, index))?;
            push_group(&mut out, value);
            index += 1;
        }
        out.truncate(end);
    }
    Ok(Bytes::from(out))
}

fn group(groups: &[u8], index: usize) -> Decoded<u16> {
    let value = match groups.get(index * 2..index * 2 + 2) {
        Some([high, low]) => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    if value < 10_000 { Ok(value) } else { Err(Problem::OutOfRange) }
}

fn push_group(out: &mut Vec<u8>, value: u16) {
    let digit = |divisor: u16| u8::try_from(value / divisor % 10).unwrap_or(0) + b'0';
    out.extend_from_slice(&[digit(1000), digit(100), digit(10), digit(1)]);
}

fn trim_leading_zeros(out: &mut Vec<u8>, start: usize) {
    let zeros = out.iter().skip(start).take_while(|byte| **byte == b'0').count();
    out.drain(start..start + zeros);
}

/// Accepts what the server prints: digits with an optional sign and point, or one of the names.
pub(super) fn from_text(field: Field<'_>) -> Decoded<Bytes> {
    let text = field.bytes();
    match text {
        b"NaN" | b"Infinity" | b"-Infinity" => return Ok(field.shared()),
        _ => {}
    }
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let mut parts = unsigned.splitn(2, |byte| *byte == b'.');
    let whole = parts.next().unwrap_or_default();
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    if digits(whole) && parts.next().is_none_or(digits) {
        Ok(field.shared())
    } else {
        Err(Problem::Syntax)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Bytes {
        let count = u16::try_from(groups.len()).unwrap();
        let mut out = count.to_be_bytes().to_vec();
        out.extend(weight.to_be_bytes());
        out.extend(sign.to_be_bytes());
        out.extend(scale.to_be_bytes());
        out.extend(groups.iter().flat_map(|group| group.to_be_bytes()));
        Bytes::from(out)
    }

    #[track_caller]
    fn check(weight: i16, sign: u16, scale: u16, groups: &[u16], expected: &str) {
        let frame = binary(weight, sign, scale, groups);
        assert_eq!(from_binary(Field::whole(&frame)).unwrap(), expected);
    }

    #[test]
    fn the_stored_scale_is_kept() {
        check(0, SIGN_POSITIVE, 0, &[], "0");
        check(0, SIGN_POSITIVE, 3, &[], "0.000");
        check(0, SIGN_NEGATIVE, 3, &[12, 3400], "-12.340");
        check(1, SIGN_POSITIVE, 0, &[1], "10000");
        check(-2, SIGN_POSITIVE, 8, &[1234], "0.00001234");
        check(-1, SIGN_POSITIVE, 1, &[5000], "0.5");
        check(2, SIGN_POSITIVE, 2, &[1, 0, 9], "100000009.00");
        check(0, SIGN_NAN, 0, &[], "NaN");
        check(0, SIGN_INFINITY, 0, &[], "Infinity");
        check(0, SIGN_NEG_INFINITY, 0, &[], "-Infinity");
    }

    #[test]
    fn groups_and_signs_that_no_server_sends_are_refused() {
        for (sign, scale, group) in
            [(SIGN_POSITIVE, 0, 10_000), (0x1234, 0, 1), (SIGN_POSITIVE, 0x4000, 1)]
        {
            let frame = binary(0, sign, scale, &[group]);
            assert_eq!(from_binary(Field::whole(&frame)), Err(Problem::OutOfRange));
        }
    }

    #[test]
    fn text_must_be_a_plain_number() {
        for good in ["0", "-12.340", "NaN", "Infinity", "-Infinity"] {
            let frame = Bytes::from_static(good.as_bytes());
            assert_eq!(from_text(Field::whole(&frame)).unwrap(), good);
        }
        for bad in ["", "-", ".5", "5.", "1e5", "1.2.3", "+1", "nan"] {
            let frame = Bytes::from_static(bad.as_bytes());
            assert_eq!(from_text(Field::whole(&frame)), Err(Problem::Syntax), "{bad}");
        }
    }
}
