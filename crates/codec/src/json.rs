//! JSON tokens, written straight into a buffer.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt::Display;
use std::io::Write as _;

/// Bytes that a JSON string cannot hold as they are, below 0x20 aside.
const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Writes a string as a JSON string.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else { break };
        escape(out, *byte);
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        _ => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)]),
    }
}

/// Writes what prints as JSON by itself: a number, or text without characters to escape.
pub(crate) fn token(out: &mut Vec<u8>, value: impl Display) {
    write!(out, "{value}").expect("a vector takes every byte");
}

/// Writes an integer.
pub(crate) fn integer(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(out, value.unsigned_abs());
}

/// Writes an integer that is not negative.
pub(crate) fn unsigned(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        used += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

/// Writes a floating-point number with the fewest digits that read back as the same number.
pub(crate) fn float64(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        token(out, format_args!("{value:?}"));
    } else {
        token(out, format_args!("\"{}\"", not_finite(value)));
    }
}

/// As [`float64`], with the digits of a single-precision number.
pub(crate) fn float32(out: &mut Vec<u8>, value: f32) {
    if value.is_finite() {
        token(out, format_args!("{value:?}"));
    } else {
        float64(out, f64::from(value));
    }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Writes bytes as a JSON string of standard base64 with padding.
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    let length = base64::encoded_len(bytes.len(), true);
    out.resize(start + length.expect("a slice is shorter than half of all addresses"), 0);
    let target = out.get_mut(start..).unwrap_or_default();
    STANDARD.encode_slice(bytes, target).expect("the target has the length that was asked for");
    out.push(b'"');
}

/// Writes a boolean.
pub(crate) fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_have_the_fewest_digits() {
        assert_eq!(written(|out| float64(out, 1e300)), "1e300");
        assert_eq!(written(|out| float64(out, -0.0)), "-0.0");
        assert_eq!(written(|out| float32(out, 3.3)), "3.3");
        assert_eq!(written(|out| float32(out, f32::NEG_INFINITY)), "\"-Infinity\"");
        assert_eq!(written(|out| integer(out, i64::MIN)), i64::MIN.to_string());
        assert_eq!(written(|out| unsigned(out, u64::MAX)), u64::MAX.to_string());
        assert_eq!(written(|out| unsigned(out, 0)), "0");
    }

    proptest! {
        #[test]
        fn tokens_read_back(value: String, float: f64, int: i64, bytes: Vec<u8>) {
            let parse = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
            prop_assert_eq!(parse(written(|out| string(out, &value))), value);
            prop_assert_eq!(parse(written(|out| integer(out, int))), int);
            if float.is_finite() {
                let text = written(|out| float64(out, float));
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), float.to_bits());
                prop_assert!(parse(text).is_number());
            }
            let encoded = parse(written(|out| base64(out, &bytes)));
            prop_assert_eq!(STANDARD.decode(encoded.as_str().unwrap()).unwrap(), bytes);
        }
    }
}
