//! Rows of the copy, at their place in the stream.

use super::{
    batch::{BYTES_MAX, CHANGES_MAX, since_2000},
    follow::{Follower, Step},
};
use crate::{
    backfill::{Arrival, Finished},
    protocol::Commit,
};
use cdc_core::{
    Change, ChangeBatch, Operation, Position, Result, Row, TableSchema, Transaction,
    status::ConnectorState,
};
use std::sync::Arc;

/// Changes that stand in for the transaction of a watermark, which has none of its own.
pub(super) struct Filling {
    at: Commit,
    transaction: Arc<Transaction>,
    ordinal: u64,
    changes: Vec<Change>,
    bytes: usize,
}

impl Filling {
    pub(super) fn new(at: Commit) -> Self {
        let commit_time = since_2000(at.commit_time);
        let transaction = Arc::new(Transaction { id: 0, commit_time });
        Self { at, transaction, ordinal: 0, changes: Vec::new(), bytes: 0 }
    }

    /// Adds a change with the image of a row that its operation has.
    fn push(&mut self, schema: &Arc<TableSchema>, operation: Operation, row: Option<Row>) {
        let (before, after) = match operation {
            Operation::Delete => (row, None),
            _ => (None, row),
        };
        self.ordinal += 1;
        let change = Change {
            schema: Arc::clone(schema),
            operation,
            before,
            after,
            position: Position::new(self.at.commit.commit(), self.ordinal),
            log_address: self.at.commit.0,
            transaction: Arc::clone(&self.transaction),
            ends_transaction: false,
        };
        self.bytes += change.size_bytes();
        self.changes.push(change);
    }

    fn is_full(&self) -> bool {
        self.changes.len() >= CHANGES_MAX || self.bytes >= BYTES_MAX
    }
}

impl Follower<'_> {
    /// Hands over what belongs to the watermark of a piece of work, in a transaction that ends `at`.
    pub(super) async fn fill_in(&mut self, number: u64, at: Commit) -> Result<Step> {
        if let step @ Step::Break(_) = self.hand_over().await? {
            return Ok(step);
        }
        let tables = &self.tables;
        let arrival = self
            .backfill
            .as_mut()
            .and_then(|backfill| backfill.arrive(number, |table| tables.schema(table)));
        let mut filling = Filling::new(at);
        let rows_count = match arrival {
            None => return Ok(Step::Continue(())),
            Some(Arrival::Emptied(tables)) => {
                for schema in &tables {
                    filling.push(schema, Operation::Truncate, None);
                }
                0
            }
            Some(Arrival::Rows { schema: None, .. }) => 0,
            Some(Arrival::Rows { schema: Some(schema), rows, absent }) => {
                let count = (rows.len() + absent.len()) as u64;
                let rows = rows.into_iter().map(|row| (Operation::Snapshot, row));
                let absent = absent.into_iter().map(|row| (Operation::Delete, row));
                for (operation, row) in rows.chain(absent) {
                    if filling.is_full()
                        && let step @ Step::Break(_) =
                            self.send_filling(&mut filling, false).await?
                    {
                        return Ok(step);
                    }
                    filling.push(&schema, operation, Some(row));
                }
                self.finish_filling(number, count, Some(&schema), &mut filling);
                return self.send_filling(&mut filling, true).await;
            }
        };
        self.finish_filling(number, rows_count, None, &mut filling);
        self.send_filling(&mut filling, true).await
    }

    fn finish_filling(
        &mut self,
        number: u64,
        rows: u64,
        schema: Option<&Arc<TableSchema>>,
        filling: &mut Filling,
    ) {
        let Some(backfill) = self.backfill.as_mut() else { return };
        let finished = backfill.finish(number, rows);
        let complete = backfill.is_complete();
        if let Some(Finished { table, rows, complete, whole, untold }) = finished {
            if let Some(schema) = schema.filter(|_| untold) {
                // Otherwise nothing would tell the destinations that the table exists.
                filling.push(schema, Operation::Truncate, None);
            }
            if complete {
                tracing::info!(table = %table, rows, "table copied");
            }
            self.reporter.copied(&table, rows, complete);
            if whole {
                self.reporter.members().copied(&table);
            }
        }
        if complete {
            self.reporter.copy_trouble(None);
            *self.backfill = None;
            tracing::info!("snapshot is complete");
            self.reporter.state(ConnectorState::Running, true);
            self.reporter.comparison_due(self.resume.comparison_due);
        }
    }

    /// Says which tables cannot be copied at the moment.
    pub(super) fn show_trouble(&self) {
        if let Some(backfill) = self.backfill.as_ref() {
            self.reporter.copy_trouble(backfill.trouble());
        }
    }

    /// Sends what was gathered, as a transaction of its own. Only the `last` part of a chunk moves the
    /// place to resume from: cut short, the whole chunk is read again.
    pub(super) async fn send_filling(&mut self, filling: &mut Filling, last: bool) -> Result<Step> {
        let mut changes = std::mem::take(&mut filling.changes);
        let size_bytes = std::mem::take(&mut filling.bytes);
        if let Some(newest) = changes.last_mut() {
            newest.ends_transaction = true;
        }
        let at = filling.at;
        let end = match changes.last() {
            Some(newest) => newest.position,
            // Nothing goes out, but what is left to copy has changed.
            None => at.end.heartbeat(),
        };
        let resume = if last { at.end } else { at.commit };
        if last {
            self.confirm_sent(end, at.end);
        }
        let resume = self.resume_at(resume, 0);
        let complete = self.complete();
        let batch = ChangeBatch { changes, end, resume, size_bytes, complete };
        let step = self.send(batch).await?;
        self.note_handed_over(end);
        Ok(step)
    }
}
