//! Types that arrive as their database's text, and that the envelope shows in another form.

use super::{decimal, error::Problem, json};

/// A type that is known by its native name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Native {
    /// One bit: true or false.
    Bit,
    /// So many bytes of bits.
    Bits { width: usize },
    /// As many bytes as the bits need.
    BitsVarying,
    /// An amount in the currency's smallest unit.
    Money,
    /// An object's number.
    Oid,
    /// A point in the plane.
    Point,
    /// Pairs of texts.
    Hstore,
    /// A PostGIS shape.
    Geometry,
    /// A pgvector vector.
    Vector,
}

impl Native {
    /// The type that PostgreSQL's `format_type` calls so; `None` for one that is shown as its text.
    pub(super) fn named(native_type: &str) -> Option<Self> {
        let (name, length) = match native_type.split_once('(') {
            Some((name, rest)) => (name, rest.trim_end_matches(')').parse::<usize>().ok()),
            None => (native_type, None),
        };
        let bare = name.rsplit_once('.').map_or(name, |(_, bare)| bare);
        let built_in = name.strip_prefix("pg_catalog.").unwrap_or(name);
        match built_in.trim_matches('"') {
            "bit" if length.unwrap_or(1) == 1 => Some(Self::Bit),
            "bit" => length.map(|bits| Self::Bits { width: bits.div_ceil(8) }),
            "bit varying" | "varbit" if length == Some(1) => Some(Self::Bit),
            "bit varying" | "varbit" => Some(Self::BitsVarying),
            "money" => Some(Self::Money),
            "oid" => Some(Self::Oid),
            "point" => Some(Self::Point),
            _ => match bare {
                "hstore" => Some(Self::Hstore),
                "geometry" | "geography" => Some(Self::Geometry),
                "vector" | "halfvec" => Some(Self::Vector),
                _ => None,
            },
        }
    }

    /// Writes the text in the envelope's form, or as it is when it is not a text of this type: no
    /// value is lost.
    pub(super) fn write(self, out: &mut Vec<u8>, text: &[u8]) -> Result<(), Problem> {
        let start = out.len();
        let written = match self {
            Self::Bit => bit(out, text),
            Self::Bits { width } => bits(out, text, width),
            Self::BitsVarying => bits(out, text, 0),
            Self::Money => money(out, text),
            Self::Oid => oid(out, text),
            Self::Point => point(out, text),
            Self::Hstore => hstore(out, text),
            Self::Geometry => geometry(out, text),
            Self::Vector => vector(out, text),
        };
        if written.is_some() {
            return Ok(());
        }
        out.truncate(start);
        json::text(out, text)
    }
}

fn bit(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let value: &[u8] = match text {
        b"1" => b"true",
        // A `varbit(1)` may be empty.
        b"0" | b"" => b"false",
        _ => return None,
    };
    out.extend_from_slice(value);
    Some(())
}

/// Little-endian bytes, zero bytes at the end cut down to `width`.
fn bits(out: &mut Vec<u8>, text: &[u8], width: usize) -> Option<()> {
    let mut bytes = Vec::with_capacity(text.len().div_ceil(8).max(1));
    for chunk in text.rchunks(8) {
        let mut byte = 0_u8;
        for digit in chunk {
            byte = byte << 1 | binary_digit(*digit)?;
        }
        bytes.push(byte);
    }
    while bytes.len() > width && bytes.last() == Some(&0) {
        bytes.pop();
    }
    json::base64(out, &bytes).ok()
}

fn binary_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0' => Some(0),
        b'1' => Some(1),
        _ => None,
    }
}

/// The server prints money by its locale, and always with all digits of the currency's fraction: the
/// digits alone are the unscaled value.
fn money(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let digits: Vec<u8> = text.iter().copied().filter(u8::is_ascii_digit).collect();
    if digits.is_empty() {
        return None;
    }
    let negative = text.iter().any(|byte| matches!(byte, b'-' | b'('));
    json::base64(out, &decimal::two_s_complement(negative, &digits)).ok()
}

fn oid(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let number: u32 = std::str::from_utf8(text).ok()?.parse().ok()?;
    json::unsigned(out, u64::from(number));
    Some(())
}

/// `(1,2)`
fn point(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let inner = std::str::from_utf8(text).ok()?.strip_prefix('(')?.strip_suffix(')')?;
    let (x, y) = inner.split_once(',')?;
    let (x, y): (f64, f64) = (x.parse().ok()?, y.parse().ok()?);
    // Well-known binary: little-endian, geometry type 1.
    let mut wkb = vec![1_u8, 1, 0, 0, 0];
    wkb.extend_from_slice(&x.to_le_bytes());
    wkb.extend_from_slice(&y.to_le_bytes());
    out.extend_from_slice(b"{\"x\":");
    json::float64(out, x);
    out.extend_from_slice(b",\"y\":");
    json::float64(out, y);
    out.extend_from_slice(b",\"wkb\":");
    json::base64(out, &wkb).ok()?;
    out.extend_from_slice(b",\"srid\":null}");
    Some(())
}

