//! What a sink has been given and not committed, and when it is time to.

use cdc_core::{Change, Checkpoint, Offset, Place, Position, TopicPartition, sink::CommitBoundary};
use std::{borrow::Cow, collections::BTreeSet, time::Duration};
use tokio::time::Instant;

/// A commit is due after so many changes …
const CHANGES_MAX: u64 = 20_000;
/// … or so many bytes of them …
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// … or so long after the first.
const AGE_MAX: Duration = Duration::from_secs(1);

/// The checkpoint that the next commit stores, and how much it would make durable.
#[derive(Debug)]
pub(crate) struct Progress {
    checkpoint: Checkpoint,
    /// Places that moved since the last commit, where only those are stored.
    moved: Option<BTreeSet<TopicPartition>>,
    boundary: CommitBoundary,
    changes: u64,
    bytes: usize,
    since: Option<Instant>,
    inside_transaction: bool,
}

impl Progress {
    pub(crate) fn new(checkpoint: Checkpoint, boundary: CommitBoundary) -> Self {
        let moved = None;
        let (changes, bytes, since, inside_transaction) = (0, 0, None, false);
        Self { checkpoint, moved, boundary, changes, bytes, since, inside_transaction }
    }

    /// Of a sink that several processes share: partitions come and go, and a commit stores the places
    /// that moved.
    pub(crate) fn shared(checkpoint: Checkpoint) -> Self {
        let moved = Some(BTreeSet::new());
        Self { moved, ..Self::new(checkpoint, CommitBoundary::AnyChange) }
    }

    pub(crate) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// What the next commit stores.
    pub(crate) fn to_store(&self) -> Cow<'_, Checkpoint> {
        let Some(moved) = &self.moved else { return Cow::Borrowed(&self.checkpoint) };
        let Checkpoint { epoch, log, partitions } = &self.checkpoint;
        let place = |at: &TopicPartition| Some((at.clone(), *partitions.get(at)?));
        let partitions = moved.iter().filter_map(place).collect();
        Cow::Owned(Checkpoint { epoch: *epoch, log: *log, partitions })
    }

    /// Has any place moved that is not stored?
    pub(crate) fn has_moved(&self) -> bool {
        self.moved.as_ref().is_some_and(|moved| !moved.is_empty())
    }

    /// A partition is this consumer's from now on.
    pub(crate) fn hold(&mut self, at: TopicPartition, place: Place) {
        self.checkpoint.partitions.insert(at, place);
    }

    /// A partition is another's from now on.
    pub(crate) fn let_go(&mut self, at: &TopicPartition) {
        self.checkpoint.partitions.remove(at);
        if let Some(moved) = &mut self.moved {
            moved.remove(at);
        }
    }

    /// The next commit stores this place again, wherever it is.
    pub(crate) fn touch(&mut self, at: &TopicPartition) {
        if let Some(moved) = &mut self.moved {
            moved.insert(at.clone());
        }
    }

    pub(crate) fn newest(&self, of: &TopicPartition) -> Option<Position> {
        self.checkpoint.partitions.get(of).map(|place| place.position)
    }

    pub(crate) fn next_offset(&self, of: &TopicPartition) -> Offset {
        self.checkpoint.partitions.get(of).map_or(Offset(0), |place| place.offset)
    }

    pub(crate) fn uncommitted(&self) -> u64 {
        self.changes
    }

    /// May the sink be asked to commit here?
    pub(crate) fn at_boundary(&self) -> bool {
        match self.boundary {
            CommitBoundary::AnyChange => true,
            CommitBoundary::Transaction => !self.inside_transaction,
        }
    }

    pub(crate) fn due(&self, now: Instant) -> bool {
        let aged = self.since.is_some_and(|since| now.duration_since(since) >= AGE_MAX);
        self.at_boundary()
            && self.changes > 0
            && (aged || self.changes >= CHANGES_MAX || self.bytes >= BYTES_MAX)
    }

    /// When the oldest uncommitted change makes a commit due.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.since.filter(|_| self.at_boundary()).map(|since| since + AGE_MAX)
    }

    /// The sink has taken this change, or it was set aside.
    pub(crate) fn took(&mut self, from: &TopicPartition, offset: Offset, change: &Change) {
        self.changes += 1;
        self.bytes += change.size_bytes();
        self.since.get_or_insert_with(Instant::now);
        self.moved(from, Offset(offset.0 + 1), Some(change.position));
    }

    /// Does what the sink was given end in the middle of a transaction?
    pub(crate) fn inside_transaction(&mut self, inside: bool) {
        self.inside_transaction = inside;
    }

    /// Everything below `next` is dealt with.
    pub(crate) fn moved(&mut self, at: &TopicPartition, next: Offset, position: Option<Position>) {
        let place = self
            .checkpoint
            .partitions
            .entry(at.clone())
            .or_insert(Place { offset: Offset(0), position: Position::default() });
        let before = *place;
        place.offset = place.offset.max(next);
        place.position = position.map_or(place.position, |p| p.max(place.position));
        if let Some(moved) = &mut self.moved
            && before != *place
            && !moved.contains(at)
        {
            moved.insert(at.clone());
        }
    }

    /// Puts a place into the checkpoint that is no reading place.
    pub(crate) fn mark(&mut self, at: TopicPartition, place: Place) {
        self.touch(&at);
        self.checkpoint.partitions.insert(at, place);
    }

    pub(crate) fn committed(&mut self) -> u64 {
        self.bytes = 0;
        self.since = None;
        if let Some(moved) = &mut self.moved {
            moved.clear();
        }
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Operation, TableId, TableSchema, Timestamp, Transaction};
    use std::sync::Arc;

    fn change(ordinal: u64, ends_transaction: bool) -> Change {
        let table = TableId::new("public", "t");
        let columns = Vec::new();
        let schema =
            TableSchema { table, dialect: "test".into(), columns, key: Vec::new(), number: None };
        Change {
            schema: Arc::new(schema),
            operation: Operation::Insert,
            before: None,
            after: None,
            position: Position::new(1, ordinal),
            log_address: 0,
            transaction: Arc::new(Transaction { id: 1, commit_time: Timestamp::from_micros(0) }),
            ends_transaction,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_is_not_cut_however_long_it_takes() {
        let log = TopicPartition::new("log", 0);
        let mut progress = Progress::new(Checkpoint::default(), CommitBoundary::Transaction);
        progress.took(&log, Offset(0), &change(1, false));
        progress.inside_transaction(true);
        tokio::time::advance(AGE_MAX * 2).await;
        assert!(!progress.due(Instant::now()));
        progress.took(&log, Offset(1), &change(2, true));
        progress.inside_transaction(false);
        assert!(progress.due(Instant::now()));
        assert_eq!(progress.next_offset(&log), Offset(2));
    }

    #[tokio::test(start_paused = true)]
    async fn places_never_move_back() {
        let log = TopicPartition::new("log", 0);
        let mut progress = Progress::new(Checkpoint::default(), CommitBoundary::AnyChange);
        progress.took(&log, Offset(7), &change(7, true));
        progress.moved(&log, Offset(3), Some(Position::new(1, 2)));
        assert_eq!(progress.next_offset(&log), Offset(8));
        assert_eq!(progress.newest(&log), Some(Position::new(1, 7)));
    }
}
