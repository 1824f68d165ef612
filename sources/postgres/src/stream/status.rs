//! What people see of a stream: its state, its lag, and how its slot fares.

use super::{
    beat,
    members::{self, Membership},
    slot,
};
use crate::{config::Config, connection::SharedSql, position::Lsn, schema::Selection};
use cdc_core::{
    Position, SourceContext, TableId, Timestamp,
    status::{ConnectorState, SnapshotProgress},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::UNIX_EPOCH,
};
use tokio::task::JoinSet;

/// Writes into the status that the engine shows.
pub(crate) struct Reporter<'a> {
    context: &'a SourceContext,
    /// Newest end of the server's log that anyone here has seen.
    server_end: Arc<AtomicU64>,
    /// Counts the batches with changes.
    batches: Arc<AtomicU64>,
    /// What is known of the publication's members.
    members: Membership,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(context: &'a SourceContext) -> Self {
        Self {
            context,
            server_end: Arc::default(),
            batches: Arc::default(),
            members: Membership::default(),
        }
    }

    pub(crate) fn members(&self) -> &Membership {
        &self.members
    }

    pub(crate) fn state(&self, state: ConnectorState, connected: bool) {
        self.context.status.send_modify(|status| {
            status.state = state;
            status.connected = connected;
        });
    }

    /// The stream flows; are tables copied beside it?
    pub(crate) fn streams(&self, copying: bool) {
        let state = if copying { ConnectorState::Snapshotting } else { ConnectorState::Running };
        self.state(state, true);
    }

    pub(crate) fn details(&self, details: BTreeMap<String, String>) {
        self.context.status.send_modify(|status| status.details.extend(details));
    }

    pub(crate) fn warning(&self, warning: Option<String>) {
        self.context.status.send_modify(|status| status.warning = warning);
    }

    /// So many rows of a table have been copied.
    pub(super) fn copied(&self, table: &TableId, rows: u64, done: bool) {
        self.context.status.send_modify(|status| {
            if let Some(known) = status.snapshot.iter_mut().find(|known| known.table == *table) {
                known.rows = rows;
                known.done = done;
            }
        });
    }

    /// Why tables cannot be copied at the moment.
    pub(super) fn copy_trouble(&self, trouble: Option<String>) {
        const DETAIL: &str = "not_copied";
        self.context.status.send_if_modified(|status| match trouble {
            Some(trouble) => {
                status.details.insert(DETAIL.to_owned(), trouble.clone()) != Some(trouble)
            }
            None => status.details.remove(DETAIL).is_some(),
        });
    }

    /// Do the copies rest until an operator says so?
    pub(crate) fn paused(&self, paused: bool) {
        const DETAIL: &str = "snapshot";
        self.context.status.send_if_modified(|status| match paused {
            true => status.details.insert(DETAIL.to_owned(), "paused".to_owned()).is_none(),
            false => status.details.remove(DETAIL).is_some(),
        });
    }

    /// Do destinations have to be compared? Where none can be, nobody is asked to.
    pub(crate) fn comparison_due(&self, due: bool) {
        let due = due && self.context.compares;
        self.context
            .status
            .send_if_modified(|status| std::mem::replace(&mut status.comparison_due, due) != due);
    }

    /// Which tables are being copied, with the rows that they have by the server's statistics.
    pub(crate) fn copying(&self, tables: Vec<SnapshotProgress>) {
        self.context.status.send_modify(|status| status.snapshot = tables);
    }

    /// The server's log reaches at least to `end`.
    pub(super) fn server_end(&self, end: Lsn) {
        self.server_end.fetch_max(end.0, Ordering::Relaxed);
    }

    /// A batch that ends at `position` was handed over.
    pub(super) fn handed_over(&self, position: Position, newest: Option<Timestamp>) {
        let at = Lsn::of(position);
        self.server_end(at);
        let end = Lsn(self.server_end.load(Ordering::Relaxed));
        let lag_ms = newest.map(|commit| self.milliseconds_since(commit));
        if newest.is_some() {
            self.batches.fetch_add(1, Ordering::Relaxed);
        }
        self.context.status.send_modify(|status| {
            status.position = Some(position);
            status.position_text = at.to_string();
            status.lag_bytes = Some(end.bytes_since(at));
            status.lag_ms = Some(lag_ms.unwrap_or(0));
        });
    }

    fn milliseconds_since(&self, commit: Timestamp) -> u64 {
        let now = self.context.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i128::try_from(now.as_millis()).unwrap_or(i128::MAX);
        let then = i128::from(commit.seconds) * 1000 + i128::from(commit.nanos / 1_000_000);
        u64::try_from(now - then).unwrap_or(0)
    }

    /// The clock as a status update carries it: microseconds since 2000.
    pub(super) fn clock_since_2000(&self) -> i64 {
        let now = self.context.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        micros.saturating_sub(super::batch::SECONDS_1970_TO_2000 * 1_000_000)
    }

    /// Looks at the slot and the publication now and then, and writes heartbeats into a quiet log, until the returned set
    /// is dropped.
    pub(crate) fn watch_slot(
        &self,
        config: &Config,
        selection: &Arc<Selection>,
        sql: &Arc<SharedSql>,
    ) -> Monitor {
        let mut task = JoinSet::new();
        let watch = slot::watch(
            config.clone(),
            Arc::clone(sql),
            self.context.status.clone(),
            Arc::clone(&self.server_end),
            self.members.clone(),
        );
        task.spawn(watch);
        task.spawn(members::watch(
            config.clone(),
            Arc::clone(selection),
            Arc::clone(sql),
            self.context.status.clone(),
            self.members.clone(),
        ));
        if let Some(every) = config.heartbeat_interval() {
            let batches = Arc::clone(&self.batches);
            task.spawn(beat::keep_beating(config.clone(), Arc::clone(sql), every, batches));
        }
        Monitor { _tasks: task }
    }
}

/// Watches a slot until it is dropped.
pub(crate) struct Monitor {
    _tasks: JoinSet<()>,
}
