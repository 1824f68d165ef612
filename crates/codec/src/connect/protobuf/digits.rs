//! How many digits a number has.

/// Digits of a big-endian two's-complement number; zero has one.
pub(super) fn count(octets: &[u8]) -> u64 {
    let negative = octets.first().is_some_and(|first| first & 0x80 != 0);
    if octets.len() <= 16 {
        let mut wide = [if negative { 0xff } else { 0 }; 16];
        let start = wide.len() - octets.len();
        for (to, from) in wide.iter_mut().skip(start).zip(octets) {
            *to = *from;
        }
        let magnitude = i128::from_be_bytes(wide).unsigned_abs();
        return u64::from(magnitude.checked_ilog10().unwrap_or(0)) + 1;
    }
    let mut magnitude = octets.to_vec();
    if negative {
        let mut carry = true;
        for octet in magnitude.iter_mut().rev() {
            let (value, over) = (!*octet).overflowing_add(u8::from(carry));
            (*octet, carry) = (value, over);
        }
    }
    let mut digits = 0;
    while magnitude.iter().any(|octet| *octet != 0) {
        divide_by_ten(&mut magnitude);
        digits += 1;
    }
    digits.max(1)
}

fn divide_by_ten(number: &mut [u8]) {
    let mut rest = 0_u16;
    for octet in number {
        let value = rest << 8 | u16::from(*octet);
        *octet = u8::try_from(value / 10).unwrap_or(0);
        rest = value % 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zero_has_one_digit() {
        for octets in [&[][..], &[0], &[0; 30], &[9], &[0xf7]] {
            assert_eq!(count(octets), 1);
        }
        assert_eq!(count(&[0xfe, 0x1d, 0xed]), 6);
    }

    proptest! {
        #[test]
        fn long_numbers_are_counted_as_short_ones(value: i128) {
            let fill = if value < 0 { 0xff } else { 0 };
            let mut long = vec![fill; 5];
            long.extend_from_slice(&value.to_be_bytes());
            let expected = value.unsigned_abs().to_string().len();
            prop_assert_eq!(usize::try_from(count(&long)).unwrap(), expected);
            prop_assert_eq!(usize::try_from(count(&value.to_be_bytes())).unwrap(), expected);
        }
    }
}
