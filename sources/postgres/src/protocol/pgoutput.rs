//! The messages of the output plugin `pgoutput`, protocol version 1.

use super::{Malformed, cursor::Cursor};
use crate::position::Lsn;
use std::ops::Range;

/// One message of the plugin. Tuples are ranges of the frame that was decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A transaction starts.
    Begin(Begin),
    /// A transaction ends.
    Commit(Commit),
    /// The transaction was first committed elsewhere.
    Origin,
    /// What a table looks like from here on.
    Relation(Relation),
    /// The name of a type that is not built in.
    Type,
    /// A row was inserted.
    Insert {
        /// Its table.
        relation: u32,
        /// The row.
        new: Tuple,
    },
    /// A row was updated.
    Update {
        /// Its table.
        relation: u32,
        /// The row before, as far as it was logged.
        old: Option<OldTuple>,
        /// The row after.
        new: Tuple,
    },
    /// A row was deleted.
    Delete {
        /// Its table.
        relation: u32,
        /// The row, as far as it was logged.
        old: OldTuple,
    },
    /// Tables were emptied.
    Truncate {
        /// Which.
        relations: Vec<u32>,
    },
    /// A message of `pg_logical_emit_message`.
    Logical(LogicalMessage),
}

/// A message of `pg_logical_emit_message`; prefix and content are ranges of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalMessage {
    /// Does it belong to the transaction around it? Otherwise it stands for itself.
    pub transactional: bool,
    /// Address behind its record in the log.
    pub end: Lsn,
    /// Who it is for.
    pub prefix: Range<usize>,
    /// What it says.
    pub content: Range<usize>,
}

/// How a transaction starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Address of its commit record.
    pub commit: Lsn,
    /// Time of its commit, in microseconds since 2000.
    pub commit_time: i64,
    /// Its number.
    pub xid: u32,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Address of its commit record.
    pub commit: Lsn,
    /// Address behind its commit record.
    pub end: Lsn,
    /// Time of its commit, in microseconds since 2000.
    pub commit_time: i64,
}

/// What a table looks like to the plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The table's number, by which rows name it.
    pub oid: u32,
    /// Schema; empty for `pg_catalog`.
    pub namespace: String,
    /// Table.
    pub name: String,
    /// `d` default, `n` nothing, `f` full, `i` index.
    pub replica_identity: u8,
    /// The published columns, in the order of the values of a tuple.
    pub columns: Vec<RelationColumn>,
}

/// One column of a [`Relation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Is it part of the replica identity?
    pub key: bool,
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_oid: u32,
    /// The type's modifier; -1 for none.
    pub type_modifier: i32,
}

/// A row before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldTuple {
    /// Are only the columns of the replica identity filled in?
    pub key_only: bool,
    /// The values.
    pub tuple: Tuple,
}

/// The values of a row: where they lie in the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// Number of values.
    pub columns: u16,
    range: Range<usize>,
}

/// One value of a [`Tuple`]; bytes as a range of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// NULL, or not logged in a key-only tuple.
    Null,
    /// An out-of-line value that did not change and was not logged.
    Unchanged,
    /// The type's text form.
    Text(Range<usize>),
    /// The type's binary form.
    Binary(Range<usize>),
}

impl Tuple {
    /// The values in the order of the relation's columns. `frame` is what the tuple was decoded from.
    #[must_use]
    pub fn fields<'a>(&self, frame: &'a [u8]) -> Fields<'a> {
        Fields { cursor: Cursor::new(frame, self.range.clone()), left: self.columns }
    }

    /// Bytes that the values occupy in the frame.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.range.len()
    }
}

/// Walks the values of a tuple.
pub struct Fields<'a> {
    cursor: Cursor<'a>,
    left: u16,
}

impl Iterator for Fields<'_> {
    type Item = Field;

    #[inline]
    fn next(&mut self) -> Option<Field> {
        self.left = self.left.checked_sub(1)?;
        field(&mut self.cursor).ok()
    }
}

