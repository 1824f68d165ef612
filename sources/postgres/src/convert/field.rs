//! A field inside a received frame, and reading its parts.

use bytes::Bytes;
use std::ops::Range;

/// What is wrong with a field. Says nothing about its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Shorter than its type requires.
    #[error("the field is shorter than its type requires")]
    Truncated,
    /// Longer than its type requires.
    #[error("the field is longer than its type requires")]
    Trailing,
    /// Text that is not UTF-8.
    #[error("the text is not valid UTF-8")]
    Utf8,
    /// Not the form that the type's output function produces.
    #[error("the field has not the form that PostgreSQL gives this type")]
    Syntax,
    /// A number beyond what the type can hold.
    #[error("a number is outside of the type's range")]
    OutOfRange,
    /// A type inside of the type that was not there when the catalog was read.
    #[error("it contains type {0}, which was not there when the catalog was read")]
    UnknownType(u32),
    /// The type's binary form has no decoder.
    #[error("the type's binary form is not understood")]
    NotBinary,
}

pub(crate) type Decoded<T> = Result<T, Problem>;

/// The bytes of one field, as a range of the frame that owns them.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    frame: &'a Bytes,
    start: usize,
    end: usize,
}

impl<'a> Field<'a> {
    /// `None` when the range is not inside the frame.
    pub(crate) fn new(frame: &'a Bytes, range: Range<usize>) -> Option<Self> {
        let inside = range.start <= range.end && range.end <= frame.len();
        inside.then_some(Self { frame, start: range.start, end: range.end })
    }

    /// The whole of `frame`.
    pub(crate) fn whole(frame: &'a Bytes) -> Self {
        Self { frame, start: 0, end: frame.len() }
    }

    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.frame.get(self.start..self.end).unwrap_or_default()
    }

    /// The same bytes with ownership of their own.
    #[inline]
    pub(crate) fn shared(self) -> Bytes {
        self.frame.slice(self.start..self.end)
    }

    #[inline]
    pub(crate) fn utf8(self) -> Decoded<&'a str> {
        std::str::from_utf8(self.bytes()).map_err(|_| Problem::Utf8)
    }

    /// Exactly `N` bytes.
    #[inline]
    pub(crate) fn exact<const N: usize>(self) -> Decoded<[u8; N]> {
        self.bytes().try_into().map_err(|_| match self.end - self.start {
            length if length < N => Problem::Truncated,
            _ => Problem::Trailing,
        })
    }

    pub(crate) fn reader(self) -> Reader<'a> {
        Reader { field: self }
    }

    /// The part of this field that `part`, a slice of [`bytes`](Self::bytes), covers.
    pub(crate) fn part(self, from: usize, to: usize) -> Decoded<Self> {
        let start = self.start.checked_add(from).ok_or(Problem::Truncated)?;
        let end = self.start.checked_add(to).ok_or(Problem::Truncated)?;
        if start > end || end > self.end {
            return Err(Problem::Truncated);
        }
        Ok(Self { frame: self.frame, start, end })
    }
}

/// Takes a field apart from its front.
pub(crate) struct Reader<'a> {
    field: Field<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn remaining(&self) -> usize {
        self.field.end - self.field.start
    }

    pub(crate) fn take(&mut self, length: usize) -> Decoded<Field<'a>> {
        let part = self.field.part(0, length)?;
        self.field.start = part.end;
        Ok(part)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> Field<'a> {
        let rest = self.field;
        self.field.start = rest.end;
        rest
    }

    fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        self.take(N)?.exact()
    }

    pub(crate) fn u8(&mut self) -> Decoded<u8> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Decoded<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i16(&mut self) -> Decoded<i16> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Decoded<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Decoded<i32> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Decoded<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Decoded<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    pub(crate) fn f64(&mut self) -> Decoded<f64> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    /// A count that is a signed number on the wire.
    pub(crate) fn count(&mut self) -> Decoded<usize> {
        usize::try_from(self.i32()?).map_err(|_| Problem::OutOfRange)
    }

    /// A length and as many bytes; `None` when the length is -1.
    pub(crate) fn nullable(&mut self) -> Decoded<Option<Field<'a>>> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| Problem::OutOfRange)?;
                self.take(length).map(Some)
            }
        }
    }

    /// Bytes up to a zero byte, which is consumed.
    pub(crate) fn c_string(&mut self) -> Decoded<Field<'a>> {
        let length =
            self.field.bytes().iter().position(|byte| *byte == 0).ok_or(Problem::Truncated)?;
        let text = self.take(length)?;
        self.take(1)?;
        Ok(text)
    }

    pub(crate) fn finish(self) -> Decoded<()> {
        if self.remaining() == 0 { Ok(()) } else { Err(Problem::Trailing) }
    }
}
