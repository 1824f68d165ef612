//! Numbers and byte strings of the row format.

use crate::DecodeError;
use bytes::{BufMut, Bytes, BytesMut};

pub(super) fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8((value & 0x7f) as u8);
}

pub(super) fn put_zigzag(out: &mut BytesMut, value: i64) {
    #[expect(clippy::cast_sign_loss, reason = "zigzag is a reinterpretation of the bits")]
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(super) fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Reads from the front of a record; what it returns are slices of that record.
pub(super) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub(super) fn new(rest: Bytes) -> Self {
        Self { rest }
    }

    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    pub(super) fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.rest.split_to(length))
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(N)?;
        bytes.as_ref().try_into().map_err(|_| DecodeError::Truncated)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        let mut length = 0_usize;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * u32::try_from(index).unwrap_or(u32::MAX);
            let shifted = bits.checked_shl(shift).filter(|v| v >> shift == bits);
            value |= shifted.ok_or(DecodeError::OutOfRange("a number"))?;
            if byte & 0x80 == 0 {
                length = index + 1;
                break;
            }
        }
        if length == 0 {
            return Err(if self.rest.len() < 10 {
                DecodeError::Truncated
            } else {
                DecodeError::OutOfRange("a number")
            });
        }
        let _consumed = self.take(length)?;
        Ok(value)
    }

    pub(super) fn zigzag(&mut self) -> Result<i64, DecodeError> {
        let value = self.varint()?;
        #[expect(clippy::cast_possible_wrap, reason = "zigzag is a reinterpretation of the bits")]
        let half = (value >> 1) as i64;
        Ok(if value & 1 == 0 { half } else { !half })
    }

    pub(super) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        u32::try_from(self.varint()?).map_err(|_| DecodeError::OutOfRange(what))
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        i32::try_from(self.zigzag()?).map_err(|_| DecodeError::OutOfRange(what))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
        self.take(length)
    }

    /// A count of things that take at least one byte each, so that it cannot ask for more memory
    /// than the record has bytes.
    pub(super) fn count(&mut self) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
        if count > self.rest.len() { Err(DecodeError::Truncated) } else { Ok(count) }
    }
}
