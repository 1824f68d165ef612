//! The contract of a format: how changes become a transport's records, and records changes again.

use crate::{Change, Record, Result, SchemaId, StoredRecord, TableSchema};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// One record of a change, before it has a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Topic that it belongs to.
    pub topic: Arc<str>,
    /// The record. Positions of the records of one change grow, so that each is told apart from the
    /// others when some of them were stored already.
    pub record: Record,
}

/// A change that was read back.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The change.
    pub change: Change,
    /// Topic of its table.
    pub topic: Arc<str>,
    /// Number of its schema.
    pub schema: SchemaId,
}

/// Makes records of changes, for one session of a source.
#[async_trait]
pub trait Encoder: Send {
    /// Makes ready for changes under these schemas: numbers or registers them, all new ones at once.
    /// Called before the first change under each, again after any number of others.
    async fn learn(&mut self, schemas: &[&Arc<TableSchema>]) -> Result<()>;

    /// Appends the records of a change to `out`, in order; none where the format leaves it out. An error
    /// that no retry helps concerns this change alone: it is set aside, and what was appended all the same
    /// (the end of its transaction) is kept.
    fn encode(&mut self, change: &Change, out: &mut Vec<Draft>) -> Result<()>;

    /// The number of a change's schema, where a record has to come before the first change under it in
    /// each partition; `None` for a format whose records tell their schema themselves.
    fn announces(&self, _change: &Change) -> Option<SchemaId> {
        None
    }

    /// The payload of that record.
    fn announcement(&mut self, _change: &Change) -> Bytes {
        Bytes::new()
    }
}

/// Makes changes of records, for one reader of a log.
#[async_trait]
pub trait Decoder: Send {
    /// The change of a record; `None` where it holds none.
    async fn decode(&mut self, record: &StoredRecord) -> Result<Option<Decoded>>;
}

/// Both directions of one format.
pub trait Format: Send + Sync + 'static {
    /// A new encoder.
    fn encoder(&self) -> Box<dyn Encoder>;

    /// A new decoder.
    fn decoder(&self) -> Box<dyn Decoder>;
}
