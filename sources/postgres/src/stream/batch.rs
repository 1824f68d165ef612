//! Gathers changes into batches, and knows which of them ends its transaction.

use super::messages::lone_commit;
use crate::{
    position::Lsn,
    protocol::{Begin, Commit},
};
use cdc_core::{Change, Operation, Position, Row, TableSchema, Timestamp, Transaction};
use std::sync::Arc;

/// A batch is sent once it holds this many changes or bytes.
pub(super) const CHANGES_MAX: usize = 8192;
pub(super) const BYTES_MAX: usize = 1024 * 1024;

/// What was received may be this many times what is captured of it before a batch is sent early.
const RECEIVED_PER_BYTE: usize = 4;

/// Seconds from 1970 to 2000, where the server's clock starts.
pub(super) const SECONDS_1970_TO_2000: i64 = 946_684_800;

/// Changes that were received and not handed over yet.
///
/// The newest change of an open transaction is held back: only the next message tells whether it
/// ends its transaction.
#[derive(Debug)]
pub(super) struct Gathered {
    changes: Vec<Change>,
    bytes: usize,
    /// Received bytes that the values in `changes` may keep alive, with all that lies between them.
    received: usize,
    held: Option<Change>,
    open: Option<Open>,
    /// End of `changes` and where to resume behind it.
    end: Option<End>,
    /// The newest end of a transaction in `changes`.
    whole: Option<End>,
    /// Changes up to here were handed over before; they come again after a reconnect.
    skip_through: Position,
    /// Everything before this address was received, by transactions without changes for us too.
    complete: Lsn,
}

#[derive(Debug)]
struct Open {
    commit: Lsn,
    ordinal: u64,
    transaction: Arc<Transaction>,
}

/// Where a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Position of its last change.
    pub(super) position: Position,
    /// Where the stream goes on after it.
    pub(super) resume: Lsn,
    /// Changes of the transaction at `resume` that are in this batch or an earlier one.
    pub(super) ordinal: u64,
}

/// Changes to hand over.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) changes: Vec<Change>,
    pub(super) bytes: usize,
    pub(super) end: End,
    /// The newest end of a transaction in it: what may be confirmed once that is durable.
    pub(super) whole: Option<End>,
}

/// A row change on its way into a batch.
pub(crate) struct RowChange {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) operation: Operation,
    pub(crate) before: Option<Row>,
    pub(crate) after: Option<Row>,
    pub(crate) address: Lsn,
}

/// A message that belongs to no transaction.
pub(super) struct LoneMessage {
    pub(super) schema: Arc<TableSchema>,
    pub(super) row: Row,
    /// Address behind it.
    pub(super) end: Lsn,
    pub(super) received_at: Timestamp,
}

/// A change arrived outside of a transaction, or a lone message inside of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfOrder;

impl Gathered {
    pub(super) fn new(from: Lsn, skip_through: Position) -> Self {
        Self {
            changes: Vec::new(),
            bytes: 0,
            received: 0,
            held: None,
            open: None,
            end: None,
            whole: None,
            skip_through,
            complete: from,
        }
    }

    /// Messages of so many bytes follow, of which values may become slices.
    pub(super) fn arrived(&mut self, bytes: usize) {
        // What arrived before the first change is kept alive by nothing.
        let before = if self.is_empty() { 0 } else { self.received };
        self.received = before.saturating_add(bytes);
    }

    pub(super) fn begin(&mut self, begin: Begin) -> Result<(), OutOfOrder> {
        if self.open.is_some() {
            return Err(OutOfOrder);
        }
        let commit_time = since_2000(begin.commit_time);
        let transaction = Arc::new(Transaction { id: u64::from(begin.xid), commit_time });
        self.open = Some(Open { commit: begin.commit, ordinal: 0, transaction });
        Ok(())
    }

    /// Counts the next change of the transaction, and says whether it is wanted.
    #[inline]
    pub(super) fn count(&mut self) -> Result<bool, OutOfOrder> {
        let open = self.open.as_mut().ok_or(OutOfOrder)?;
        open.ordinal += 1;
        Ok(Position::new(open.commit.commit(), open.ordinal) > self.skip_through)
    }

    /// Adds the change that was counted last.
    pub(super) fn push(&mut self, row: RowChange) -> Result<(), OutOfOrder> {
        let open = self.open.as_ref().ok_or(OutOfOrder)?;
        let change = Change {
            schema: row.schema,
            operation: row.operation,
            before: row.before,
            after: row.after,
            position: Position::new(open.commit.commit(), open.ordinal),
            log_address: row.address.0,
            transaction: Arc::clone(&open.transaction),
            ends_transaction: false,
        };
        let resume = open.commit;
        self.release_held(resume, false);
        self.bytes += change.size_bytes();
        self.held = Some(change);
        Ok(())
    }