/// Decodes the message that lies at `range` of `frame`.
pub fn decode(frame: &[u8], range: Range<usize>) -> Result<Message, Malformed> {
    let mut cursor = Cursor::new(frame, range);
    let cursor = &mut cursor;
    let message = match cursor.u8()? {
        b'I' => {
            let relation = cursor.u32()?;
            expect(cursor, b'N')?;
            Message::Insert { relation, new: tuple(cursor)? }
        }
        b'U' => update(cursor)?,
        b'D' => {
            let relation = cursor.u32()?;
            let tag = cursor.u8()?;
            let Some(old) = old_tuple(cursor, tag)? else {
                return Err(Malformed::new("a delete without the old row"));
            };
            Message::Delete { relation, old }
        }
        b'B' => {
            let commit = Lsn(cursor.u64()?);
            let commit_time = cursor.i64()?;
            Message::Begin(Begin { commit, commit_time, xid: cursor.u32()? })
        }
        b'C' => {
            cursor.skip(1)?;
            let commit = Lsn(cursor.u64()?);
            let end = Lsn(cursor.u64()?);
            Message::Commit(Commit { commit, end, commit_time: cursor.i64()? })
        }
        b'R' => relation(cursor)?,
        b'T' => truncate(cursor)?,
        b'Y' => {
            cursor.skip(4)?;
            cursor.string()?;
            cursor.string()?;
            Message::Type
        }
        b'O' => {
            cursor.skip(8)?;
            cursor.string()?;
            Message::Origin
        }
        b'M' => {
            let transactional = cursor.u8()? & 1 != 0;
            let end = Lsn(cursor.u64()?);
            let prefix = cursor.terminated()?;
            let length = cursor.u32()? as usize;
            let content = cursor.skip(length)?;
            Message::Logical(LogicalMessage { transactional, end, prefix, content })
        }
        tag => return Err(Malformed::new(format!("plugin message of unknown type {tag}"))),
    };
    cursor.finish()?;
    Ok(message)
}

fn expect(cursor: &mut Cursor<'_>, tag: u8) -> Result<(), Malformed> {
    if cursor.u8()? == tag { Ok(()) } else { Err(Malformed::new("a row of unknown kind")) }
}

fn update(cursor: &mut Cursor<'_>) -> Result<Message, Malformed> {
    let relation = cursor.u32()?;
    let tag = cursor.u8()?;
    let old = old_tuple(cursor, tag)?;
    if old.is_some() {
        expect(cursor, b'N')?;
    } else if tag != b'N' {
        return Err(Malformed::new("a row of unknown kind"));
    }
    Ok(Message::Update { relation, old, new: tuple(cursor)? })
}

fn old_tuple(cursor: &mut Cursor<'_>, tag: u8) -> Result<Option<OldTuple>, Malformed> {
    match tag {
        b'K' | b'O' => Ok(Some(OldTuple { key_only: tag == b'K', tuple: tuple(cursor)? })),
        _ => Ok(None),
    }
}

/// Checks a tuple and notes where it lies.
#[inline]
fn tuple(cursor: &mut Cursor<'_>) -> Result<Tuple, Malformed> {
    let columns = cursor.u16()?;
    let start = cursor.at();
    for _ in 0..columns {
        field(cursor)?;
    }
    Ok(Tuple { columns, range: start..cursor.at() })
}

#[inline]
fn field(cursor: &mut Cursor<'_>) -> Result<Field, Malformed> {
    match cursor.u8()? {
        b'n' => Ok(Field::Null),
        b'u' => Ok(Field::Unchanged),
        tag @ (b't' | b'b') => {
            let length = usize::try_from(cursor.i32()?)
                .map_err(|_| Malformed::new("a value of negative length"))?;
            let range = cursor.skip(length)?;
            Ok(if tag == b't' { Field::Text(range) } else { Field::Binary(range) })
        }
        tag => Err(Malformed::new(format!("a value of unknown kind {tag}"))),
    }
}

fn relation(cursor: &mut Cursor<'_>) -> Result<Message, Malformed> {
    let oid = cursor.u32()?;
    let namespace = cursor.string()?;
    let name = cursor.string()?;
    let replica_identity = cursor.u8()?;
    let count = cursor.u16()?;
    let mut columns = Vec::with_capacity(usize::from(count).min(cursor.remaining() / 10));
    for _ in 0..count {
        columns.push(RelationColumn {
            key: cursor.u8()? & 1 != 0,
            name: cursor.string()?,
            type_oid: cursor.u32()?,
            type_modifier: cursor.i32()?,
        });
    }
    Ok(Message::Relation(Relation { oid, namespace, name, replica_identity, columns }))
}

