//! The contracts of what a pipeline remembers.

use crate::{
    Checkpoint, LogId, Place, Position, Result, SchemaId, TableSchema, TopicPartition,
    checkpoint::Places,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};

/// How far capture has got: everything up to `position` is durable in the transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureProgress {
    /// The end of the last durable batch.
    pub position: Position,
    /// That batch's `resume` bytes.
    pub resume: Bytes,
}

/// Keeps what a pipeline must remember. Every save is durable on return.
#[async_trait]
pub trait CheckpointStore: Send + Sync + 'static {
    /// Raises and returns the epoch of this pipeline; never below `at_least`. Everything that saved
    /// under an older epoch is refused from now on.
    async fn begin_epoch(&self, at_least: u64) -> Result<u64>;

    /// Capture's progress; `None` before the first save.
    async fn load_capture(&self) -> Result<Option<CaptureProgress>>;

    /// Saves capture's progress. Fails when `epoch` is not the newest.
    async fn save_capture(&self, epoch: u64, progress: &CaptureProgress) -> Result<()>;

    /// The checkpoint of a consumer that cannot keep its own; empty before the first save.
    async fn load(&self, consumer: &str) -> Result<Checkpoint>;

    /// Saves a consumer's checkpoint. Never moves a partition back; fails when its epoch is not the
    /// newest.
    async fn save(&self, consumer: &str, checkpoint: &Checkpoint) -> Result<()>;
}

/// Gives table schemas numbers and keeps them for as long as the pipeline lives.
#[async_trait]
pub trait SchemaStore: Send + Sync + 'static {
    /// Numbers of schemas, in their order. Same schema, same number. All are durable on return, at the price
    /// of one write.
    async fn register(&self, schemas: &[&TableSchema]) -> Result<Vec<SchemaId>>;

    /// The schema of a number.
    async fn get(&self, id: SchemaId) -> Result<Option<Arc<TableSchema>>>;
}

/// A place of a consumer group as it is kept outside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptPlace {
    /// Where the group was. In another log than the one that was asked for its offset is 0.
    pub place: Place,
    /// When it was saved, in milliseconds since 1970.
    pub saved_at_ms: u64,
}

/// Keeps the places of consumer groups outside the log, for when the log has lost a group.
#[async_trait]
pub trait PlaceStore: Send + Sync + 'static {
    /// Saves places of several groups in one step, over what was saved of the same partitions before.
    async fn save(&self, log: LogId, places: &BTreeMap<String, Places>) -> Result<()>;

    /// What was saved last of a group.
    async fn load(&self, log: LogId, group: &str) -> Result<BTreeMap<TopicPartition, KeptPlace>>;

    /// Forgets the places of a group, all or those in one topic. Says how many there were.
    async fn forget(&self, group: &str, topic: Option<&str>) -> Result<u64>;
}