    /// Adds a message that belongs to no transaction. It is whole in itself.
    pub(super) fn lone(&mut self, message: LoneMessage) -> Result<(), OutOfOrder> {
        if self.open.is_some() {
            return Err(OutOfOrder);
        }
        self.complete = self.complete.max(message.end);
        let position = Position::new(lone_commit(message.end), 1);
        if position <= self.skip_through {
            return Ok(());
        }
        let change = Change {
            schema: message.schema,
            operation: Operation::Message,
            before: None,
            after: Some(message.row),
            position,
            log_address: message.end.0,
            transaction: Arc::new(Transaction { id: 0, commit_time: message.received_at }),
            ends_transaction: false,
        };
        self.bytes += change.size_bytes();
        self.held = Some(change);
        self.release_held(message.end, true);
        Ok(())
    }

    pub(super) fn commit(&mut self, commit: Commit) -> Result<(), OutOfOrder> {
        let open = self.open.take().ok_or(OutOfOrder)?;
        if open.commit != commit.commit {
            return Err(OutOfOrder);
        }
        self.release_held(commit.end, true);
        self.complete = self.complete.max(commit.end);
        Ok(())
    }

    fn release_held(&mut self, resume: Lsn, whole: bool) {
        if let Some(mut change) = self.held.take() {
            change.ends_transaction = whole;
            let ordinal = if whole { 0 } else { change.position.ordinal };
            let end = End { position: change.position, resume, ordinal };
            self.end = Some(end);
            if whole {
                self.whole = Some(end);
            }
            self.changes.push(change);
        }
    }

    /// Is it time to hand over, whatever the transaction's state?
    pub(super) fn is_full(&self) -> bool {
        self.changes.len() >= CHANGES_MAX
            || (self.bytes.max(self.received / RECEIVED_PER_BYTE) >= BYTES_MAX
                && !self.changes.is_empty())
    }

    /// The number of the open transaction; 0 without one.
    pub(super) fn xid(&self) -> u32 {
        let id = self.open.as_ref().map_or(0, |open| open.transaction.id);
        u32::try_from(id).unwrap_or(0)
    }

    /// Is a transaction open?
    pub(super) fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// Is there nothing to hand over, now or at the next commit?
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.held.is_none()
    }

    /// Everything before this address was received.
    pub(super) fn complete(&self) -> Lsn {
        self.complete
    }

    /// The server has sent everything before `end`, outside of a transaction.
    pub(super) fn reached(&mut self, end: Lsn) {
        if self.open.is_none() {
            self.complete = self.complete.max(end);
        }
    }

    /// Where the stream has to start again so that nothing is missed that was not handed over.
    pub(super) fn restart(&self) -> Lsn {
        self.open.as_ref().map_or(self.complete, |open| open.commit)
    }

    /// Time of the newest change's commit.
    pub(super) fn newest_commit_time(&self) -> Option<Timestamp> {
        self.changes.last().map(|change| change.transaction.commit_time)
    }

    /// Takes what can be handed over. The held change stays.
    pub(super) fn take(&mut self) -> Option<Taken> {
        let end = self.end.take()?;
        let held = self.held.as_ref().map_or(0, Change::size_bytes);
        let bytes = self.bytes.saturating_sub(held).max(self.received);
        self.bytes = held;
        self.received = 0;
        let capacity = self.changes.len();
        let changes = std::mem::replace(&mut self.changes, Vec::with_capacity(capacity));
        Some(Taken { changes, bytes, end, whole: self.whole.take() })
    }
}

