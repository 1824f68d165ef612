//! Begin, end and order of transactions, counted from the records of their changes.

use super::envelope::{InTransaction, Times};
use super::notice::{Notice, TransactionEnd};
use super::source::is_outside;
use cdc_core::{Change, Operation};

/// Counts the records of the transaction at hand.
///
/// It has to see each transaction from its first change on: what a reader sees of one after a start in
/// the middle is counted from there.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    commit: u128,
    number: u64,
    counts: TransactionEnd,
}

impl Transactions {
    /// Is the change part of a transaction that is told of?
    pub(super) fn covers(change: &Change) -> bool {
        change.operation != Operation::Snapshot && !is_outside(change)
    }

    /// Opens the change's transaction if it is not open. What begins, if it does.
    pub(super) fn begin(&mut self, change: &Change) -> Option<Notice> {
        let commit = change.position.commit;
        if self.open.as_ref().is_some_and(|open| open.commit == commit) {
            return None;
        }
        let number = change.transaction.id;
        self.open = Some(Open { commit, number, counts: TransactionEnd::default() });
        Some(Notice::Transaction {
            id: format!("{number}:{}", change.log_address),
            millis: millis(change),
            end: None,
        })
    }

    /// Counts one record of the change.
    pub(super) fn count(&mut self, change: &Change) -> Option<InTransaction> {
        let open = self.open.as_mut()?;
        let name = change.schema.table.to_string();
        let tables = &mut open.counts.tables;
        let index = tables.iter().position(|(table, _)| *table == name).unwrap_or(tables.len());
        if index == tables.len() {
            tables.push((name, 0));
        }
        let (_, count) = tables.get_mut(index)?;
        *count += 1;
        open.counts.event_count += 1;
        Some(InTransaction {
            id: format!("{}:{}", open.number, change.log_address),
            total_order: open.counts.event_count,
            data_collection_order: *count,
        })
    }

    /// Closes the change's transaction if the change ends it. What ends, if it does.
    pub(super) fn end(&mut self, change: &Change) -> Option<Notice> {
        if !change.ends_transaction {
            return None;
        }
        let open = self.open.take()?;
        Some(Notice::Transaction {
            id: format!("{}:{}", open.number, change.position.commit),
            millis: millis(change),
            end: Some(open.counts),
        })
    }
}

fn millis(change: &Change) -> i64 {
    Times::of(change.transaction.commit_time).millis.unwrap_or(i64::MAX)
}
