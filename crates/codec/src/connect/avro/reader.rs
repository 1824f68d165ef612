//! Values from Avro's binary form, by the schema that they were written with.

use super::super::{JsonWriter, Schema, Writer, print, varint};
use super::foreign::{self, Branches, Place, Shape, Unreadable};
use cdc_core::{Error, Origin, Retry};

/// Reads records of one schema.
#[derive(Debug)]
pub struct Reader {
    schema: Schema,
    places: Vec<Place>,
    /// `{"schema":…,"payload":`
    envelope: Vec<u8>,
}

/// The bytes are no record of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They end inside a value.
    #[error("the record ends inside a value")]
    Short,
    /// They go on behind the record.
    #[error("the record is longer than its schema says")]
    Long,
    /// A number does not fit its type.
    #[error("the record holds a number that does not fit its type")]
    Range,
    /// A union's branch or an enum's symbol that does not exist, a boolean that is neither.
    #[error("the record holds a choice that its schema does not have")]
    Choice,
    /// Text is not UTF-8.
    #[error("the record holds text that is not UTF-8")]
    Encoding,
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        let context = format!("a record cannot be read by its Avro schema: {malformed}");
        Self::new("CDC-4242", Origin::Transport, Retry::Never, context).with_remedy(
            "check that the topic holds records of this registry, in Confluent's wire format",
        )
    }
}

impl Reader {
    /// Prepares a schema from its text.
    ///
    /// # Errors
    /// When the text is no schema, or one that Connect would not have made.
    pub fn new(text: &str) -> Result<Self, Unreadable> {
        let (schema, places) = foreign::read(text)?;
        let mut envelope = b"{\"schema\":".to_vec();
        print(&schema, &mut envelope);
        envelope.extend_from_slice(b",\"payload\":");
        Ok(Self { schema, places, envelope })
    }

    /// What the records are to Connect.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Tells a record to a writer. After an error the writer holds a part of it.
    ///
    /// # Errors
    /// When the bytes are no record of the schema.
    pub fn read<W: Writer>(&self, record: &[u8], out: &mut W) -> Result<(), Malformed> {
        let mut bytes = Bytes(record);
        self.value(0, &mut bytes, out)?;
        if bytes.0.is_empty() { Ok(()) } else { Err(Malformed::Long) }
    }

    /// Appends a record as JSON with schemas, which what reads Debezium's JSON takes. After an error `out`
    /// is as it was.
    ///
    /// # Errors
    /// When the bytes are no record of the schema.
    pub fn json(&self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        let start = out.len();
        out.extend_from_slice(&self.envelope);
        let read = self.read(record, &mut JsonWriter::new(out, true));
        match read {
            Ok(()) => out.push(b'}'),
            Err(_) => out.truncate(start),
        }
        read
    }

