//! What a server that streams puts into CopyData, and what it is answered.

use super::{Malformed, cursor::Cursor};
use crate::position::Lsn;
use std::ops::Range;

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamMessage {
    /// A message of the output plugin.
    Data {
        /// The address in the log that the message belongs to.
        start: Lsn,
        /// Where the plugin's message lies in the chunk.
        payload: Range<usize>,
    },
    /// The server is alive and has sent everything up to `end`.
    Keepalive {
        /// Everything before this address was sent or is of no concern.
        end: Lsn,
        /// Does the server ask for a status update at once?
        reply: bool,
    },
}

/// Reads the payload of one CopyData message.
#[inline]
pub fn decode_stream(chunk: &[u8], payload: Range<usize>) -> Result<StreamMessage, Malformed> {
    let mut cursor = Cursor::new(chunk, payload);
    match cursor.u8()? {
        b'w' => {
            let start = Lsn(cursor.u64()?);
            // The end of the log and the server's clock say nothing more in logical replication.
            cursor.skip(16)?;
            let length = cursor.remaining();
            Ok(StreamMessage::Data { start, payload: cursor.skip(length)? })
        }
        b'k' => {
            let end = Lsn(cursor.u64()?);
            cursor.skip(8)?;
            let reply = cursor.u8()? != 0;
            cursor.finish()?;
            Ok(StreamMessage::Keepalive { end, reply })
        }
        tag => Err(Malformed::new(format!("stream message of unknown type {tag}"))),
    }
}

/// A whole CopyData message that tells the server how far we are. `clock` counts microseconds since
/// 2000; `ping` asks for a keepalive at once.
#[must_use]
pub fn status_update(received: Lsn, durable: Lsn, clock: i64, ping: bool) -> [u8; 39] {
    let mut out = [0; 39];
    let parts: [&[u8]; 8] = [
        b"d",
        &38_u32.to_be_bytes(),
        b"r",
        &received.0.to_be_bytes(),
        &durable.0.to_be_bytes(),
        &durable.0.to_be_bytes(),
        &clock.to_be_bytes(),
        &[u8::from(ping)],
    ];
    for (to, from) in out.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn data_and_keepalives_are_read() {
        let mut data = vec![b'w'];
        data.extend_from_slice(&7_u64.to_be_bytes());
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(b"plugin");
        let length = data.len();
        assert_eq!(
            decode_stream(&data, 0..length).unwrap(),
            StreamMessage::Data { start: Lsn(7), payload: 25..31 }
        );
        let mut alive = vec![b'k'];
        alive.extend_from_slice(&9_u64.to_be_bytes());
        alive.extend_from_slice(&[0; 8]);
        alive.push(1);
        assert_eq!(
            decode_stream(&alive, 0..18).unwrap(),
            StreamMessage::Keepalive { end: Lsn(9), reply: true }
        );
        decode_stream(&alive, 0..17).unwrap_err();
        decode_stream(b"x", 0..1).unwrap_err();
    }

    #[test]
    fn a_status_update_is_as_long_as_it_says() {
        let update = status_update(Lsn(3), Lsn(2), -1, true);
        assert_eq!(update[..6], [b'd', 0, 0, 0, 38, b'r']);
        assert_eq!(update[6..14], 3_u64.to_be_bytes());
        assert_eq!(update[14..22], 2_u64.to_be_bytes());
        assert_eq!(update[38], 1);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(StreamMessage::Data { payload, .. }) = decode_stream(&bytes, 0..bytes.len()) {
                prop_assert!(payload.end <= bytes.len());
            }
        }
    }
}
