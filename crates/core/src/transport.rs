//! The contract of a transport: the durable, ordered log between capture and delivery.

use crate::{
    LogId, Offset, Position, Record, RecordBatch, Result, TopicPartition, checkpoint::Places,
};
use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How far order reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// One sequence for the whole pipeline: commit order, transactions contiguous. One process has the log.
    Total,
    /// One sequence a partition: order holds per key, transactions are spread. Several processes may
    /// share the partitions, and the log keeps their offsets.
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
    /// the transport is opened anew, so that a failure never leaves a gap. Where records go in
    /// transactions, a writer that [begins](Self::begin) anew may append again.
    async fn append(&self, to: &TopicPartition, records: Vec<Record>) -> Result<AppendReceipt>;

    /// Begins to append under a name, as its only writer: one that began before is shut out where the
    /// log can tell, and what it left half done is settled. Says where the writer goes on.
    async fn begin(&self, _writer: &str) -> Result<Writing> {
        Ok(Writing::default())
    }

    /// What was appended since the last call, at least one record, belongs together, and with it the writer has got to
    /// `place`. Where records go in transactions, they and the place become visible in one step, now or
    /// together with what follows, and only then do their receipts resolve.
    async fn seal(&self, _place: Position) -> Result<()> {
        Ok(())
    }

    /// Newest durable position of a partition, so that capture need not append it again; `None` when
    /// it is empty or this transport cannot tell.
    async fn newest(&self, of: &TopicPartition) -> Result<Option<Position>>;

    /// Joins the consumers of this pipeline that are called `group` and shares the partitions with them.
    async fn join(&self, group: &str) -> Result<Membership>;

    /// Waits until this process is the only holder of a name, among all that are open on this log. A
    /// transport that belongs to one process is so at once.
    async fn lead(&self, _name: &str) -> Result<Lease> {
        Ok(Lease::own())
    }

    /// All partitions that consumers share, so far as they exist.
    async fn partitions(&self) -> Result<Vec<TopicPartition>>;

    /// Where a consumer begins that has no place in a partition yet: at the oldest record that is there.
    async fn first(&self, _of: &TopicPartition) -> Result<Offset> {
        Ok(Offset(0))
    }

    /// Tells the log how far the consumers called `group` have got, for whoever looks for it there, and
    /// for consumers that cannot keep it themselves. Fails when another process has the partitions now.
    /// A log of one process keeps no offsets and does nothing.
    async fn commit(&self, _group: &str, _places: &Places) -> Result<()> {
        Ok(())
    }

    /// What was told so last; partitions without are left out.
    async fn committed(&self, _group: &str, _of: &[TopicPartition]) -> Result<Places> {
        Ok(Places::new())
    }

    /// Places of a group that the log does not know any more, from where they are kept beside it; empty
    /// where nothing is kept. They may be a moment behind what was told.
    async fn kept(&self, _group: &str, _of: &[TopicPartition]) -> Result<Places> {
        Ok(Places::new())
    }

    /// Opens a reader at an offset. An offset that retention has passed is an error, never skipped.
    async fn read(&self, of: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>>;

    /// Every consumer is past `before`: the records below may go when retention wants their room.
    async fn release(&self, of: &TopicPartition, before: Offset) -> Result<()>;

    /// Offset after the newest durable record.
    async fn end(&self, of: &TopicPartition) -> Result<Offset>;

    /// Whether appends go through now.
    fn condition(&self) -> watch::Receiver<Condition>;
}

/// What a writer finds when it [begins](Transport::begin).
#[derive(Debug, Default)]
pub struct Writing {
    /// Do records become visible in transactions, each with the writer's place?
    pub in_transactions: bool,
    /// How far the writers of this name have got: what they appended up to here is there, and nothing
    /// above it. `None` before the first transaction, or where the log keeps no places.
    pub place: Option<Position>,
    /// Cancelled when another writer has begun.
    pub deposed: CancellationToken,
}

/// The right to be the only holder of a name. Dropping it gives it back.
#[derive(Debug)]
pub struct Lease {
    /// Cancelled when another process may hold the name: what needs it must stop at once.
    pub lost: CancellationToken,
    #[expect(dead_code, reason = "held, not used")]
    held: Option<oneshot::Sender<()>>,
}

impl Lease {
    /// A lease that nobody else can ask for.
    #[must_use]
    pub fn own() -> Self {
        Self { lost: CancellationToken::new(), held: None }
    }

    /// A lease and what becomes ready when it is given back.
    #[must_use]
    pub fn shared(lost: CancellationToken) -> (Self, oneshot::Receiver<()>) {
        let (held, given_back) = oneshot::channel();
        (Self { lost, held: Some(held) }, given_back)
    }
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
