//! Geometric types, printed as the server prints them.

use super::field::{Decoded, Field, Problem, Reader};
use super::float::print_double;

fn print_point(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    out.push(b'(');
    print_double(reader.f64()?, out);
    out.push(b',');
    print_double(reader.f64()?, out);
    out.push(b')');
    Ok(())
}

fn print_points(count: usize, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        print_point(reader, out)?;
    }
    Ok(())
}

pub(super) fn point(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    print_point(&mut reader, out)?;
    reader.finish()
}

/// `[(x1,y1),(x2,y2)]`.
pub(super) fn segment(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    out.push(b'[');
    print_points(2, &mut reader, out)?;
    out.push(b']');
    reader.finish()
}

/// `(x1,y1),(x2,y2)`.
pub(super) fn rectangle(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    print_points(2, &mut reader, out)?;
    reader.finish()
}

/// `{A,B,C}`.
pub(super) fn line(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    for start in [b'{', b',', b','] {
        out.push(start);
        print_double(reader.f64()?, out);
    }
    out.push(b'}');
    reader.finish()
}

/// `<(x,y),r>`.
pub(super) fn circle(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    out.push(b'<');
    print_point(&mut reader, out)?;
    out.push(b',');
    print_double(reader.f64()?, out);
    out.push(b'>');
    reader.finish()
}

/// `((x,y),…)` closed, `[(x,y),…]` open.
pub(super) fn path(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    let closed = reader.u8()? != 0;
    let count = reader.count()?;
    bounded(count, &reader)?;
    out.push(if closed { b'(' } else { b'[' });
    print_points(count, &mut reader, out)?;
    out.push(if closed { b')' } else { b']' });
    reader.finish()
}

/// `((x,y),…)`.
pub(super) fn polygon(field: Field<'_>, out: &mut Vec<u8>) -> Decoded<()> {
    let mut reader = field.reader();
    let count = reader.count()?;
    bounded(count, &reader)?;
    out.push(b'(');
    print_points(count, &mut reader, out)?;
    out.push(b')');
    reader.finish()
}

fn bounded(count: usize, reader: &Reader<'_>) -> Decoded<()> {
    const POINT_BYTES: usize = 16;
    if count > reader.remaining() / POINT_BYTES { Err(Problem::Truncated) } else { Ok(()) }
}
