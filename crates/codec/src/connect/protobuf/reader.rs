//! Values from Protobuf's binary form, by the schema that they were written with.

use super::super::{Kind, Label, Schema, Unsayable, Writer, varint};
use super::plan::{Nullables, Place, Plan, Shape};
use crate::debezium::days_since_1970;

/// Reads records of one schema.
#[derive(Debug)]
pub struct Reader {
    plan: Plan,
    /// The fields of each place that is a struct.
    labels: Vec<Vec<Label>>,
}

/// The bytes are no record of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end inside a value.
    #[error("the record ends inside a value")]
    Short,
    /// A number does not fit its type, or is no date.
    #[error("the record holds a number that does not fit its type")]
    Range,
    /// A value is written in another way than its type's.
    #[error("the record holds a value of another type than its schema's")]
    Type,
    /// Text is not UTF-8.
    #[error("the record holds text that is not UTF-8")]
    Encoding,
}

/// A value as it is written.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Eight([u8; 8]),
    Sized(&'a [u8]),
    Four([u8; 4]),
}

/// A field's number and value.
type Found<'a> = (u32, Wire<'a>);

/// All that is written of one field.
#[derive(Clone, Copy)]
struct Written<'m, 'a> {
    /// The fields of the message.
    found: &'m [Found<'a>],
    /// The number of the field.
    number: u32,
}

impl<'m, 'a> Written<'m, 'a> {
    fn wires(self) -> impl Iterator<Item = Wire<'a>> + 'm {
        self.found.iter().filter(move |(found, _)| *found == self.number).map(|(_, wire)| *wire)
    }
}

impl Reader {
    /// Prepares a schema, in which what may be null is `optional`.
    ///
    /// # Errors
    /// When the schema has no form in Protobuf.
    pub fn new(schema: &Schema) -> Result<Self, Unsayable> {
        let plan = Plan::new(schema, Nullables::Optional)?;
        let mut labels = Vec::with_capacity(plan.places.len());
        name(schema, &mut labels);
        Ok(Self { plan, labels })
    }

    /// Tells a record, without the frame and the byte behind it, to a writer. After an error the writer
    /// holds a part of it.
    ///
    /// # Errors
    /// When the bytes are no record of the schema.
    pub fn read<W: Writer>(&self, record: &[u8], out: &mut W) -> Result<(), Malformed> {
        self.message(0, record, out)
    }

    fn place(&self, at: usize) -> Result<&Place, Malformed> {
        self.plan.places.get(at).ok_or(Malformed::Type)
    }

    /// Tells a struct. Its fields may come in any order, and the last of one number counts.
    fn message<W: Writer>(&self, at: usize, bytes: &[u8], out: &mut W) -> Result<(), Malformed> {
        let found = fields(bytes)?;
        out.begin_struct();
        let mut next = at + 1;
        for (label, number) in self.labels.get(at).into_iter().flatten().zip(1_u32..) {
            out.field(label);
            self.value(next, Written { found: &found, number }, out)?;
            next = self.place(next)?.end;
        }
        out.end_struct();
        Ok(())
    }

    /// Tells the value at a place, of which these are all that is written.
    fn value<W: Writer>(
        &self,
        at: usize,
        found: Written<'_, '_>,
        out: &mut W,
    ) -> Result<(), Malformed> {
        let place = self.place(at)?;
        match place.shape {
            Shape::Packed => return self.packed(at, found, out),
            Shape::Repeated => {
                out.begin_array(found.wires().count());
                for wire in found.wires() {
                    out.item();
                    self.value(at + 1, Written { found: &[(0, wire)], number: 0 }, out)?;
                }
                out.end_array();
                return Ok(());
            }
            Shape::Map => return self.map(at, found, out),
            _ => {}
        }
        let last = found.wires().last();
        match (place.shape, last) {
            (_, None) if place.nullable => out.null(),
            (Shape::Struct, None) => return self.message(at, &[], out),
            (Shape::Struct, Some(wire)) => return self.message(at, sized(wire)?, out),
            (shape, None) => zero(shape, out),
            (shape, Some(wire)) => scalar(shape, wire, out)?,
        }
        Ok(())
    }

    /// Numbers behind one tag, or each behind its own.
    fn packed<W: Writer>(
        &self,
        at: usize,
        found: Written<'_, '_>,
        out: &mut W,
    ) -> Result<(), Malformed> {
        let shape = self.place(at + 1)?.shape;
        let mut all = Vec::new();
        for wire in found.wires() {
            let Wire::Sized(mut bytes) = wire else {
                all.push(wire);
                continue;
            };
            while !bytes.is_empty() {
                let (number, rest) = match shape {
                    Shape::Float => four(bytes)?,
                    Shape::Double => eight(bytes)?,
                    _ => number(bytes)?,
                };
                all.push(number);
                bytes = rest;
            }
        }
        out.begin_array(all.len());
        for wire in all {
            out.item();
            scalar(shape, wire, out)?;
        }
        out.end_array();
        Ok(())
    }

