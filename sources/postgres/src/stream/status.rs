//! What people see of a stream: its state, its lag, and how its slot fares.

use crate::{
    config::Config,
    connection::{SharedSql, bounded},
    position::Lsn,
};
use cdc_core::{
    Position, Result, SourceContext, TableId, Timestamp,
    status::{ConnectorState, SnapshotProgress},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};
use tokio::task::JoinSet;

/// The slot is looked at this often.
const SLOT_INTERVAL: Duration = Duration::from_secs(10);
/// With fewer bytes than this left before the server removes log, an operator is warned.
const SAFE_BYTES_MIN: i64 = 1024 * 1024 * 1024;

/// Writes into the status that the engine shows.
pub(crate) struct Reporter<'a> {
    context: &'a SourceContext,
    /// Newest end of the server's log that anyone here has seen.
    server_end: Arc<AtomicU64>,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(context: &'a SourceContext) -> Self {
        Self { context, server_end: Arc::new(AtomicU64::new(0)) }
    }

    pub(crate) fn state(&self, state: ConnectorState, connected: bool) {
        self.context.status.send_modify(|status| {
            status.state = state;
            status.connected = connected;
        });
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

    /// Looks at the slot now and then until the returned set is dropped.
    pub(crate) fn watch_slot(&self, config: &Config, sql: &Arc<SharedSql>) -> Monitor {
        let mut task = JoinSet::new();
        let config = config.clone();
        let sql = Arc::clone(sql);
        let status = self.context.status.clone();
        let server_end = Arc::clone(&self.server_end);
        task.spawn(async move {
            loop {
                match look(&config, &sql).await {
                    Ok(Some(slot)) => {
                        server_end.fetch_max(slot.server_end.0, Ordering::Relaxed);
                        status.send_modify(|status| slot.describe(status, &config.slot_name));
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::debug!(error = %error, "the slot could not be looked at");
                    }
                }
                tokio::time::sleep(SLOT_INTERVAL).await;
            }
        });
        Monitor { _task: task }
    }
}

/// Watches a slot until it is dropped.
pub(crate) struct Monitor {
    _task: JoinSet<()>,
}

/// How a slot fares.
struct SlotHealth {
    retained_bytes: u64,
    server_end: Lsn,
    wal_status: String,
    safe_bytes: Option<i64>,
}

async fn look(config: &Config, sql: &SharedSql) -> Result<Option<SlotHealth>> {
    let client = sql.get().await?;
    let query = "SELECT pg_wal_lsn_diff(here, restart_lsn)::int8, here::text, \
                 coalesce(wal_status, 'unknown'), safe_wal_size \
                 FROM pg_replication_slots, \
                 (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                  ELSE pg_current_wal_flush_lsn() END AS here) AS server \
                 WHERE slot_name = $1";
    let doing = "look at its slot";
    let row = bounded(config, doing, client.query_opt(query, &[&config.slot_name])).await?;
    let Some(row) = row else { return Ok(None) };
    let read = || -> Result<SlotHealth, tokio_postgres::Error> {
        let retained: Option<i64> = row.try_get(0)?;
        let server_end: &str = row.try_get(1)?;
        Ok(SlotHealth {
            retained_bytes: retained.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
            server_end: server_end.parse().unwrap_or_default(),
            wal_status: row.try_get(2)?,
            safe_bytes: row.try_get(3)?,
        })
    };
    read().map(Some).map_err(|cause| crate::error::from_sql(config, doing, cause))
}

impl SlotHealth {
    fn describe(&self, status: &mut cdc_core::status::SourceStatus, slot: &str) {
        status.retained_bytes = Some(self.retained_bytes);
        let at = status.position.map(Lsn::of).unwrap_or_default();
        if at > Lsn::default() {
            status.lag_bytes = Some(self.server_end.bytes_since(at));
        }
        status.warning = self.warning(slot);
        status.details.insert("wal_status".to_owned(), self.wal_status.clone());
    }

    fn warning(&self, slot: &str) -> Option<String> {
        let remedy = "raise max_slot_wal_keep_size, or let the sinks catch up";
        match self.wal_status.as_str() {
            "lost" => {
                Some(format!("slot {slot} has lost its log: changes are missing from here on"))
            }
            "unreserved" => Some(format!(
                "slot {slot} loses its log at the server's next checkpoint (wal_status unreserved): {remedy}"
            )),
            _ => self
                .safe_bytes
                .filter(|bytes| *bytes < SAFE_BYTES_MIN && *bytes < self.kept())
                .map(|bytes| {
                    format!(
                        "slot {slot} loses its log after {} MiB more (safe_wal_size): {remedy}",
                        bytes.max(0) >> 20
                    )
                }),
        }
    }

    /// A small limit that is hardly used is no reason to warn.
    fn kept(&self) -> i64 {
        i64::try_from(self.retained_bytes).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(wal_status: &str, retained_bytes: u64, safe_bytes: Option<i64>) -> SlotHealth {
        SlotHealth {
            retained_bytes,
            server_end: Lsn(1),
            wal_status: wal_status.to_owned(),
            safe_bytes,
        }
    }

    #[test]
    fn an_operator_is_warned_before_the_log_is_lost() {
        let warned = |health: SlotHealth| health.warning("cdc_slot").is_some();
        assert!(!warned(health("reserved", 1 << 20, None)));
        assert!(!warned(health("reserved", 1 << 20, Some(64 << 20))));
        assert!(warned(health("extended", 100 << 20, Some(64 << 20))));
        assert!(warned(health("unreserved", 1, None)));
        assert!(warned(health("lost", 0, None)));
    }
}