    /// Tells the value at a place.
    fn value<W: Writer>(
        &self,
        at: usize,
        bytes: &mut Bytes<'_>,
        out: &mut W,
    ) -> Result<(), Malformed> {
        let place = self.places.get(at).ok_or(Malformed::Choice)?;
        match place.union {
            Branches::None => {}
            Branches::One if bytes.long()? == 0 => {}
            Branches::One => return Err(Malformed::Choice),
            Branches::Null(null) => match bytes.long()? {
                branch if branch == null => {
                    out.null();
                    return Ok(());
                }
                0 | 1 => {}
                _ => return Err(Malformed::Choice),
            },
        }
        match &place.shape {
            Shape::Boolean => match bytes.take(1)? {
                [0] => out.boolean(false),
                [1] => out.boolean(true),
                _ => return Err(Malformed::Choice),
            },
            Shape::Integer(least, most) => match bytes.long()? {
                value if value < *least || value > *most => return Err(Malformed::Range),
                value => out.integer(value),
            },
            Shape::Float => out.float32(f32::from_le_bytes(bytes.array()?)),
            Shape::Double => out.float64(f64::from_le_bytes(bytes.array()?)),
            Shape::Text => out.string(bytes.text()?),
            Shape::Octets => out.bytes(bytes.sized()?),
            Shape::Fixed(size) => out.bytes(bytes.take(*size)?),
            Shape::Enum(symbols) => {
                let index = usize::try_from(bytes.long()?).map_err(|_| Malformed::Choice)?;
                out.string(symbols.get(index).ok_or(Malformed::Choice)?);
            }
            Shape::Struct(labels) => {
                out.begin_struct();
                let mut next = at + 1;
                for label in labels {
                    out.field(label);
                    self.value(next, bytes, out)?;
                    next = self.places.get(next).ok_or(Malformed::Choice)?.end;
                }
                out.end_struct();
            }
            Shape::Array => {
                out.begin_array(self.count(at, bytes)?);
                blocks(bytes, |bytes| {
                    out.item();
                    self.value(at + 1, bytes, out)
                })?;
                out.end_array();
            }
            Shape::Map => {
                out.begin_map(self.count(at, bytes)?);
                blocks(bytes, |bytes| {
                    out.key(bytes.text()?);
                    self.value(at + 1, bytes, out)
                })?;
                out.end_map();
            }
        }
        Ok(())
    }

    /// So many items are in all blocks of the array or map whose bytes follow.
    fn count(&self, at: usize, bytes: &Bytes<'_>) -> Result<usize, Malformed> {
        let mut ahead = Bytes(bytes.0);
        let is_map = self.places.get(at).is_some_and(|place| matches!(place.shape, Shape::Map));
        let mut count = 0;
        blocks(&mut ahead, |ahead| {
            count += 1;
            if is_map {
                ahead.sized()?;
            }
            self.value(at + 1, ahead, &mut Nothing)
        })?;
        Ok(count)
    }
}

/// Reads blocks of items up to the empty one.
fn blocks<'a>(
    bytes: &mut Bytes<'a>,
    mut item: impl FnMut(&mut Bytes<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    loop {
        let count = match bytes.long()? {
            0 => return Ok(()),
            count if count > 0 => count,
            count => {
                // The size in bytes, for readers that go past the block.
                bytes.long()?;
                count.checked_neg().ok_or(Malformed::Range)?
            }
        };
        // Each item takes a byte or more.
        if usize::try_from(count).map_or(true, |count| count > bytes.0.len()) {
            return Err(Malformed::Short);
        }
        for _ in 0..count {
            item(bytes)?;
        }
    }
}

/// What is left of a record.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn long(&mut self) -> Result<i64, Malformed> {
        let (value, rest) = varint::read_zigzag(self.0).ok_or_else(|| {
            let goes_on = self.0.len() < 10 && self.0.iter().all(|byte| byte & 0x80 != 0);
            if goes_on { Malformed::Short } else { Malformed::Range }
        })?;
        self.0 = rest;
        Ok(value)
    }

    fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.long()?).map_err(|_| Malformed::Range)?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.sized()?).map_err(|_| Malformed::Encoding)
    }
}

/// Takes values and keeps none.
struct Nothing;

impl Writer for Nothing {
    fn null(&mut self) {}
    fn boolean(&mut self, _value: bool) {}
    fn integer(&mut self, _value: i64) {}
    fn float32(&mut self, _value: f32) {}
    fn float64(&mut self, _value: f64) {}
    fn string(&mut self, _value: &str) {}
    fn bytes(&mut self, _value: &[u8]) {}
    fn begin_struct(&mut self) {}
    fn field(&mut self, _label: &super::super::Label) {}
    fn end_struct(&mut self) {}
    fn begin_array(&mut self, _length: usize) {}
    fn item(&mut self) {}
    fn end_array(&mut self) {}
    fn begin_map(&mut self, _length: usize) {}
    fn key(&mut self, _key: &str) {}
    fn end_map(&mut self) {}
}
