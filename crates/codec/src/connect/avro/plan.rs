//! A schema, ready to be written by.

use super::super::{Kind, Misfit, Schema, Unsayable, frame, varint};
use super::{AvroWriter, text};

/// More places than any table's envelope has.
const PLACES_MAX: usize = 1 << 20;

/// The text of a schema and the places of its values, in the order of the bytes.
#[derive(Debug)]
pub struct Plan {
    text: String,
    pub(super) places: Vec<Place>,
}

/// One place of the schema.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    pub(super) shape: Shape,
    pub(super) union: Union,
    /// Where what follows it is found.
    pub(super) end: usize,
    /// The struct, array or map around it.
    pub(super) around: usize,
}

/// Which branch says null, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Union {
    None,
    NullFirst,
    NullLast,
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
    Struct,
    Array,
    Map,
}

impl Plan {
    /// Plans a schema.
    ///
    /// # Errors
    /// When the schema has no form in Avro.
    pub fn new(schema: &Schema) -> Result<Self, Unsayable> {
        let mut places = Vec::new();
        place(schema, usize::MAX, &mut places)?;
        Ok(Self { text: text::of(schema)?, places })
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
        tell: impl FnOnce(&mut AvroWriter<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = out.len();
        frame(schema, out);
        let mut writer = AvroWriter::new(self, out);
        let told = tell(&mut writer);
        let fitting = writer.finish();
        let done = told.and_then(|()| Ok(fitting?));
        if done.is_err() {
            out.truncate(start);
        }
        done
    }
}

fn place(schema: &Schema, around: usize, places: &mut Vec<Place>) -> Result<(), Unsayable> {
    let at = places.len();
    if at >= PLACES_MAX {
        return Err(Unsayable::TooLarge);
    }
    let union = match (schema.optional, &schema.default) {
        (false, _) => Union::None,
        (true, None) => Union::NullFirst,
        (true, Some(_)) => Union::NullLast,
    };
    let shape = shape(&schema.kind);
    places.push(Place { shape, union, end: 0, around });
    match &schema.kind {
        Kind::Array(items) => place(items, at, places)?,
        Kind::Map(_, values) => place(values, at, places)?,
        Kind::Struct(fields) => {
            for field in fields {
                place(&field.schema, at, places)?;
            }
        }
        _ => {}
    }
    let end = places.len();
    if let Some(place) = places.get_mut(at) {
        place.end = end;
    }
    Ok(())
}

fn shape(kind: &Kind) -> Shape {
    match kind {
        Kind::Boolean => Shape::Boolean,
        Kind::Int8 => Shape::Integer(i8::MIN.into(), i8::MAX.into()),
        Kind::Int16 => Shape::Integer(i16::MIN.into(), i16::MAX.into()),
        Kind::Int32 => Shape::Integer(i32::MIN.into(), i32::MAX.into()),
        Kind::Int64 => Shape::Integer(i64::MIN, i64::MAX),
        Kind::Float32 => Shape::Float,
        Kind::Float64 => Shape::Double,
        Kind::String => Shape::Text,
        Kind::Bytes => Shape::Octets,
        Kind::Array(_) => Shape::Array,
        Kind::Map(..) => Shape::Map,
        Kind::Struct(_) => Shape::Struct,
    }
}

/// Appends octets with their length before them.
pub(super) fn sized(out: &mut Vec<u8>, octets: &[u8]) {
    varint::length(out, octets.len());
    out.extend_from_slice(octets);
}
