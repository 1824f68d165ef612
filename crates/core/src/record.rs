//! What a transport stores.

use crate::Position;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Identity of one log from its creation to its deletion. Offsets mean nothing in another log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogId(pub uuid::Uuid);

/// A record's place in one partition, counted from 0 without gaps by an embedded log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One ordered sequence of records: a partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number, from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Names a partition of a topic.
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// What a record carries beside its payload. An embedded log does not keep it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Arc<str>,
    /// Its value.
    pub value: Bytes,
}

/// One record on its way into a transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What partitions are chosen by; empty where the transport has only one, and for a record without.
    pub key: Bytes,
    /// The encoded change or schema; empty for a tombstone.
    pub payload: Bytes,
    /// In order.
    pub headers: Vec<Header>,
    /// Position of the change; a schema record carries the newest position before it, so that an
    /// append torn behind it does not look as if it held the change that follows.
    pub position: Position,
}

/// One record as a reader gets it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Where it is stored.
    pub offset: Offset,
    /// The record.
    pub record: Record,
}

/// Records in offset order.
#[derive(Clone, Debug)]
pub struct RecordBatch {
    /// At least one, unless retention left a hole at the end of what was asked for.
    pub records: Vec<StoredRecord>,
    /// Where the next read starts.
    pub next: Offset,
    /// Offset after the newest durable record at the time of the read: `end - next` is the lag.
    pub end: Offset,
}
