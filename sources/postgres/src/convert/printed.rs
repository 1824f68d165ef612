//! Types whose value is the text that the server would print, read from their binary form.

use super::{
    codec::Codec,
    composite,
    datetime::put,
    field::{Decoded, Field, Problem},
    geometry, network, scalar,
};
use std::{collections::BTreeMap, sync::Arc};

/// A type that is printed from its binary form.
#[derive(Clone, Debug)]
pub(crate) enum Printed {
    /// An array inside of an array, which only a domain can make.
    Array(Box<Codec>),
    Bit,
    Circle,
    Hstore,
    Inet,
    Int2Vector,
    Line,
    LogAddress,
    MacAddr,
    MacAddr8,
    Money,
    Multirange(Box<Codec>),
    OidVector,
    Path,
    Point,
    Polygon,
    Range(Box<Codec>),
    Record(Arc<BTreeMap<u32, Codec>>),
    Rectangle,
    Segment,
    Snapshot,
    TextSearchVector,
    Tid,
    Unsigned32,
    Unsigned64,
    /// A version number, then the text.
    Versioned,
}

impl Printed {
    pub(super) fn print(&self, field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
        match self {
            Self::Array(array) => array.print(field, out),
            Self::Bit => bits(field, out),
            Self::Circle => geometry::circle(field, out),
            Self::Hstore => hstore(field, out),
            Self::Inet => network::print_inet(field, out),
            Self::Int2Vector => vector::<2>(field, |bytes| i16::from_be_bytes(bytes).into(), out),
            Self::Line => geometry::line(field, out),
            Self::LogAddress => log_address(field, out),
            Self::MacAddr => network::print_mac::<6>(field, out),
            Self::MacAddr8 => network::print_mac::<8>(field, out),
            Self::Money => money(field, out),
            Self::Multirange(bound) => composite::multirange(bound, field, out),
            Self::OidVector => vector::<4>(field, |bytes| u32::from_be_bytes(bytes).into(), out),
            Self::Path => geometry::path(field, out),
            Self::Point => geometry::point(field, out),
            Self::Polygon => geometry::polygon(field, out),
            Self::Range(bound) => composite::range(bound, field, out),
            Self::Record(members) => composite::record(members, field, out),
            Self::Rectangle => geometry::rectangle(field, out),
            Self::Segment => geometry::segment(field, out),
            Self::Snapshot => snapshot(field, out),
            Self::TextSearchVector => text_search_vector(field, out),
            Self::Tid => tid(field, out),
            Self::Unsigned32 => {
                put(out, format_args!("{}", u32::from_be_bytes(field.exact()?)));
                Ok(())
            }
            Self::Unsigned64 => {
                put(out, format_args!("{}", u64::from_be_bytes(field.exact()?)));
                Ok(())
            }
            Self::Versioned => {
                let text = scalar::versioned(field)?;
                out.extend_from_slice(text.utf8()?.as_bytes());
                Ok(())
            }
        }
    }
}

/// `bit` and `bit varying`: `0101`.
fn bits(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    let count = reader.count()?;
    let bytes = reader.rest().bytes();
    if count.div_ceil(8) != bytes.len() {
        return Err(Problem::Truncated);
    }
    let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte << bit & 0x80 != 0));
    out.extend(bits.take(count).map(|bit| if bit { b'1' } else { b'0' }));
    Ok(())
}

/// `"a"=>"1", "b"=>NULL`.
fn hstore(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    let count = reader.count()?;
    let quoted = |text: Field<'_>, out: &mut Vec<u8>| -> Decoded<()> {
        out.push(b'"');
        for byte in text.utf8()?.bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
        Ok(())
    };
    for index in 0..count {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        quoted(reader.nullable()?.ok_or(Problem::OutOfRange)?, out)?;
        out.extend_from_slice(b"=>");
        match reader.nullable()? {
            Some(value) => quoted(value, out)?,
            None => out.extend_from_slice(b"NULL"),
        }
    }
    reader.finish()
}

/// `int2vector` and `oidvector`: an array on the wire, numbers and spaces in print.
fn vector<const N: usize>(
    field: Field<'_>,
    number: impl Fn([u8; N]) -> i64,
    out: &mut Vec<u8>,
) -> Decoded<()> {
    let mut reader = field.reader();
    let dimensions = reader.count()?;
    reader.take(8)?;
    let count = match dimensions {
        0 => 0,
        1 => {
            let count = reader.count()?;
            reader.i32()?;
            count
        }
        _ => return Err(Problem::OutOfRange),
    };
    for index in 0..count {
        if index > 0 {
            out.push(b' ');
        }
        let element = reader.nullable()?.ok_or(Problem::OutOfRange)?;
        put(out, format_args!("{}", number(element.exact()?)));
    }
    reader.finish()
}

fn log_address(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let address = u64::from_be_bytes(field.exact()?);
    put(out, format_args!("{:X}/{:X}", address >> 32, address & 0xFFFF_FFFF));
    Ok(())
}

/// `-$1,234.56`: only where the database prints money in this way.
fn money(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let cents = i64::from_be_bytes(field.exact()?);
    let (whole, cents) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    let digits = whole.to_string();
    out.extend_from_slice(if field.bytes().first() >= Some(&0x80) { b"-$" } else { b"$" });
    for (index, digit) in digits.bytes().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(b',');
        }
        out.push(digit);
    }
    put(out, format_args!(".{cents:02}"));
    Ok(())
}

/// `xmin:xmax:xip,xip`.
fn snapshot(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    let count = reader.count()?;
    let (first, next) = (reader.u64()?, reader.u64()?);
    put(out, format_args!("{first}:{next}:"));
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        put(out, format_args!("{}", reader.u64()?));
    }
    reader.finish()
}

/// `'fat':2A,11 'rat'`.
fn text_search_vector(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    let count = reader.count()?;
    for index in 0..count {
        if index > 0 {
            out.push(b' ');
        }
        out.push(b'\'');
        for byte in reader.c_string()?.utf8()?.bytes() {
            if matches!(byte, b'\'' | b'\\') {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(b'\'');
        for place in 0..reader.u16()? {
            let position = reader.u16()?;
            out.push(if place == 0 { b':' } else { b',' });
            put(out, format_args!("{}", position & 0x3FFF));
            match position >> 14 {
                3 => out.push(b'A'),
                2 => out.push(b'B'),
                1 => out.push(b'C'),
                _ => {}
            }
        }
    }
    reader.finish()
}

/// `(block,offset)`.
fn tid(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    put(out, format_args!("({},{})", reader.u32()?, reader.u16()?));
    reader.finish()
}
