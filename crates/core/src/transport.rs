//! The contract of a transport: the durable, ordered log between capture and delivery.

use crate::{LogId, Offset, Position, Record, RecordBatch, Result, TopicPartition};
use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

/// How far order reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// One sequence for the whole pipeline: commit order, transactions contiguous.
    Total,
    /// One sequence a partition: order holds per key, transactions are spread.
    PerPartition,
}

/// Whether the log takes records now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Yes.
    #[default]
    Writable,
    /// Appends wait; they go on by themselves once the reason is gone.
    Paused {
        /// What is wrong and what helps: `disk full: …`.
        reason: String,
    },
}

/// Resolves once the appended records survive a crash, with the offset after the last of them.
/// Receipts of one partition resolve in append order. A dropped sender counts as a failure.
#[derive(Debug)]
pub struct AppendReceipt(pub oneshot::Receiver<Result<Offset>>);

/// An ordered, durable log per partition. Duplicates are allowed; gaps and reordering are not.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Identity of the log that offsets belong to.
    fn log(&self) -> LogId;

    /// How far order reaches.
    fn ordering(&self) -> Ordering;

    /// The partition that a record of this topic and key belongs to; fixed for the topic's life.
    fn partition_of(&self, topic: &str, key: &[u8]) -> TopicPartition;

    /// Takes records in the given order, waiting for room. `Ok` means accepted, not durable: the
    /// receipt tells that. After one failed receipt every later append to the partition fails until
    /// the transport is opened anew, so that a failure never leaves a gap.
    async fn append(&self, to: &TopicPartition, records: Vec<Record>) -> Result<AppendReceipt>;

    /// Newest durable position of a partition, so that capture need not append it again; `None` when
    /// it is empty or this transport cannot tell.
    async fn newest(&self, of: &TopicPartition) -> Result<Option<Position>>;

    /// Joins the consumers called `group` and shares the partitions with them.
    async fn join(&self, group: &str) -> Result<Membership>;

    /// Opens a reader at an offset. An offset that retention has passed is an error, never skipped.
    async fn read(&self, of: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>>;

    /// Every consumer is past `before`: the records below may go when retention wants their room.
    async fn release(&self, of: &TopicPartition, before: Offset) -> Result<()>;

    /// Offset after the newest durable record.
    async fn end(&self, of: &TopicPartition) -> Result<Offset>;

    /// Whether appends go through now.
    fn condition(&self) -> watch::Receiver<Condition>;
}

/// Reads one partition in order.
#[async_trait]
pub trait PartitionReader: Send {
    /// Waits for at least one durable record and returns up to about `bytes_max` bytes of them; a
    /// larger single record comes alone. Cancel-safe: a cancelled call has consumed nothing.
    async fn next(&mut self, bytes_max: usize) -> Result<RecordBatch>;
}

/// One consumer's share of the partitions.
#[derive(Debug)]
pub struct Membership {
    /// Partitions that come and go, in order; the first event assigns the first share.
    pub events: mpsc::Receiver<MembershipEvent>,
}

/// What happened to a consumer's share.
#[derive(Debug)]
pub enum MembershipEvent {
    /// These partitions are this consumer's from now on.
    Assigned(Vec<TopicPartition>),
    /// These are not any more. The consumer commits what it holds, then sends on `done`.
    Revoked {
        /// Which partitions.
        partitions: Vec<TopicPartition>,
        /// Tells the transport that they were let go.
        done: oneshot::Sender<()>,
    },
}

impl Membership {
    /// A share that never changes, for a transport that belongs to one process.
    #[must_use]
    pub fn fixed(partitions: Vec<TopicPartition>) -> (Self, FixedMembership) {
        let (sender, events) = mpsc::channel(1);
        let assigned = sender.try_send(MembershipEvent::Assigned(partitions));
        debug_assert!(assigned.is_ok(), "a fresh channel has room for one event");
        (Self { events }, FixedMembership(sender))
    }
}

/// Keeps a fixed membership alive: while it lives, the share is not revoked.
#[derive(Debug)]
pub struct FixedMembership(
    #[expect(dead_code, reason = "held, not used")] mpsc::Sender<MembershipEvent>,
);
