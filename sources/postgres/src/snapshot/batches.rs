//! Rows into batches that are bounded by bytes and by age.

use super::{Request, Stop};
use crate::position::{Lsn, snapshot_position};
use bytes::Bytes;
use cdc_core::{
    Change, ChangeBatch, Complete, Operation, Row, TableSchema, Transaction, channel::BatchSender,
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A batch is sent when another row would make it larger; one row alone may be.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// A batch that fills slowly is sent after this.
const BATCH_AGE_MAX: Duration = Duration::from_millis(200);

/// Gathers changes. The last one is always held back, since only the one behind it, or the end of
/// the table, tells whether it ends its transaction.
pub(super) struct Batches<'a> {
    out: &'a BatchSender,
    consistent_point: Lsn,
    resume: Bytes,
    transaction: Arc<Transaction>,
    ordinal: u64,
    changes: Vec<Change>,
    bytes: usize,
    /// As many changes as the last full batch had.
    capacity: usize,
    sent_at: Instant,
}

impl<'a> Batches<'a> {
    pub(super) fn new(
        request: &Request<'_>,
        out: &'a BatchSender,
        transaction: Arc<Transaction>,
    ) -> Self {
        Self {
            out,
            consistent_point: request.consistent_point,
            resume: request.resume.clone(),
            transaction,
            ordinal: 0,
            changes: Vec::new(),
            bytes: 0,
            capacity: 0,
            sent_at: Instant::now(),
        }
    }

    /// Adds a row. Gives back the batch before it when that is full.
    #[inline]
    pub(super) fn push(&mut self, schema: &Arc<TableSchema>, row: Row) -> Option<ChangeBatch> {
        self.add(schema, Operation::Snapshot, Some(row))
    }

    /// Empties the table downstream.
    pub(super) async fn truncate(&mut self, schema: &Arc<TableSchema>) -> Result<(), Stop> {
        match self.add(schema, Operation::Truncate, None) {
            Some(full) => self.send(full).await,
            None => Ok(()),
        }
    }

    #[inline]
    fn add(
        &mut self,
        schema: &Arc<TableSchema>,
        operation: Operation,
        after: Option<Row>,
    ) -> Option<ChangeBatch> {
        self.ordinal += 1;
        let change = Change {
            schema: Arc::clone(schema),
            operation,
            before: None,
            after,
            position: snapshot_position(self.consistent_point, self.ordinal),
            log_address: self.consistent_point.0,
            transaction: Arc::clone(&self.transaction),
            ends_transaction: false,
        };
        let bytes = change.size_bytes();
        let full = self.bytes + bytes > BATCH_BYTES_MAX && !self.changes.is_empty();
        let before = if full { self.take() } else { None };
        if self.changes.capacity() == 0 {
            self.changes.reserve(self.capacity);
        }
        self.bytes += bytes;
        self.changes.push(change);
        before
    }

    fn take(&mut self) -> Option<ChangeBatch> {
        let end = self.changes.last()?.position;
        self.capacity = self.changes.len();
        let changes = std::mem::take(&mut self.changes);
        let size_bytes = std::mem::take(&mut self.bytes);
        let resume = self.resume.clone();
        Some(ChangeBatch { changes, end, resume, size_bytes, complete: Complete::No })
    }

    pub(super) async fn send(&mut self, batch: ChangeBatch) -> Result<(), Stop> {
        let sent = self.out.send(batch).await;
        self.sent_at = Instant::now();
        sent.map_err(|_| Stop::Closed)
    }

    /// Sends what has waited long enough, but for the last change.
    pub(super) async fn send_old(&mut self) -> Result<(), Stop> {
        if self.changes.len() < 2 || self.sent_at.elapsed() < BATCH_AGE_MAX {
            return Ok(());
        }
        let last = self.changes.pop();
        let before = self.take();
        if let Some(last) = last {
            let bytes = last.size_bytes();
            self.bytes = bytes;
            self.changes.push(last);
            if let Some(mut before) = before {
                before.size_bytes = before.size_bytes.saturating_sub(bytes);
                return self.send(before).await;
            }
        }
        Ok(())
    }

    /// The last change of a table ends its transaction.
    pub(super) async fn end_table(&mut self) -> Result<(), Stop> {
        if let Some(last) = self.changes.last_mut() {
            last.ends_transaction = true;
        }
        match self.take() {
            Some(rest) => self.send(rest).await,
            None => Ok(()),
        }
    }
}
