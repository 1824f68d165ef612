//! Confluent's frame of a record: a zero, then the number of its schema.

use cdc_core::{Error, Origin, Retry};

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'a> {
    /// The number that the registry gave the schema.
    pub schema: u32,
    /// The record.
    pub record: &'a [u8],
}

/// The bytes are not framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unframed {
    /// The first byte is not zero.
    #[error("the record does not begin with the zero of a registered schema")]
    Magic,
    /// They end inside the frame.
    #[error("the record ends before the number of its schema")]
    Short,
}

impl From<Unframed> for Error {
    fn from(unframed: Unframed) -> Self {
        Self::new("CDC-4242", Origin::Transport, Retry::Never, unframed.to_string()).with_remedy(
            "choose JSON for this topic, or read one whose records a registry's serializer wrote",
        )
    }
}

const MAGIC: u8 = 0;

/// Appends the frame of a record of this schema; the record follows.
pub fn frame(schema: u32, out: &mut Vec<u8>) {
    out.push(MAGIC);
    out.extend_from_slice(&schema.to_be_bytes());
}

/// Takes the frame off.
///
/// # Errors
/// When the bytes have none.
pub fn unframe(bytes: &[u8]) -> Result<Framed<'_>, Unframed> {
    let (magic, rest) = bytes.split_first().ok_or(Unframed::Short)?;
    if *magic != MAGIC {
        return Err(Unframed::Magic);
    }
    let (schema, record) = rest.split_first_chunk().ok_or(Unframed::Short)?;
    Ok(Framed { schema: u32::from_be_bytes(*schema), record })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_zero_and_a_number() {
        let mut out = Vec::new();
        frame(0x0102_0304, &mut out);
        out.push(9);
        assert_eq!(out, [0, 1, 2, 3, 4, 9]);
        assert_eq!(unframe(&out), Ok(Framed { schema: 0x0102_0304, record: &[9] }));
        assert_eq!(unframe(b""), Err(Unframed::Short));
        assert_eq!(unframe(b"\0\x01\x02\x03"), Err(Unframed::Short));
        assert_eq!(unframe(b"{\"a\":1}"), Err(Unframed::Magic));
    }
}
