//! Backend messages in a chunk of received bytes: a tag, a length, a payload.

use super::Malformed;
use bytes::Bytes;
use std::ops::Range;

/// No message is longer: the server's own limit for one value, and its envelope.
pub const MESSAGE_BYTES_MAX: usize = (1 << 30) + (1 << 16);

/// Bytes of a tag and a length.
const HEADER_BYTES: usize = 5;

/// One or more whole backend messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The messages, one behind the other.
    pub bytes: Bytes,
}

impl Chunk {
    /// Tag and payload of each message, in order.
    #[must_use]
    pub fn messages(&self) -> Messages<'_> {
        Messages { bytes: &self.bytes, at: 0 }
    }

    /// The payloads of the CopyData messages: rows of a COPY.
    pub fn rows(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.messages().filter(|(tag, _)| *tag == b'd').map(|(_, payload)| payload)
    }
}

/// Walks the messages of a chunk; payloads are ranges of the chunk.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Messages<'_> {
    /// Where the first message ends, when all of it is there.
    pub(crate) fn first(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        Ok(message(bytes, 0)?.map(|(_, end)| end))
    }
}

impl Iterator for Messages<'_> {
    type Item = (u8, Range<usize>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (tag, end) = message(self.bytes, self.at).ok()??;
        let payload = self.at + HEADER_BYTES..end;
        self.at = end;
        Some((tag, payload))
    }
}

/// How many bytes at the front of `bytes` are whole messages, and how long the message behind them
/// will be once it is whole; 0 when its header has not arrived yet.
pub fn whole_messages(bytes: &[u8]) -> Result<(usize, usize), Malformed> {
    let mut at = 0;
    while let Some((_, end)) = message(bytes, at)? {
        at = end;
    }
    let pending = match header(bytes, at)? {
        Some((_, length)) => length,
        None => 0,
    };
    Ok((at, pending))
}

/// Tag and end of the message at `at`, when all of it is there.
#[inline]
fn message(bytes: &[u8], at: usize) -> Result<Option<(u8, usize)>, Malformed> {
    let Some((tag, length)) = header(bytes, at)? else { return Ok(None) };
    let end = at + length;
    Ok((end <= bytes.len()).then_some((tag, end)))
}

/// Tag and whole length of the message at `at`, when its header is there.
#[inline]
fn header(bytes: &[u8], at: usize) -> Result<Option<(u8, usize)>, Malformed> {
    let Some(&[tag, a, b, c, d]) = bytes.get(at..at + HEADER_BYTES) else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(Malformed::new(format!("a message of {length} bytes")));
    }
    Ok(Some((tag, length + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(messages: &[(u8, Vec<u8>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (tag, payload) in messages {
            out.push(*tag);
            out.extend_from_slice(&u32::try_from(payload.len() + 4).unwrap().to_be_bytes());
            out.extend_from_slice(payload);
        }
        out
    }

    proptest! {
        #[test]
        fn messages_come_back_wherever_the_stream_is_cut(
            messages: Vec<(u8, Vec<u8>)>, cut: prop::sample::Index,
        ) {
            let bytes = framed(&messages);
            let cut = cut.index(bytes.len() + 1);
            let (whole, pending) = whole_messages(&bytes[..cut]).unwrap();
            prop_assert!(whole <= cut);
            prop_assert!(pending == 0 || whole + pending > cut);
            let mut seen = Vec::new();
            for part in [&bytes[..whole], &bytes[whole..]] {
                let chunk = Chunk { bytes: Bytes::copy_from_slice(part) };
                for (tag, payload) in chunk.messages() {
                    seen.push((tag, chunk.bytes[payload].to_vec()));
                }
            }
            prop_assert_eq!(seen, messages);
        }

        #[test]
        fn any_bytes_are_walked_without_panic(bytes: Vec<u8>) {
            if let Ok((whole, _)) = whole_messages(&bytes) {
                prop_assert!(whole <= bytes.len());
            }
            let chunk = Chunk { bytes: Bytes::from(bytes) };
            prop_assert!(chunk.messages().all(|(_, payload)| payload.end <= chunk.bytes.len()));
        }
    }

    #[test]
    fn an_absurd_length_is_refused() {
        assert!(whole_messages(&[b'd', 0, 0, 0, 3]).is_err());
        assert!(whole_messages(&[b'd', 0x7f, 0xff, 0xff, 0xff]).is_err());
        assert_eq!(whole_messages(&[b'd', 0, 0]).unwrap(), (0, 0));
    }
}
