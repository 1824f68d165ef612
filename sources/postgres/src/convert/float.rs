//! Floating point numbers as PostgreSQL 12 and later print them: the fewest digits that read back as
//! the same number, in plain notation while the exponent is small.

use super::datetime::put;
use super::field::{Decoded, Field, Problem};

/// Plain notation up to this exponent.
const DOUBLE_PLAIN_EXPONENT: i32 = 15;
const SINGLE_PLAIN_EXPONENT: i32 = 6;
const PLAIN_EXPONENT_MIN: i32 = -4;
/// As many digits as any number of the type ever needs.
const DOUBLE_DIGITS_MAX: usize = 17;
const SINGLE_DIGITS_MAX: usize = 9;

pub(super) fn double_from_text(field: Field<'_>) -> Decoded<f64> {
    let text = plain_number(field)?;
    text.parse().map_err(|_| Problem::Syntax)
}

pub(super) fn single_from_text(field: Field<'_>) -> Decoded<f32> {
    let text = plain_number(field)?;
    text.parse().map_err(|_| Problem::Syntax)
}

/// Rust would also read `inf` or `+1`, which the server never prints.
fn plain_number(field: Field<'_>) -> Decoded<&str> {
    let text = field.utf8()?;
    let number = |byte: u8| byte.is_ascii_digit() || b"+-.e".contains(&byte);
    match text {
        "NaN" | "Infinity" | "-Infinity" => Ok(text),
        _ if text.bytes().all(number) && !text.starts_with('+') => Ok(text),
        _ => Err(Problem::Syntax),
    }
}

pub(super) fn print_double(number: f64, out: &mut Vec<u8>) {
    if !print_special(number, out) {
        let (mantissa, exponent) = decompose_double(number);
        let neighbourhood = Neighbourhood {
            mantissa,
            exponent,
            digits_max: DOUBLE_DIGITS_MAX,
            with_digits: |digits| format!("{number:.digits$e}"),
            reads_back: |text: &str| text.parse() == Ok(number),
        };
        place(&neighbourhood.shortest(format!("{number:e}")), DOUBLE_PLAIN_EXPONENT, out);
    }
}

pub(super) fn print_single(number: f32, out: &mut Vec<u8>) {
    if !print_special(f64::from(number), out) {
        let (mantissa, exponent) = decompose_single(number);
        let neighbourhood = Neighbourhood {
            mantissa,
            exponent,
            digits_max: SINGLE_DIGITS_MAX,
            with_digits: |digits| format!("{number:.digits$e}"),
            reads_back: |text: &str| text.parse() == Ok(number),
        };
        place(&neighbourhood.shortest(format!("{number:e}")), SINGLE_PLAIN_EXPONENT, out);
    }
}

