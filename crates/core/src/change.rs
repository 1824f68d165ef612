//! Committed changes, as sources emit them.

use crate::{Position, Row, TableSchema, Timestamp, Value};
use bytes::Bytes;
use std::sync::Arc;

/// What happened to a row or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The row was read by a snapshot.
    Snapshot,
    /// The row was inserted.
    Insert,
    /// The row was updated.
    Update,
    /// The row was deleted.
    Delete,
    /// All rows of the table were removed at once. Has neither `before` nor `after`.
    Truncate,
    /// A message was put into the database's log; `after` holds its prefix and its content. Its table
    /// is [`TableId::messages`](crate::TableId::messages), and no row anywhere is touched.
    Message,
}

/// The transaction that a change was committed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The database's own number of it; 0 for everything that a snapshot sends, and for a message
    /// that belongs to no transaction.
    pub id: u64,
    /// When it was committed, by the database's clock.
    pub commit_time: Timestamp,
}

/// One committed change of one row, of one whole table when it is a truncate, or a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The table, in the schema version that the change was written under.
    pub schema: Arc<TableSchema>,
    /// What happened.
    pub operation: Operation,
    /// The row before, as far as the database logged it: `Value::Unchanged` marks what it did not.
    pub before: Option<Row>,
    /// The row after.
    pub after: Option<Row>,
    /// Where it sits; grows from change to change.
    pub position: Position,
    /// The change's own address in the database's log, for people and for envelopes.
    pub log_address: u64,
    /// The transaction it belongs to. Rows of one snapshot share one.
    pub transaction: Arc<Transaction>,
    /// Is it the last change of its transaction? Rows of a snapshot are cut into transactions of any size.
    pub ends_transaction: bool,
}

impl Change {
    /// The row that identifies the change: `after`, or `before` where nothing remains.
    #[must_use]
    pub fn row(&self) -> Option<&Row> {
        self.after.as_ref().or(self.before.as_ref())
    }

    /// Approximate bytes that the change holds in memory.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let row = |row: &Option<Row>| {
            row.as_ref().map_or(0, |values| {
                values.iter().map(|v| size_of::<Value>() + v.heap_bytes()).sum::<usize>()
            })
        };
        size_of::<Self>() + row(&self.before) + row(&self.after)
    }
}

/// How much of everything up to a place is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Complete {
    /// Not every row: the first copy of a table is under way.
    No,
    /// Every row. Rows that are gone from the source may not have been told of
    /// ([`comparison_due`](crate::status::SourceStatus::comparison_due)).
    Rows,
    /// All of it.
    Yes,
}

/// Changes in commit order. A batch without changes is a heartbeat: `end` moved, nothing changed.
#[derive(Clone, Debug)]
pub struct ChangeBatch {
    /// In the order of their positions.
    pub changes: Vec<Change>,
    /// Everything up to here is in this batch or an earlier one.
    pub end: Position,
    /// What the source needs to resume after `end`; opaque to everyone else.
    pub resume: Bytes,
    /// Bytes that the batch holds in memory, for budgets.
    pub size_bytes: usize,
    /// Do this batch and those before it hold everything up to `end`?
    pub complete: Complete,
}
