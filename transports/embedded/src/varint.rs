//! Numbers in as few bytes as they need: seven bits a byte, lowest first, the top bit says that
//! more follow.

/// Appends a number.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value));
}

/// Appends a length.
pub(crate) fn put_len(out: &mut Vec<u8>, length: usize) {
    put(out, length as u128);
}

/// Takes a number off the front; `None` when it is cut short or does not fit.
pub(crate) fn take(input: &mut &[u8]) -> Option<u128> {
    let mut value = 0_u128;
    for shift in (0..u128::BITS).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u128::from(byte & 0x7f);
        let placed = bits << shift;
        if placed >> shift != bits {
            return None;
        }
        value |= placed;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes a length or another 64-bit number off the front.
pub(crate) fn take_u64(input: &mut &[u8]) -> Option<u64> {
    match input.split_first() {
        Some((&byte, rest)) if byte < 0x80 => {
            *input = rest;
            Some(u64::from(byte))
        }
        _ => u64::try_from(take(input)?).ok(),
    }
}

/// Maps small numbers of either sign to small numbers.
pub(crate) fn zigzag(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)).cast_unsigned()
}

/// The reverse of [`zigzag`].
pub(crate) fn unzigzag(value: u128) -> i128 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn low_bits(value: u128) -> u8 {
    value.to_le_bytes().first().copied().unwrap_or_default() & 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_round_trip(value: u128, shift in 0_u32..128) {
            let value = value >> shift;
            let mut out = Vec::new();
            put(&mut out, value);
            let mut rest = out.as_slice();
            prop_assert_eq!(take(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
            for cut in 0..out.len() {
                prop_assert_eq!(take(&mut &out[..cut]), None);
            }
        }

        #[test]
        fn short_form_reads_like_the_long_one(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            let (mut left, mut right) = (bytes.as_slice(), bytes.as_slice());
            let long = take(&mut left).and_then(|value| u64::try_from(value).ok());
            prop_assert_eq!(take_u64(&mut right), long);
        }

        #[test]
        fn signs_round_trip(value: i128) {
            prop_assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn a_number_beyond_128_bits_is_refused() {
        assert_eq!(take(&mut [0xff; 19].as_slice()), None);
        let mut largest = Vec::new();
        put(&mut largest, u128::MAX);
        *largest.last_mut().unwrap() = 0x04;
        assert_eq!(take(&mut largest.as_slice()), None);
    }
}