fn truncate(cursor: &mut Cursor<'_>) -> Result<Message, Malformed> {
    let count = cursor.u32()? as usize;
    cursor.skip(1)?;
    if count.checked_mul(4) != Some(cursor.remaining()) {
        return Err(Malformed::new("a truncate of another number of tables than it says"));
    }
    let mut relations = Vec::with_capacity(count);
    for _ in 0..count {
        relations.push(cursor.u32()?);
    }
    Ok(Message::Truncate { relations })
}

#[cfg(test)]
mod tests {
    use super::super::encode::{Cell, Sample, encode, samples};
    use super::*;
    use proptest::prelude::*;

    fn cells(frame: &[u8], tuple: &Tuple) -> Vec<Cell> {
        let cell = |field| match field {
            Field::Null => Cell::Null,
            Field::Unchanged => Cell::Unchanged,
            Field::Text(range) => Cell::Text(frame[range].to_vec()),
            Field::Binary(range) => Cell::Binary(frame[range].to_vec()),
        };
        tuple.fields(frame).map(cell).collect()
    }

    /// The reverse of `encode`, by way of the decoder under test.
    fn sample(frame: &[u8], message: Message) -> Sample {
        let old = |old: &OldTuple| (old.key_only, cells(frame, &old.tuple));
        match message {
            Message::Begin(begin) => Sample::Begin(begin),
            Message::Commit(commit) => Sample::Commit(commit),
            Message::Origin => Sample::Origin,
            Message::Relation(relation) => Sample::Relation(relation),
            Message::Type => Sample::Type,
            Message::Insert { relation, new } => Sample::Insert(relation, cells(frame, &new)),
            Message::Update { relation, old: before, new } => {
                Sample::Update(relation, before.as_ref().map(old), cells(frame, &new))
            }
            Message::Delete { relation, old: before } => Sample::Delete(relation, old(&before)),
            Message::Truncate { relations } => Sample::Truncate(relations),
            Message::Logical(message) => Sample::Logical(
                message.transactional,
                message.end,
                frame[message.prefix].to_vec(),
                frame[message.content].to_vec(),
            ),
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(message in samples(), before: Vec<u8>, after: Vec<u8>) {
            let bytes = encode(&message);
            let range = before.len()..before.len() + bytes.len();
            let frame = [before, bytes, after].concat();
            let decoded = decode(&frame, range).unwrap();
            prop_assert_eq!(sample(&frame, decoded), message);
        }

        #[test]
        fn a_message_cut_short_is_refused(message in samples(), cut: prop::sample::Index) {
            let bytes = encode(&message);
            let cut = cut.index(bytes.len());
            prop_assert!(decode(&bytes, 0..cut).is_err());
        }

        #[test]
        fn a_damaged_message_is_decoded_or_refused(
            message in samples(), at: prop::sample::Index, with: u8,
        ) {
            let mut bytes = encode(&message);
            let at = at.index(bytes.len());
            bytes[at] = with;
            if let Ok(Message::Insert { new, .. }) = decode(&bytes, 0..bytes.len()) {
                prop_assert_eq!(new.fields(&bytes).count(), usize::from(new.columns));
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes: Vec<u8>, start: usize, end: usize) {
            let decoded = decode(&bytes, start..end);
            prop_assert!(decoded.is_ok() || decoded.is_err());
        }
    }

    #[test]
    fn a_message_of_another_protocol_version_is_refused() {
        let error = decode(&[b'S', 0, 0, 0, 1, 1], 0..6).unwrap_err();
        assert!(error.to_string().contains("unknown type 83"), "{error}");
    }

    #[test]
    fn a_truncate_cannot_claim_more_tables_than_it_holds() {
        let mut bytes = vec![b'T'];
        bytes.extend_from_slice(&u32::MAX.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 0, 1]);
        decode(&bytes, 0..bytes.len()).unwrap_err();
    }
}
