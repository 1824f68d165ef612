//! Records as they go into and come out of topics, and the header that carries the position.

use bytes::Bytes;
use cdc_core::{Offset, Position, Record};
use rdkafka::message::{Header, Headers as _, Message, OwnedHeaders};
use std::sync::Arc;

/// The header that carries the position of a change: hexadecimal commit and decimal ordinal.
pub const POSITION_HEADER: &str = "cdc.position";

/// Kafka's own bytes around a record, about.
const OVERHEAD_BYTES: usize = 64;

/// One record on its way into a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// `None` for a record without key.
    pub key: Option<Bytes>,
    /// `None` for a tombstone.
    pub value: Option<Bytes>,
    /// Headers beside the one with the position, in order.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// Position of the change.
    pub position: Position,
}

/// An empty key or payload stands for none: no format of ours makes an empty one.
impl From<Record> for Outgoing {
    fn from(record: Record) -> Self {
        let filled = |bytes: Bytes| (!bytes.is_empty()).then_some(bytes);
        Self {
            key: filled(record.key),
            value: filled(record.payload),
            headers: record.headers.into_iter().map(|header| (header.name, header.value)).collect(),
            position: record.position,
        }
    }
}

impl Outgoing {
    /// How much memory it takes on its way, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        length(&self.key) + length(&self.value) + headers + OVERHEAD_BYTES
    }

    pub(crate) fn kafka_headers(&self) -> OwnedHeaders {
        let position = self.position.to_string();
        let first = OwnedHeaders::new_with_capacity(self.headers.len() + 1)
            .insert(Header { key: POSITION_HEADER, value: Some(position.as_bytes()) });
        self.headers.iter().fold(first, |headers, (name, value)| {
            headers.insert(Header { key: name, value: Some(value.as_ref()) })
        })
    }
}

/// One record as it comes out of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Where it is stored.
    pub offset: Offset,
    /// `None` for a record without key.
    pub key: Option<Bytes>,
    /// `None` for a tombstone.
    pub value: Option<Bytes>,
    /// Every header but the one with the position, in order.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// Position of the change; `None` where another program wrote the record.
    pub position: Option<Position>,
    /// Milliseconds since 1970, as the topic has them.
    pub timestamp: Option<i64>,
}

impl Incoming {
    pub(crate) fn bytes(&self) -> usize {
        let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        length(&self.key) + length(&self.value)
    }

    pub(crate) fn from_message(message: &impl Message) -> Self {
        let mut headers = Vec::new();
        let mut position = None;
        for header in message.headers().into_iter().flat_map(|headers| headers.iter()) {
            let value = header.value.unwrap_or_default();
            if header.key == POSITION_HEADER {
                position = parse_position(value);
            } else {
                headers.push((Arc::from(header.key), Bytes::copy_from_slice(value)));
            }
        }
        Self {
            offset: Offset(u64::try_from(message.offset()).unwrap_or_default()),
            key: message.key().map(Bytes::copy_from_slice),
            value: message.payload().map(Bytes::copy_from_slice),
            headers,
            position,
            timestamp: message.timestamp().to_millis(),
        }
    }
}

/// The position in a header's value; `None` for anything that is not one.
#[must_use]
pub fn parse_position(value: &[u8]) -> Option<Position> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rdkafka::message::{OwnedMessage, Timestamp};

    fn stored(outgoing: &Outgoing) -> Incoming {
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| bytes.to_vec());
        Incoming::from_message(&OwnedMessage::new(
            bytes(&outgoing.value),
            bytes(&outgoing.key),
            "t".to_owned(),
            Timestamp::CreateTime(7),
            0,
            12,
            Some(outgoing.kafka_headers()),
        ))
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_went(
            commit: u128, ordinal: u64, key: Option<Vec<u8>>, value: Option<Vec<u8>>,
            headers in prop::collection::vec(("[a-z.]{1,9}", prop::collection::vec(any::<u8>(), 0..9)), 0..4),
        ) {
            let outgoing = Outgoing {
                key: key.map(Bytes::from),
                value: value.map(Bytes::from),
                headers: headers.into_iter().map(|(k, v)| (Arc::from(k), Bytes::from(v))).collect(),
                position: Position::new(commit, ordinal),
            };
            let incoming = stored(&outgoing);
            prop_assert_eq!(incoming.position, Some(outgoing.position));
            prop_assert_eq!(incoming.key, outgoing.key);
            prop_assert_eq!(incoming.value, outgoing.value);
            prop_assert_eq!(incoming.headers, outgoing.headers);
        }

        #[test]
        fn no_header_of_another_program_is_too_strange(value: Vec<u8>) {
            if let Some(position) = parse_position(&value) {
                prop_assert_eq!(parse_position(position.to_string().as_bytes()), Some(position));
            }
        }
    }
}