/// Hexadecimal extended well-known binary.
fn geometry(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let wkb = text.chunks(2).map(hex_byte).collect::<Option<Vec<u8>>>()?;
    let word = |at: usize| -> Option<u32> {
        let bytes: [u8; 4] = wkb.get(at..at + 4)?.try_into().ok()?;
        match wkb.first()? {
            0 => Some(u32::from_be_bytes(bytes)),
            1 => Some(u32::from_le_bytes(bytes)),
            _ => None,
        }
    };
    const HAS_SRID: u32 = 0x2000_0000;
    let srid = if word(1)? & HAS_SRID == 0 { None } else { Some(word(5)?) };
    out.extend_from_slice(b"{\"wkb\":");
    json::base64(out, &wkb).ok()?;
    out.extend_from_slice(b",\"srid\":");
    match srid {
        Some(srid) => json::unsigned(out, u64::from(srid)),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    Some(())
}

fn hex_byte(pair: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    }
}

/// `[1,2.5,3]`
fn vector(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let inner = std::str::from_utf8(text).ok()?.strip_prefix('[')?.strip_suffix(']')?;
    for (index, number) in inner.split(',').enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        json::float64(out, number.trim().parse().ok()?);
    }
    out.push(b']');
    Some(())
}

/// `"a"=>"1", "b"=>NULL` as the text of a JSON object, itself a JSON string.
fn hstore(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let mut rest = std::str::from_utf8(text).ok()?;
    let mut object = vec![b'{'];
    while !rest.is_empty() {
        if object.len() > 1 {
            rest = rest.strip_prefix(", ")?;
            object.push(b',');
        }
        let (key, tail) = quoted(rest)?;
        json::string(&mut object, &key);
        object.push(b':');
        rest = tail.strip_prefix("=>")?;
        if let Some(tail) = rest.strip_prefix("NULL") {
            object.extend_from_slice(b"null");
            rest = tail;
        } else {
            let (value, tail) = quoted(rest)?;
            json::string(&mut object, &value);
            rest = tail;
        }
    }
    object.push(b'}');
    json::text(out, &object).ok()
}

/// A text in double quotes with backslash escapes at the front of `input`, and what follows it.
fn quoted(input: &str) -> Option<(String, &str)> {
    let body = input.strip_prefix('"')?;
    let mut out = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, body.get(at + 1..)?)),
            '\\' => out.push(chars.next()?.1),
            _ => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(native_type: &str, text: &str, expected: &str) {
        let mut out = Vec::new();
        Native::named(native_type).unwrap().write(&mut out, text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{native_type}");
    }

    #[test]
    fn names_are_told_apart() {
        for (name, native) in [
            ("bit(1)", Some(Native::Bit)),
            ("\"bit\"", Some(Native::Bit)),
            ("bit(9)", Some(Native::Bits { width: 2 })),
            ("bit varying(1)", Some(Native::Bit)),
            ("bit varying", Some(Native::BitsVarying)),
            ("money", Some(Native::Money)),
            ("app.money", None),
            ("public.hstore", Some(Native::Hstore)),
            ("public.vector(3)", Some(Native::Vector)),
            ("geometry(Point,4326)", Some(Native::Geometry)),
            ("inet", None),
            ("", None),
        ] {
            assert_eq!(Native::named(name), native, "{name}");
        }
    }

    #[test]
    fn texts_take_the_form_of_their_type() {
        check("bit(1)", "1", "true");
        check("bit varying(1)", "", "false");
        check("bit(3)", "011", "\"Aw==\"");
        check("bit(9)", "000000011", "\"AwA=\"");
        check("bit varying", "000000011", "\"Aw==\"");
        check("bit varying", "", "\"\"");
        check("money", "-$1,234.11", "\"/h3t\"");
        check("money", "($1,234.11)", "\"/h3t\"");
        check("money", "$0.00", "\"AA==\"");
        check("oid", "4294967295", "4294967295");
        check(
            "point",
            "(1,-2.5)",
            "{\"x\":1.0,\"y\":-2.5,\"wkb\":\"AQEAAAAAAAAAAADwPwAAAAAAAATA\",\"srid\":null}",
        );
        check("vector(3)", "[1,2.5,-3]", "[1.0,2.5,-3.0]");
        check("hstore", "", "\"{}\"");
        check(
            "hstore",
            r#""a"=>"1", "q\"\\"=>NULL, "c"=>"NULL""#,
            r#""{\"a\":\"1\",\"q\\\"\\\\\":null,\"c\":\"NULL\"}""#,
        );
        check(
            "geometry",
            "0101000020E6100000000000000000F03F0000000000000040",
            "{\"wkb\":\"AQEAACDmEAAAAAAAAAAA8D8AAAAAAAAAQA==\",\"srid\":4326}",
        );
    }

    #[test]
    fn a_text_of_another_form_stays_as_it_is() {
        for (native_type, text) in [
            ("bit(1)", "2"),
            ("bit(8)", "1x"),
            ("money", "free"),
            ("oid", "-1"),
            ("point", "(1)"),
            ("vector", "1,2"),
            ("vector", "[a]"),
            ("hstore", "\"a\"=>\"1"),
            ("hstore", "\"a\"=>1"),
            ("geometry", "01"),
            ("geometry", "0"),
            ("geometry", "zz"),
        ] {
            check(native_type, text, &serde_json::to_string(text).unwrap());
        }
    }
}