/// A time of the server, in microseconds since 2000.
pub(super) fn since_2000(micros: i64) -> Timestamp {
    let time = Timestamp::from_micros(micros);
    Timestamp { seconds: time.seconds + SECONDS_1970_TO_2000, ..time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::TableId;
    use proptest::prelude::*;

    fn schema() -> Arc<TableSchema> {
        Arc::new(TableSchema {
            table: TableId::new("public", "t"),
            dialect: "postgres".to_owned(),
            columns: Vec::new(),
            key: Vec::new(),
            number: None,
        })
    }

    fn begin(commit: u64) -> Begin {
        Begin { commit: Lsn(commit), commit_time: 0, xid: 7 }
    }

    fn commit(commit: u64) -> Commit {
        Commit { commit: Lsn(commit), end: Lsn(commit + 8), commit_time: 0 }
    }

    fn insert(gathered: &mut Gathered, schema: &Arc<TableSchema>) {
        if gathered.count().unwrap() {
            gathered
                .push(RowChange {
                    schema: Arc::clone(schema),
                    operation: Operation::Insert,
                    before: None,
                    after: Some(Box::default()),
                    address: Lsn(1),
                })
                .unwrap();
        }
    }

    proptest! {
        /// However transactions are cut into batches, every change comes once, in order, and exactly
        /// the last one of each transaction says so.
        #[test]
        fn batches_keep_transactions_apart(
            sizes in prop::collection::vec(0_u64..6, 1..12), takes: Vec<bool>,
        ) {
            let schema = schema();
            let mut gathered = Gathered::new(Lsn(1), Position::default());
            let mut takes = takes.into_iter().cycle();
            let mut seen = Vec::new();
            for (number, size) in sizes.iter().enumerate() {
                let address = 100 * (number as u64 + 1);
                gathered.begin(begin(address)).unwrap();
                for _ in 0..*size {
                    insert(&mut gathered, &schema);
                    if takes.next() == Some(true)
                        && let Some(taken) = gathered.take()
                    {
                        prop_assert_eq!(Some(taken.end.position), taken.changes.last().map(|c| c.position));
                        prop_assert!(taken.end.resume <= Lsn(address));
                        seen.extend(taken.changes);
                    }
                }
                prop_assert_eq!(gathered.restart(), Lsn(address));
                gathered.commit(commit(address)).unwrap();
                prop_assert_eq!(gathered.restart(), Lsn(address + 8));
            }
            if let Some(taken) = gathered.take() {
                prop_assert_eq!(taken.whole, Some(taken.end));
                seen.extend(taken.changes);
            }
            prop_assert!(gathered.is_empty());
            let expected: Vec<(Position, bool)> = sizes
                .iter()
                .enumerate()
                .flat_map(|(number, size)| {
                    (1..=*size).map(move |ordinal| {
                        (Position::new(100 * (number as u128 + 1), ordinal), ordinal == *size)
                    })
                })
                .collect();
            let seen: Vec<(Position, bool)> =
                seen.iter().map(|change| (change.position, change.ends_transaction)).collect();
            prop_assert_eq!(seen, expected);
        }

        /// A stream that is started again where `restart` says repeats nothing and misses nothing.
        #[test]
        fn a_restart_in_the_middle_neither_repeats_nor_skips(size in 1_u64..20, cut in 0_u64..20) {
            let cut = cut.min(size);
            let schema = schema();
            let mut first = Gathered::new(Lsn(1), Position::default());
            first.begin(begin(100)).unwrap();
            for _ in 0..cut {
                insert(&mut first, &schema);
            }
            let mut seen: Vec<u64> = Vec::new();
            let mut skip = Position::default();
            if let Some(taken) = first.take() {
                skip = taken.end.position;
                seen.extend(taken.changes.iter().map(|change| change.position.ordinal));
            }
            prop_assert_eq!(first.restart(), Lsn(100));
            let mut second = Gathered::new(first.restart(), skip);
            second.begin(begin(100)).unwrap();
            for _ in 0..size {
                insert(&mut second, &schema);
            }
            second.commit(commit(100)).unwrap();
            if let Some(taken) = second.take() {
                seen.extend(taken.changes.iter().map(|change| change.position.ordinal));
            }
            prop_assert_eq!(seen, (1..=size).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn messages_out_of_order_are_refused() {
        let mut gathered = Gathered::new(Lsn(1), Position::default());
        assert_eq!(gathered.count(), Err(OutOfOrder));
        assert_eq!(gathered.commit(commit(5)), Err(OutOfOrder));
        gathered.begin(begin(5)).unwrap();
        assert_eq!(gathered.begin(begin(6)), Err(OutOfOrder));
        assert_eq!(gathered.commit(commit(9)), Err(OutOfOrder));
    }

    #[test]
    fn a_keepalive_inside_a_transaction_completes_nothing() {
        let mut gathered = Gathered::new(Lsn(1), Position::default());
        gathered.reached(Lsn(50));
        assert_eq!(gathered.complete(), Lsn(50));
        gathered.begin(begin(60)).unwrap();
        gathered.reached(Lsn(70));
        assert_eq!(gathered.complete(), Lsn(50));
    }

    #[test]
    fn a_batch_fills_up() {
        let schema = schema();
        let mut gathered = Gathered::new(Lsn(1), Position::default());
        gathered.begin(begin(5)).unwrap();
        for _ in 0..CHANGES_MAX {
            assert!(!gathered.is_full());
            insert(&mut gathered, &schema);
        }
        insert(&mut gathered, &schema);
        assert!(gathered.is_full());
        assert_eq!(gathered.take().unwrap().changes.len(), CHANGES_MAX);
        assert!(!gathered.is_full() && !gathered.is_empty());
    }

    #[test]
    fn few_changes_among_much_else_are_handed_over_early() {
        let schema = schema();
        let mut gathered = Gathered::new(Lsn(1), Position::default());
        gathered.arrived(1 << 30);
        gathered.begin(begin(5)).unwrap();
        gathered.arrived(1 << 10);
        insert(&mut gathered, &schema);
        insert(&mut gathered, &schema);
        assert!(!gathered.is_full());
        gathered.arrived(RECEIVED_PER_BYTE * BYTES_MAX);
        assert!(gathered.is_full());
        assert!(gathered.take().unwrap().bytes > BYTES_MAX);
        assert!(!gathered.is_full());
    }

    #[test]
    fn times_start_in_2000() {
        assert_eq!(since_2000(0), Timestamp { seconds: SECONDS_1970_TO_2000, nanos: 0 });
        assert_eq!(since_2000(-1).nanos, 999_999_000);
    }
}
