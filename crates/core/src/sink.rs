//! The contract of a sink.

use crate::{
    Change, Checkpoint, Error, LogId, Offset, Result, TableSchema, TopicPartition,
    checkpoint::Places,
};
use async_trait::async_trait;
use std::sync::Arc;

/// What a sink promises about each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Data and checkpoint are stored in one atomic step.
    ExactlyOnce,
    /// A repeated change has no further effect.
    Idempotent,
    /// A change may arrive again after a failure, with the same identity.
    AtLeastOnce,
}

/// Where a sink may be asked to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitBoundary {
    /// After any change.
    AnyChange,
    /// Only where a source transaction ends, so that readers never see half of one.
    Transaction,
}

/// What is set aside when a sink refuses a change for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParkScope {
    /// The one change; the next one of the same table is delivered.
    Change,
    /// The change and every later one of its table, in order, until an operator retries them.
    Table,
}

/// One change as a sink gets it.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The change.
    pub change: Change,
    /// Topic of its table.
    pub topic: Arc<str>,
    /// Its offset in the batch's partition.
    pub offset: Offset,
}

/// Changes of one partition, in order, none of them delivered before.
#[derive(Clone, Debug)]
pub struct SinkBatch {
    /// The partition that they were read from.
    pub partition: TopicPartition,
    /// At least one.
    pub changes: Vec<Delivered>,
}

/// A write that failed, and how far it got.
#[derive(Debug)]
pub struct WriteError {
    /// What went wrong. `Retry::Never` together with `rejected` parks the change; everything else
    /// closes the sink and tries again.
    pub error: Error,
    /// So many changes from the front of the batch were taken and need not be written again,
    /// provided that the engine then commits; 0 for a sink that rolls back.
    pub accepted: usize,
    /// Index of the one change that the destination refused, where it can be told.
    pub rejected: Option<usize>,
}

impl From<Error> for WriteError {
    fn from(error: Error) -> Self {
        Self { error, accepted: 0, rejected: None }
    }
}

/// Writes changes to one destination.
///
/// Calls come one at a time and in this order: `claim` (again with a higher epoch where the stored one
/// was newer), then any number of `prepare`, `write` and `commit`, then `close`. After an error other
/// than a parked change the engine drops the sink and opens a new one, which starts from what `claim`
/// says.
#[async_trait]
pub trait Sink: Send + 'static {
    /// What this sink promises.
    fn delivery(&self) -> Delivery;

    /// Where it may be asked to commit.
    fn commit_boundary(&self) -> CommitBoundary {
        CommitBoundary::AnyChange
    }

    /// What is parked with a refused change.
    fn park_scope(&self) -> ParkScope {
        ParkScope::Change
    }

    /// Does it hold a row for each row of the source, so that its tables must be emptied before a
    /// snapshot of a new log fills them again?
    fn keeps_rows(&self) -> bool {
        false
    }

    /// Makes this session the only writer and returns the checkpoint that is stored with the data,
    /// empty before the first commit; `None` when this sink cannot keep one and the engine must.
    ///
    /// In one atomic step: where the stored epoch is not newer than `epoch`, it becomes `epoch`, so
    /// that every later commit of an older writer fails, and no commit can come between this answer
    /// and the first write. Where it is newer, nothing changes and the answer shows it.
    async fn claim(&mut self, epoch: u64) -> Result<Option<Checkpoint>>;

    /// The same for a sink that several processes share, each with some partitions of the log: makes this
    /// session the only writer of these partitions beside those that it has already, and returns the
    /// places that are stored with their data; those without one are left out. `None` when this sink
    /// cannot keep them. Called instead of `claim`, whenever nothing is uncommitted.
    ///
    /// The newest call wins: from then on every commit of another session for these partitions fails, and
    /// none comes between this answer and the first write. A place of another log than `log` comes with
    /// offset 0: its position still tells what was delivered.
    async fn claim_partitions(
        &mut self,
        _log: LogId,
        _partitions: &[TopicPartition],
    ) -> Result<Option<Places>> {
        Ok(None)
    }

    /// Creates or evolves the destination of one table. Called before the first change under `new`,
    /// also after every start; must do nothing when the destination already fits.
    async fn prepare(&mut self, old: Option<&TableSchema>, new: &Arc<TableSchema>) -> Result<()>;

    /// Takes changes; may buffer. Nothing needs to be durable before `commit`. Memory stays bounded:
    /// a sink that commits whole transactions passes large ones on before their end.
    async fn write(&mut self, batch: &SinkBatch) -> Result<(), WriteError>;

    /// Makes everything written since the last commit durable together with `checkpoint`, or none of
    /// it. Fails when a newer epoch has committed. Where partitions were claimed, the checkpoint holds the
    /// places that moved, and the commit fails when one of them was claimed by another session.
    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()>;

    /// Ends the connection. What was not committed is given up.
    async fn close(self: Box<Self>) -> Result<()>;
}
