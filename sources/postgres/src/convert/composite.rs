//! Records and ranges, printed as the server prints them.

use super::{
    codec::Codec,
    field::{Decoded, Field, Problem},
};
use std::collections::BTreeMap;

/// `(1,"a b",)`.
pub(super) fn record(
    members: &BTreeMap<u32, Codec>,
    field: Field<'_>,
    out: &mut Vec<u8>,
) -> Decoded<()> {
    let mut reader = field.reader();
    let count = reader.count()?;
    out.push(b'(');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        // The record says the type of each member itself, so that it stays readable when the
        // composite type has gained or lost members since the catalog was read.
        let type_oid = reader.u32()?;
        let member = reader.nullable()?;
        let codec = members.get(&type_oid).ok_or(Problem::UnknownType(type_oid))?;
        if let Some(member) = member {
            let mut text = Vec::new();
            codec.print(member, &mut text)?;
            print_quoted(&text, |byte| matches!(byte, b'(' | b')' | b','), out);
        }
    }
    out.push(b')');
    reader.finish()
}

/// Doubles quotes and backslashes, and encloses what would otherwise be misread.
fn print_quoted(text: &[u8], special: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    let needs_quotes =
        |byte: &u8| matches!(byte, b'"' | b'\\' | b' ' | b'\t'..=b'\r') || special(*byte);
    if !text.is_empty() && !text.iter().any(needs_quotes) {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(*byte);
        }
        out.push(*byte);
    }
    out.push(b'"');
}

const EMPTY: u8 = 0x01;
const LOWER_INCLUDED: u8 = 0x02;
const UPPER_INCLUDED: u8 = 0x04;
const LOWER_INFINITE: u8 = 0x08;
const UPPER_INFINITE: u8 = 0x10;
const LOWER_NULL: u8 = 0x20;
const UPPER_NULL: u8 = 0x40;

/// `[1,5)`, `empty`.
pub(super) fn range(bound: &Codec, field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    let flags = reader.u8()?;
    let has = |flag: u8| flags & flag != 0;
    if has(EMPTY) {
        out.extend_from_slice(b"empty");
        return reader.finish();
    }
    out.push(if has(LOWER_INCLUDED) { b'[' } else { b'(' });
    if !has(LOWER_INFINITE | LOWER_NULL) {
        print_bound(bound, reader.nullable()?, out)?;
    }
    out.push(b',');
    if !has(UPPER_INFINITE | UPPER_NULL) {
        print_bound(bound, reader.nullable()?, out)?;
    }
    out.push(if has(UPPER_INCLUDED) { b']' } else { b')' });
    reader.finish()
}

fn print_bound(codec: &Codec, field: Option<Field<'_>>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut text = Vec::new();
    codec.print(field.ok_or(Problem::OutOfRange)?, &mut text)?;
    print_quoted(&text, |byte| matches!(byte, b'(' | b')' | b'[' | b']' | b','), out);
    Ok(())
}

/// `{[1,3),[5,7)}`.
pub(super) fn multirange(bound: &Codec, field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    let count = reader.count()?;
    out.push(b'{');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        range(bound, reader.nullable()?.ok_or(Problem::OutOfRange)?, out)?;
    }
    out.push(b'}');
    reader.finish()
}
