//! The binary form of COPY: a header, tuples, a trailer. A total function of the bytes.

use crate::convert::{self, Decoder};
use bytes::{Bytes, BytesMut};
use cdc_core::{Row, Value};
use std::ops::Range;

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const HEADER_BYTES: usize = 19;
/// Flags in the upper half change what follows.
const CRITICAL_FLAGS: u32 = 0xFFFF_0000;
const TRAILER: i16 = -1;
const NULL: i32 = -1;

/// Why a copy cannot be read.
#[derive(Debug)]
pub(crate) enum TuplesError {
    /// It is not a binary COPY.
    Format(&'static str),
    /// One value is wrong.
    Value(convert::Error),
}

/// Takes rows out of the pieces of a COPY. The server sends a row a message, but nothing says that
/// what lies between here and there keeps it that way: a row may begin in one and end in another.
pub(crate) struct Tuples<'a> {
    decoder: &'a Decoder,
    as_text: &'a [bool],
    state: State,
    frame: Bytes,
    at: usize,
    end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    Ended,
}

/// One step through the bytes.
enum Step<T> {
    /// It is all there, and ends here.
    Whole(T, usize),
    /// The rest has not arrived yet.
    Part,
}

impl<'a> Tuples<'a> {
    /// Reads rows of `decoder`'s columns, some of which were cast to text.
    pub(crate) fn new(decoder: &'a Decoder, as_text: &'a [bool]) -> Self {
        Self { decoder, as_text, state: State::Header, frame: Bytes::new(), at: 0, end: 0 }
    }

    /// Adds the next piece: a range of `frame`. Everything before it must have been taken out.
    #[inline]
    pub(crate) fn add(&mut self, frame: &Bytes, piece: Range<usize>) -> Result<(), TuplesError> {
        if piece.start > piece.end || piece.end > frame.len() {
            return Err(TuplesError::Format("a message outside of its chunk"));
        }
        if self.at == self.end {
            // Nothing is left over, as nearly always.
            if !same_frame(&self.frame, frame) {
                self.frame = frame.clone();
            }
            self.at = piece.start;
            self.end = piece.end;
            return Ok(());
        }
        let left = self.frame.get(self.at..self.end).unwrap_or_default();
        let added = frame.get(piece).unwrap_or_default();
        let mut joined = BytesMut::with_capacity(left.len() + added.len());
        joined.extend_from_slice(left);
        joined.extend_from_slice(added);
        self.frame = joined.freeze();
        self.at = 0;
        self.end = self.frame.len();
        Ok(())
    }

    /// The next row; `None` when more has to be added first.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<Row>, TuplesError> {
        if self.state == State::Header {
            match self.header()? {
                Step::Part => return Ok(None),
                Step::Whole((), end) => {
                    self.state = State::Rows;
                    self.at = end;
                }
            }
        }
        if self.state == State::Ended {
            let left = self.at < self.end;
            return if left { Err(TuplesError::Format("bytes behind the end")) } else { Ok(None) };
        }
        match self.tuple()? {
            Step::Part => Ok(None),
            Step::Whole(Some(row), end) => {
                self.at = end;
                Ok(Some(row))
            }
            Step::Whole(None, end) => {
                self.at = end;
                self.state = State::Ended;
                self.next_after_end()
            }
        }
    }

    fn next_after_end(&self) -> Result<Option<Row>, TuplesError> {
        if self.at == self.end {
            Ok(None)
        } else {
            Err(TuplesError::Format("bytes behind the end"))
        }
    }

    /// The copy must have come to its own end.
    pub(crate) fn finish(&self) -> Result<(), TuplesError> {
        if self.state == State::Ended && self.at == self.end {
            Ok(())
        } else {
            Err(TuplesError::Format("it ends before its end"))
        }
    }

    #[inline]
    fn fixed<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let to = at.checked_add(N).filter(|to| *to <= self.end)?;
        self.frame.get(at..to)?.try_into().ok()
    }

    fn header(&self) -> Result<Step<()>, TuplesError> {
        let Some(header) = self.fixed::<HEADER_BYTES>(self.at) else { return Ok(Step::Part) };
        let [signature @ .., a, b, c, d, e, f, g, h] = header;
        if signature != *SIGNATURE {
            return Err(TuplesError::Format("the signature is another"));
        }
        if u32::from_be_bytes([a, b, c, d]) & CRITICAL_FLAGS != 0 {
            return Err(TuplesError::Format("a flag that is not known"));
        }
        let extension = u32::from_be_bytes([e, f, g, h]) as usize;
        let end = (self.at + HEADER_BYTES).saturating_add(extension);
        Ok(if end <= self.end { Step::Whole((), end) } else { Step::Part })
    }

    /// The tuple at the front, or `None` for the trailer.
    #[inline]
    fn tuple(&self) -> Result<Step<Option<Row>>, TuplesError> {
        let mut at = self.at;
        let Some(count) = self.fixed(at).map(i16::from_be_bytes) else { return Ok(Step::Part) };
        at += 2;
        if count == TRAILER {
            return Ok(Step::Whole(None, at));
        }
        let columns = self.as_text.len();
        if usize::try_from(count) != Ok(columns) {
            return Err(TuplesError::Format("a row of another width than its table"));
        }
        let mut row = Vec::with_capacity(columns);
        for (column, as_text) in self.as_text.iter().enumerate() {
            let Some(length) = self.fixed(at).map(i32::from_be_bytes) else {
                return Ok(Step::Part);
            };
            at += 4;
            if length == NULL {
                row.push(Value::Null);
                continue;
            }
            let length = usize::try_from(length)
                .map_err(|_| TuplesError::Format("a field of negative length"))?;
            let end = at.saturating_add(length);
            if end > self.end {
                return Ok(Step::Part);
            }
            let value = if *as_text {
                self.decoder.text(column, &self.frame, at..end)
            } else {
                self.decoder.binary(column, &self.frame, at..end)
            };
            row.push(value.map_err(TuplesError::Value)?);
            at = end;
        }
        Ok(Step::Whole(Some(row.into_boxed_slice()), at))
    }
}

