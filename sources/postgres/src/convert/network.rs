//! `inet`, `cidr`, `macaddr` and `macaddr8`, printed as the server prints them.

use super::datetime::put;
use super::field::{Decoded, Field, Problem};

/// PostgreSQL's own number of the family, which is AF_INET on every platform.
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 3;

/// `inet` and `cidr`: the latter always says how long its prefix is.
pub(super) fn print_inet(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    let (family, prefix, is_cidr) = (reader.u8()?, reader.u8()?, reader.u8()?);
    let length = usize::from(reader.u8()?);
    let address = reader.take(length)?;
    reader.finish()?;
    let bits_max = match family {
        FAMILY_V4 => {
            let [a, b, c, d] = address.exact()?;
            put(out, format_args!("{a}.{b}.{c}.{d}"));
            32
        }
        FAMILY_V6 => {
            print_v6(address.exact()?, out);
            128
        }
        _ => return Err(Problem::OutOfRange),
    };
    if prefix > bits_max {
        return Err(Problem::OutOfRange);
    }
    if is_cidr != 0 || prefix != bits_max {
        put(out, format_args!("/{prefix}"));
    }
    Ok(())
}

fn print_v6(address: [u8; 16], out: &mut Vec<u8>) {
    let words: Vec<u16> = address
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |word, byte| word << 8 | u16::from(*byte)))
        .collect();
    let (zeros_at, zeros) = longest_zeros(&words);
    let [.., a, b, c, d] = address;
    // An address of version 4 inside: `::ffff:1.2.3.4`.
    let embedded = zeros_at == 0 && (zeros == 6 || (zeros == 5 && words.get(5) == Some(&0xFFFF)));
    let mut index = 0;
    while let Some(word) = words.get(index) {
        if zeros > 0 && index == zeros_at {
            // One colon ends the part before, the other stands for the zeros.
            out.push(b':');
            if index == 0 {
                out.push(b':');
            }
            index += zeros;
            continue;
        }
        if embedded && index == 6 {
            put(out, format_args!("{a}.{b}.{c}.{d}"));
            return;
        }
        put(out, format_args!("{word:x}"));
        index += 1;
        if index < words.len() {
            out.push(b':');
        }
    }
}

/// Where the longest run of at least two zero words starts, and its length; the first of equals.
fn longest_zeros(words: &[u16]) -> (usize, usize) {
    let mut best = (0, 0);
    let mut length = 0;
    for (index, word) in words.iter().enumerate() {
        length = if *word == 0 { length + 1 } else { 0 };
        if length > best.1 {
            best = (index + 1 - length, length);
        }
    }
    if best.1 < 2 { (0, 0) } else { best }
}

/// `macaddr` has six bytes, `macaddr8` eight.
pub(super) fn print_mac<const N: usize>(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    for (index, byte) in field.exact::<N>()?.iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        put(out, format_args!("{byte:02x}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expected: &str) {
        let address: std::net::Ipv6Addr = address.parse().unwrap();
        let mut out = Vec::new();
        print_v6(address.octets(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn zeros_are_shortened_as_the_server_does() {
        check("::", "::");
        check("::1", "::1");
        check("1::", "1::");
        check("2001:db8::1", "2001:db8::1");
        check("1:0:0:2:0:0:0:3", "1:0:0:2::3");
        check("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7");
        check("::ffff:1.2.3.4", "::ffff:1.2.3.4");
        check("::1.2.3.4", "::1.2.3.4");
        check("::5", "::5");
    }
}
