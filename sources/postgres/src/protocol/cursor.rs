//! Reads numbers and strings from a part of a frame, and nothing beyond it.

use std::ops::Range;

/// Bytes that are no message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed replication message: {what}")]
pub struct Malformed {
    /// What was expected or found.
    pub what: String,
}

impl Malformed {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// A place in `frame` that never moves past `end`.
pub(super) struct Cursor<'a> {
    frame: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor over the part of `frame` that `range` names, cut to the frame.
    pub(super) fn new(frame: &'a [u8], range: Range<usize>) -> Self {
        let end = range.end.min(frame.len());
        Self { frame, at: range.start.min(end), end }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn remaining(&self) -> usize {
        self.end.saturating_sub(self.at)
    }

    /// Moves over `length` bytes and says which they were.
    #[inline]
    pub(super) fn skip(&mut self, length: usize) -> Result<Range<usize>, Malformed> {
        let start = self.at;
        match start.checked_add(length) {
            Some(end) if end <= self.end => {
                self.at = end;
                Ok(start..end)
            }
            _ => Err(Malformed::new("it ends early")),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let range = self.skip(N)?;
        let bytes = self.frame.get(range).and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| Malformed::new("it ends early"))
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// Moves over bytes that end with a zero byte, and says which came before it.
    pub(super) fn terminated(&mut self) -> Result<Range<usize>, Malformed> {
        let rest = self.frame.get(self.at..self.end).unwrap_or_default();
        let Some(length) = rest.iter().position(|byte| *byte == 0) else {
            return Err(Malformed::new("a name does not end"));
        };
        let range = self.at..self.at + length;
        self.at = range.end + 1;
        Ok(range)
    }

    /// A string that ends with a zero byte.
    pub(super) fn string(&mut self) -> Result<String, Malformed> {
        let range = self.terminated()?;
        let text = self.frame.get(range).unwrap_or_default().to_vec();
        String::from_utf8(text).map_err(|_| Malformed::new("a name is not UTF-8"))
    }

    /// Fails unless everything was read.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        if self.remaining() == 0 {
            Ok(())
        } else {
            Err(Malformed::new("it is longer than it says"))
        }
    }
}