/// The same allocation, seen in full: comparing is cheaper than counting references.
fn same_frame(a: &Bytes, b: &Bytes) -> bool {
    std::ptr::eq(a.as_ptr(), b.as_ptr()) && a.len() == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{convert::DecodedColumn, schema::TypeCatalog};
    use cdc_core::TableId;
    use proptest::prelude::*;
    use std::sync::Arc;

    /// int4, text, and a column that is cast to text.
    fn decoder() -> Decoder {
        let column = |name: &str, type_oid| DecodedColumn {
            name: name.to_owned(),
            type_oid,
            type_name: name.to_owned(),
        };
        let columns = [column("int4", 23), column("text", 25), column("regclass", 2205)];
        Decoder::new(&TableId::new("public", "t"), columns, &Arc::new(TypeCatalog::default()))
    }

    const AS_TEXT: &[bool] = &[false, false, true];

    type Given = (Option<i32>, Option<String>, Option<String>);

    fn encode(rows: &[Given]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend_from_slice(&[0; 8]);
        let field = |out: &mut Vec<u8>, field: Option<&[u8]>| match field {
            None => out.extend_from_slice(&NULL.to_be_bytes()),
            Some(bytes) => {
                out.extend_from_slice(&i32::try_from(bytes.len()).unwrap().to_be_bytes());
                out.extend_from_slice(bytes);
            }
        };
        for (number, text, cast) in rows {
            out.extend_from_slice(&3_i16.to_be_bytes());
            field(&mut out, number.map(i32::to_be_bytes).as_ref().map(<[u8; 4]>::as_slice));
            field(&mut out, text.as_deref().map(str::as_bytes));
            field(&mut out, cast.as_deref().map(str::as_bytes));
        }
        out.extend_from_slice(&TRAILER.to_be_bytes());
        out
    }

    fn read(pieces: &[&[u8]]) -> Result<Vec<Row>, TuplesError> {
        let decoder = decoder();
        let mut tuples = Tuples::new(&decoder, AS_TEXT);
        let mut rows = Vec::new();
        for piece in pieces {
            tuples.add(&Bytes::copy_from_slice(piece), 0..piece.len())?;
            while let Some(row) = tuples.next()? {
                rows.push(row);
            }
        }
        tuples.finish()?;
        Ok(rows)
    }

    proptest! {
        #[test]
        fn rows_come_back_wherever_the_copy_is_cut(
            given in prop::collection::vec(any::<Given>(), 0..5),
            first: prop::sample::Index,
            second: prop::sample::Index,
        ) {
            let bytes = encode(&given);
            let (a, b) = (first.index(bytes.len() + 1), second.index(bytes.len() + 1));
            let (a, b) = (a.min(b), a.max(b));
            let rows = read(&[&bytes[..a], &bytes[a..b], &bytes[b..]]).unwrap();
            let text = |text: Option<String>| text.map_or(Value::Null, Value::text);
            let expected: Vec<Row> = given
                .into_iter()
                .map(|(number, a, b)| {
                    let number = number.map_or(Value::Null, |number| Value::Int(number.into()));
                    vec![number, text(a), text(b)].into_boxed_slice()
                })
                .collect();
            prop_assert_eq!(rows, expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, header: bool) {
            if header {
                let mut whole = encode(&[]);
                whole.truncate(HEADER_BYTES);
                whole.append(&mut bytes);
                bytes = whole;
            }
            let outcome = read(&[&bytes]);
            prop_assert!(outcome.is_err() || bytes.len() >= HEADER_BYTES + 2);
        }
    }

    #[test]
    fn a_copy_that_ends_early_is_refused() {
        let bytes = encode(&[(Some(1), None, None)]);
        assert!(matches!(read(&[&bytes[..bytes.len() - 2]]), Err(TuplesError::Format(_))));
        assert!(matches!(read(&[&bytes, b"x"]), Err(TuplesError::Format(_))));
    }
}