fn print_special(number: f64, out: &mut Vec<u8>) -> bool {
    let text: &[u8] = if number.is_nan() {
        b"NaN"
    } else if number.is_infinite() {
        if number > 0.0 { b"Infinity" } else { b"-Infinity" }
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

/// A number `mantissa * 2^exponent`, and how to go back and forth between it and decimals.
struct Neighbourhood<W, R> {
    mantissa: u64,
    exponent: i32,
    digits_max: usize,
    with_digits: W,
    reads_back: R,
}

impl<W: Fn(usize) -> String, R: Fn(&str) -> bool> Neighbourhood<W, R> {
    /// What PostgreSQL prints, from the shortest decimal that reads back.
    fn shortest(&self, text: String) -> String {
        let text = if self.usable(&text) { text } else { self.longer(text) };
        self.even(&text).filter(|even| self.usable(even)).unwrap_or(text)
    }

    /// A decimal exactly between two numbers reads back as the even one, but PostgreSQL does not
    /// count on the reader for that: it prints `9.999999999999999e+22`, not `1e+23`.
    fn usable(&self, text: &str) -> bool {
        (self.reads_back)(text) && !is_tie(text, self.mantissa, self.exponent)
    }

    fn longer(&self, text: String) -> String {
        let (digits, _) = significant(&text);
        // `{:.N}` prints N digits behind the point and one before it.
        let mut longer = (digits.len()..self.digits_max).map(|behind| (self.with_digits)(behind));
        longer.find(|longer| self.usable(longer)).unwrap_or(text)
    }

    /// The even one of two decimals that the number lies exactly between.
    fn even(&self, text: &str) -> Option<String> {
        let (digits, decimal_exponent) = significant(text);
        let decimal: u128 = digits.parse().ok().filter(|decimal| decimal % 2 == 1)?;
        let mantissa = u128::from(self.mantissa);
        let half_way = |twice: u128| same(twice, decimal_exponent, mantissa, self.exponent + 1);
        let even = if half_way(decimal * 2 - 1) {
            decimal - 1
        } else if half_way(decimal * 2 + 1) {
            decimal + 1
        } else {
            return None;
        };
        let even = even.to_string();
        let (first, rest) = even.split_at_checked(1).filter(|_| even.len() == digits.len())?;
        let sign = if text.starts_with('-') { "-" } else { "" };
        let (_, power) = text.split_once('e')?;
        let point = if rest.is_empty() { "" } else { "." };
        Some(format!("{sign}{first}{point}{rest}e{power}"))
    }
}

/// Digits without the point and the sign, and the exponent of the last digit.
fn significant(text: &str) -> (String, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let behind = mantissa.split_once('.').map_or(0, |(_, behind)| behind.len());
    let digits = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent - i32::try_from(behind).unwrap_or(0))
}

fn decompose_double(number: f64) -> (u64, i32) {
    let bits = number.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let exponent = i32::try_from(bits >> 52 & 0x7FF).unwrap_or(0);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

fn decompose_single(number: f32) -> (u64, i32) {
    let bits = number.to_bits();
    let fraction = u64::from(bits & ((1 << 23) - 1));
    let exponent = i32::try_from(bits >> 23 & 0xFF).unwrap_or(0);
    if exponent == 0 { (fraction, -149) } else { (fraction | 1 << 23, exponent - 150) }
}

/// Is the decimal exactly half way between `mantissa * 2^exponent` and a neighbour?
fn is_tie(text: &str, mantissa: u64, exponent: i32) -> bool {
    let (digits, decimal_exponent) = significant(text);
    let Ok(decimal) = digits.parse::<u128>() else { return false };
    // Halves of the distance between neighbours, quarters below a power of two.
    let two = u128::from(mantissa) * 2;
    let four = u128::from(mantissa) * 4;
    let equals = |odd: u128, exponent: i32| same(decimal, decimal_exponent, odd, exponent);
    equals(two + 1, exponent - 1)
        || equals(two.saturating_sub(1), exponent - 1)
        || (mantissa.is_power_of_two() && equals(four.saturating_sub(1), exponent - 2))
}

/// Is `decimal * 10^decimal_exponent` the same number as `binary * 2^exponent`?
fn same(decimal: u128, decimal_exponent: i32, binary: u128, exponent: i32) -> bool {
    /// Both sides are below 2^64, so a larger power of five cannot make them equal.
    const FIVES_MAX: u32 = 28;
    if decimal == 0 || binary == 0 || decimal_exponent.unsigned_abs() > FIVES_MAX {
        return false;
    }
    let odd = |number: u128| {
        let twos = number.trailing_zeros();
        (number >> twos, i32::try_from(twos).unwrap_or(0))
    };
    let ((decimal, decimal_twos), (binary, binary_twos)) = (odd(decimal), odd(binary));
    // 10^n = 2^n * 5^n, so the powers of two must agree, and the odd parts up to powers of five.
    if decimal_twos + decimal_exponent != binary_twos + exponent {
        return false;
    }
    let fives = 5_u128.pow(decimal_exponent.unsigned_abs());
    if decimal_exponent >= 0 {
        decimal.checked_mul(fives) == Some(binary)
    } else {
        binary.checked_mul(fives) == Some(decimal)
    }
}

/// Puts the point where the server puts it.
fn place(text: &str, plain_exponent: i32, out: &mut Vec<u8>) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    if mantissa.len() != unsigned.len() {
        out.push(b'-');
    }
    if !(PLAIN_EXPONENT_MIN..plain_exponent).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        put(out, format_args!("{unsigned}e{sign}{:02}", exponent.unsigned_abs()));
        return;
    }
    let digits: Vec<u8> = unsigned.bytes().filter(u8::is_ascii_digit).collect();
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    if whole == 0 {
        out.extend_from_slice(b"0.");
        let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
        out.extend(std::iter::repeat_n(b'0', zeros));
        out.extend_from_slice(&digits);
    } else if digits.len() <= whole {
        out.extend_from_slice(&digits);
        out.extend(std::iter::repeat_n(b'0', whole - digits.len()));
    } else {
        let (before, behind) = digits.split_at(whole);
        out.extend_from_slice(before);
        out.push(b'.');
        out.extend_from_slice(behind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn double(number: f64) -> String {
        let mut out = Vec::new();
        print_double(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn single(number: f32) -> String {
        let mut out = Vec::new();
        print_single(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_look_as_the_server_prints_them() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.5, "1.5"),
            (-100.0, "-100"),
            (1e15, "1e+15"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1e23, "9.999999999999999e+22"),
            (2_f64.powi(-24), "5.960464477539063e-08"),
            (243_134_706_504_393.0 / 16.0, "15195919156524.562"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double(number), expected);
        }
        assert_eq!(single(1e6), "1e+06");
        assert_eq!(single(0.1), "0.1");
        assert_eq!(single(123_456.0), "123456");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(double_bits: u64, single_bits: u32) {
            let number = f64::from_bits(double_bits);
            if !number.is_nan() {
                prop_assert_eq!(double(number).parse::<f64>().unwrap().to_bits(), double_bits);
            }
            let number = f32::from_bits(single_bits);
            if !number.is_nan() {
                prop_assert_eq!(single(number).parse::<f32>().unwrap().to_bits(), single_bits);
            }
        }
    }
}