    /// Messages of a key and a value.
    fn map<W: Writer>(
        &self,
        at: usize,
        found: Written<'_, '_>,
        out: &mut W,
    ) -> Result<(), Malformed> {
        out.begin_map(found.wires().count());
        for wire in found.wires() {
            let entry = fields(sized(wire)?)?;
            let part = |number| Written { found: &entry, number };
            let key = part(1).wires().last().map_or(Ok(&[][..]), sized)?;
            out.key(std::str::from_utf8(key).map_err(|_| Malformed::Encoding)?);
            self.value(at + 1, part(2), out)?;
        }
        out.end_map();
        Ok(())
    }
}

/// Names the fields of every place, in the order of the places.
fn name(schema: &Schema, labels: &mut Vec<Vec<Label>>) {
    let own = schema.fields().iter().map(|field| Label::new(field.name.clone()));
    labels.push(own.collect());
    match &schema.kind {
        Kind::Struct(fields) => fields.iter().for_each(|field| name(&field.schema, labels)),
        Kind::Array(part) | Kind::Map(_, part) => name(part, labels),
        _ => {}
    }
}

/// The fields of a message, in the order of the bytes.
fn fields(mut bytes: &[u8]) -> Result<Vec<Found<'_>>, Malformed> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (tag, rest) = unsigned(bytes)?;
        let (wire, rest) = match tag & 7 {
            0 => number(rest)?,
            1 => eight(rest)?,
            2 => {
                let (length, rest) = unsigned(rest)?;
                let length = usize::try_from(length).map_err(|_| Malformed::Short)?;
                let (taken, rest) = rest.split_at_checked(length).ok_or(Malformed::Short)?;
                (Wire::Sized(taken), rest)
            }
            5 => four(rest)?,
            _ => return Err(Malformed::Type),
        };
        found.push((u32::try_from(tag >> 3).map_err(|_| Malformed::Range)?, wire));
        bytes = rest;
    }
    Ok(found)
}

fn unsigned(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    varint::read_unsigned(bytes).ok_or(Malformed::Short)
}

fn number(bytes: &[u8]) -> Result<(Wire<'_>, &[u8]), Malformed> {
    unsigned(bytes).map(|(value, rest)| (Wire::Number(value), rest))
}

fn eight(bytes: &[u8]) -> Result<(Wire<'_>, &[u8]), Malformed> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Malformed::Short)?;
    Ok((Wire::Eight(*taken), rest))
}

fn four(bytes: &[u8]) -> Result<(Wire<'_>, &[u8]), Malformed> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Malformed::Short)?;
    Ok((Wire::Four(*taken), rest))
}

fn sized(wire: Wire<'_>) -> Result<&[u8], Malformed> {
    match wire {
        Wire::Sized(bytes) => Ok(bytes),
        _ => Err(Malformed::Type),
    }
}

/// What is not written is zero or empty.
fn zero<W: Writer>(shape: Shape, out: &mut W) {
    match shape {
        Shape::Boolean => out.boolean(false),
        Shape::Float => out.float32(0.0),
        Shape::Double => out.float64(0.0),
        Shape::Text => out.string(""),
        Shape::Octets | Shape::Decimal(_) => out.bytes(&[]),
        _ => out.integer(0),
    }
}

fn scalar<W: Writer>(shape: Shape, wire: Wire<'_>, out: &mut W) -> Result<(), Malformed> {
    match (shape, wire) {
        (Shape::Boolean, Wire::Number(value)) => out.boolean(value != 0),
        (Shape::Integer(least, most), Wire::Number(value)) => {
            let value = value.cast_signed();
            if value < least || value > most {
                return Err(Malformed::Range);
            }
            out.integer(value);
        }
        (Shape::Float, Wire::Four(octets)) => out.float32(f32::from_le_bytes(octets)),
        (Shape::Double, Wire::Eight(octets)) => out.float64(f64::from_le_bytes(octets)),
        (Shape::Text, Wire::Sized(octets)) => {
            out.string(std::str::from_utf8(octets).map_err(|_| Malformed::Encoding)?);
        }
        (Shape::Octets, Wire::Sized(octets)) => out.bytes(octets),
        (Shape::Decimal(_), Wire::Sized(message)) => {
            let value = fields(message)?.into_iter().rfind(|(number, _)| *number == 1);
            out.bytes(value.map_or(Ok(&[][..]), |(_, wire)| sized(wire))?);
        }
        (Shape::Date | Shape::Time | Shape::Timestamp, Wire::Sized(message)) => {
            out.integer(units(shape, &fields(message)?).ok_or(Malformed::Range)?);
        }
        _ => return Err(Malformed::Type),
    }
    Ok(())
}

/// Days, or milliseconds, of a message that comes with the converter.
fn units(shape: Shape, found: &[Found<'_>]) -> Option<i64> {
    let part = |number: u32| {
        found.iter().rfind(|(found, _)| *found == number).map_or(Some(0), |(_, wire)| match wire {
            Wire::Number(value) => Some(value.cast_signed()),
            _ => None,
        })
    };
    let millis = |nanos: i64| nanos.checked_div(1_000_000);
    match shape {
        Shape::Date => days_since_1970(part(1)?, part(2)?, part(3)?),
        Shape::Time => {
            let minutes = part(1)?.checked_mul(60)?.checked_add(part(2)?)?;
            let seconds = minutes.checked_mul(60)?.checked_add(part(3)?)?;
            seconds.checked_mul(1_000)?.checked_add(millis(part(4)?)?)
        }
        _ => part(1)?.checked_mul(1_000)?.checked_add(millis(part(2)?)?),
    }
}
