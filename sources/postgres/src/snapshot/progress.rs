//! How far a snapshot is, for people.

use super::plan::Plan;
use cdc_core::status::{ConnectorState, SnapshotProgress, SourceStatus};
use std::time::Duration;
use tokio::{sync::watch, time::Instant};

/// Progress is said no more often.
const INTERVAL: Duration = Duration::from_millis(200);

pub(super) struct Progress<'a> {
    status: &'a watch::Sender<SourceStatus>,
    rows: Vec<u64>,
    said_at: Instant,
}

impl<'a> Progress<'a> {
    pub(super) fn start(status: &'a watch::Sender<SourceStatus>, plans: &[Plan]) -> Self {
        let tables = plans.iter().map(|plan| SnapshotProgress {
            table: plan.schema.table.clone(),
            rows: 0,
            rows_estimated: plan.rows_estimated,
            done: false,
        });
        let tables: Vec<SnapshotProgress> = tables.collect();
        status.send_modify(|status| {
            status.state = ConnectorState::Snapshotting;
            status.snapshot = tables;
        });
        Self { status, rows: vec![0; plans.len()], said_at: Instant::now() }
    }

    /// So many rows of a table have been read by now.
    pub(super) fn rows(&mut self, index: usize, rows: u64) {
        if let Some(known) = self.rows.get_mut(index) {
            *known = rows;
        }
        if self.said_at.elapsed() >= INTERVAL {
            self.say(index, false);
        }
    }

    /// A table is complete.
    pub(super) fn done(&mut self, index: usize) {
        self.say(index, true);
    }

    /// Rows of a table read so far.
    pub(super) fn read(&self, index: usize) -> u64 {
        self.rows.get(index).copied().unwrap_or(0)
    }

    fn say(&mut self, index: usize, done: bool) {
        let rows = self.read(index);
        self.status.send_modify(|status| {
            if let Some(table) = status.snapshot.get_mut(index) {
                table.rows = rows;
                table.done = done;
            }
        });
        self.said_at = Instant::now();
    }
}
