//! A schema, ready to be written by.

use super::super::{Kind, Misfit, Schema, Unsayable, frame};
use super::text::{self, FORMAT};
use super::writer::ProtobufWriter;

/// More places than any table's envelope has.
const PLACES_MAX: usize = 1 << 20;
/// Messages within each other; Debezium's records need four.
pub(super) const DEPTH_MAX: usize = 16;

const VARINT: u32 = 0;
const EIGHT_OCTETS: u32 = 1;
const SIZED: u32 = 2;
const FOUR_OCTETS: u32 = 5;

/// What tells null from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nullables {
    /// Nothing: the converter's default.
    #[default]
    Plain,
    /// What may be null is `optional`.
    Optional,
}

/// The text of a schema and the places of its values, in the order of the bytes.
#[derive(Debug)]
pub struct Plan {
    text: String,
    pub(super) places: Vec<Place>,
}

/// One place of the schema.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) shape: Shape,
    /// Field number and wire type; zero for what is written without.
    pub(super) tag: u32,
    /// Is it written where it is zero or empty?
    pub(super) keeps_zero: bool,
    pub(super) nullable: bool,
    /// Where what follows it is found.
    pub(super) end: usize,
    /// The struct, array or map around it.
    pub(super) around: usize,
}

/// How the values of a place are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Boolean,
    /// Between these two.
    Integer(i64, i64),
    Float,
    Double,
    Text,
    Octets,
    /// Octets of a number with so many digits behind the point.
    Decimal(i32),
    /// Days.
    Date,
    /// Milliseconds of a day.
    Time,
    /// Milliseconds.
    Timestamp,
    Struct,
    /// All numbers behind one tag.
    Packed,
    /// Each item behind its own.
    Repeated,
    Map,
}

impl Plan {
    /// Plans a schema.
    ///
    /// # Errors
    /// When the schema has no form in Protobuf.
    pub fn new(schema: &Schema, nullables: Nullables) -> Result<Self, Unsayable> {
        let text = text::of(schema, nullables)?;
        let mut planning = Planning { places: Vec::new(), nullables };
        planning.place(schema, Slot { number: 0, is_item: false }, usize::MAX, 0)?;
        Ok(Self { text, places: planning.places })
    }

    /// The schema's text, as Confluent's converter registers it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends one record in the frame of its schema's number. After an error `out` is as it was.
    ///
    /// # Errors
    /// What `tell` says, or that what it told does not fit the schema.
    pub fn write<E: From<Misfit>>(
        &self,
        schema: u32,
        out: &mut Vec<u8>,
        tell: impl FnOnce(&mut ProtobufWriter<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = out.len();
        frame(schema, out);
        // The record is of the first message of the file.
        out.push(0);
        let mut writer = ProtobufWriter::new(self, out);
        let told = tell(&mut writer);
        let fitting = writer.finish();
        let done = told.and_then(|()| Ok(fitting?));
        if done.is_err() {
            out.truncate(start);
        }
        done
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Slot {
    number: u32,
    is_item: bool,
}

struct Planning {
    places: Vec<Place>,
    nullables: Nullables,
}

impl Planning {
    fn place(
        &mut self,
        schema: &Schema,
        slot: Slot,
        around: usize,
        depth: usize,
    ) -> Result<(), Unsayable> {
        let at = self.places.len();
        if at >= PLACES_MAX || depth >= DEPTH_MAX {
            return Err(Unsayable::TooLarge);
        }
        let shape = shape(schema);
        let is_repeated = matches!(shape, Shape::Packed | Shape::Repeated | Shape::Map);
        if slot.is_item && is_repeated {
            return Err(Unsayable::Shape { format: FORMAT, what: "arrays of arrays or maps" });
        }
        let is_optional = self.nullables == Nullables::Optional && schema.optional;
        let place = Place {
            shape,
            tag: if slot.number == 0 { 0 } else { slot.number << 3 | wire_type(shape) },
            keeps_zero: slot.is_item || is_optional,
            nullable: schema.optional && !slot.is_item,
            end: at + 1,
            around,
        };
        self.places.push(place);
        match &schema.kind {
            Kind::Struct(fields) => {
                for (field, number) in fields.iter().zip(1..) {
                    self.place(&field.schema, Slot { number, is_item: false }, at, depth + 1)?;
                }
            }
            Kind::Array(items) => {
                let number = if shape == Shape::Packed { 0 } else { slot.number };
                self.place(items, Slot { number, is_item: true }, at, depth + 1)?;
            }
            Kind::Map(_, values) => {
                self.place(values, Slot { number: 2, is_item: false }, at, depth + 1)?;
            }
            _ => {}
        }
        let end = self.places.len();
        if let Some(place) = self.places.get_mut(at) {
            place.end = end;
        }
        Ok(())
    }
}

fn shape(schema: &Schema) -> Shape {
    match (&schema.kind, text::semantic(schema)) {
        (Kind::Bytes, Some("Decimal")) => Shape::Decimal(text::scale(schema)),
        (Kind::Int32, Some("Date")) => Shape::Date,
        (Kind::Int32, Some("Time")) => Shape::Time,
        (Kind::Int64, Some("Timestamp")) => Shape::Timestamp,
        (Kind::Boolean, _) => Shape::Boolean,
        (Kind::Int8, _) => Shape::Integer(i8::MIN.into(), i8::MAX.into()),
        (Kind::Int16, _) => Shape::Integer(i16::MIN.into(), i16::MAX.into()),
        (Kind::Int32, _) => Shape::Integer(i32::MIN.into(), i32::MAX.into()),
        (Kind::Int64, _) => Shape::Integer(i64::MIN, i64::MAX),
        (Kind::Float32, _) => Shape::Float,
        (Kind::Float64, _) => Shape::Double,
        (Kind::String, _) => Shape::Text,
        (Kind::Bytes, _) => Shape::Octets,
        (Kind::Map(..), _) => Shape::Map,
        (Kind::Struct(_), _) => Shape::Struct,
        (Kind::Array(items), _) => match self::shape(items) {
            Shape::Boolean | Shape::Integer(..) | Shape::Float | Shape::Double => Shape::Packed,
            _ => Shape::Repeated,
        },
    }
}

fn wire_type(shape: Shape) -> u32 {
    match shape {
        Shape::Boolean | Shape::Integer(..) => VARINT,
        Shape::Float => FOUR_OCTETS,
        Shape::Double => EIGHT_OCTETS,
        Shape::Text
        | Shape::Octets
        | Shape::Decimal(_)
        | Shape::Date
        | Shape::Time
        | Shape::Timestamp
        | Shape::Struct
        | Shape::Packed
        | Shape::Repeated
        | Shape::Map => SIZED,
    }
}
