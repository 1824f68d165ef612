//! Integers of seven bits a byte, the low ones first.

/// Appends a number without a sign.
pub(super) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low(value) | 0x80);
        value >>= 7;
    }
    out.push(low(value));
}

/// Appends a number with a sign: small ones of either sign are short.
pub(super) fn zigzag(out: &mut Vec<u8>, value: i64) {
    unsigned(out, (value << 1 ^ value >> 63).cast_unsigned());
}

/// Appends a length.
pub(super) fn length(out: &mut Vec<u8>, length: usize) {
    zigzag(out, i64::try_from(length).unwrap_or(i64::MAX));
}

/// Reads a number without a sign, and says what follows; `None` where it does not end or does not fit.
pub(super) fn read_unsigned(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Reads a number with a sign.
pub(super) fn read_zigzag(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = read_unsigned(bytes)?;
    Some(((value >> 1).cast_signed() ^ -(value & 1).cast_signed(), rest))
}

fn low(value: u64) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn small_numbers_are_short() {
        for (value, expected) in
            [(0, &[0][..]), (-1, &[1]), (1, &[2]), (63, &[126]), (64, &[128, 1]), (-65, &[129, 1])]
        {
            let mut out = Vec::new();
            zigzag(&mut out, value);
            assert_eq!(out, expected, "{value}");
        }
    }

    #[test]
    fn numbers_without_an_end_are_refused() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0xff; 10],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert_eq!(read_unsigned(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn numbers_read_back(value: i64, unsigned_value: u64) {
            let mut out = Vec::new();
            zigzag(&mut out, value);
            unsigned(&mut out, unsigned_value);
            let (read, rest) = read_zigzag(&out).unwrap();
            prop_assert_eq!(read, value);
            prop_assert_eq!(read_unsigned(rest), Some((unsigned_value, &[][..])));
        }
    }
}
