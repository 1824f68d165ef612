//! How the slot fares: what the server keeps for it, and whether it will go on doing so.

use super::members::Membership;
use crate::{
    config::Config,
    connection::{SharedSql, bounded},
    error::{self, from_sql},
    position::Lsn,
    server,
};
use cdc_core::{
    Error, Result,
    status::{SlotStatus, SourceStatus},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// The slot is looked at this often.
const SLOT_INTERVAL: Duration = Duration::from_secs(10);
/// With fewer bytes than this left before the server removes log, an operator is warned.
const SAFE_BYTES_MIN: i64 = 1024 * 1024 * 1024;
/// So is he when less is left than one part in so many of what the slot may hold.
const SAFE_PART_MIN: i64 = 4;
/// A slot that is being invalidated is given so many looks, at this distance.
const LOOKS: u32 = 10;
const LOOK_DISTANCE: Duration = Duration::from_millis(100);

/// How a slot fares.
struct SlotHealth {
    retained_bytes: u64,
    server_end: Lsn,
    wal_status: String,
    safe_bytes: Option<i64>,
    /// Do standbys keep a copy of it? `None` where the server knows nothing of that.
    failover: Option<bool>,
    /// Slots of standbys that hold its changes back, because nobody reads from them.
    held_by: String,
}

/// Looks at the slot for as long as it is polled, and tells people what it sees.
pub(super) async fn watch(
    config: Config,
    sql: Arc<SharedSql>,
    status: watch::Sender<SourceStatus>,
    server_end: Arc<AtomicU64>,
    members: Membership,
) {
    let slot = &config.slot_name;
    let mut warned = None;
    loop {
        match look(&config, &sql).await {
            Ok(Some(health)) => {
                server_end.fetch_max(health.server_end.0, Ordering::Relaxed);
                status.send_modify(|status| {
                    health.describe(status);
                    // A slot that is about to be lost comes first.
                    status.warning = health.warning(slot).or_else(|| members.warning(&config));
                });
                // The words change with each look; what is logged is that it got worse.
                let worse = health.severity();
                if worse > warned {
                    tracing::warn!(
                        %slot,
                        wal_status = health.wal_status,
                        safe_bytes = health.safe_bytes,
                        retained_bytes = health.retained_bytes,
                        remedy = REMEDY,
                        "the slot is losing its log"
                    );
                }
                warned = worse;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(error = %error, "the slot could not be looked at"),
        }
        tokio::time::sleep(SLOT_INTERVAL).await;
    }
}

const REMEDY: &str = "raise max_slot_wal_keep_size, or let the sinks catch up";

async fn look(config: &Config, sql: &SharedSql) -> Result<Option<SlotHealth>> {
    let client = sql.get().await?;
    let query = "SELECT pg_wal_lsn_diff(here, restart_lsn)::int8, here::text, \
                 coalesce(wal_status, 'unknown'), safe_wal_size, \
                 (to_jsonb(slot)->>'failover')::bool, \
                 coalesce((SELECT string_agg(name, ', ') FROM unnest(string_to_array( \
                  translate(current_setting('synchronized_standby_slots', true), ' \"', ''), ',')) AS name \
                  WHERE NOT EXISTS (SELECT FROM pg_replication_slots AS physical \
                   WHERE physical.slot_name = name AND physical.active)), '') \
                 FROM pg_replication_slots AS slot, \
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
            failover: row.try_get(4)?,
            held_by: row.try_get(5)?,
        })
    };
    read().map(Some).map_err(|cause| from_sql(config, doing, cause))
}

/// Why a stream ended: a server that takes a slot's log away ends the session that reads from it, and
/// says no more than that it did.
pub(crate) async fn explain(config: &Config, sql: &SharedSql, ended: Error) -> Error {
    if ended.code != "CDC-1006" {
        return ended;
    }
    for _ in 0..LOOKS {
        let Ok(client) = sql.get().await else { break };
        let Ok(Some(slot)) = server::slot(config, &client).await else { break };
        if slot.is_lost() {
            let reason = slot.invalidation.as_deref();
            return error::slot_lost(&config.slot_name, reason).with_source(ended);
        }
        if slot.wal_status != "unreserved" {
            break;
        }
        tokio::time::sleep(LOOK_DISTANCE).await;
    }
    ended
}

impl SlotHealth {
    fn describe(&self, status: &mut SourceStatus) {
        status.retained_bytes = Some(self.retained_bytes);
        let at = status.position.map(Lsn::of).unwrap_or_default();
        if at > Lsn::default() {
            status.lag_bytes = Some(self.server_end.bytes_since(at));
        }
        status.slot = Some(SlotStatus {
            wal_status: self.wal_status.clone(),
            safe_wal_bytes: self.safe_bytes,
        });
        status.details.insert("wal_status".to_owned(), self.wal_status.clone());
        if let Some(failover) = self.failover {
            status.details.insert("failover".to_owned(), failover.to_string());
        }
    }

    /// The higher, the worse; `None` when nobody has to know.
    fn severity(&self) -> Option<u8> {
        match self.wal_status.as_str() {
            "lost" => Some(2),
            "unreserved" => Some(1),
            _ => self.is_short().then_some(0),
        }
    }

    fn warning(&self, slot: &str) -> Option<String> {
        let text = match self.severity() {
            None if self.failover == Some(true) && !self.held_by.is_empty() => format!(
                "changes are held back until standbys have them (synchronized_standby_slots), and nobody reads from {}: start the standby, or take its slot out of the setting",
                self.held_by
            ),
            None => return None,
            Some(2) => format!("slot {slot} has lost its log: changes are missing from here on"),
            Some(1) => format!(
                "slot {slot} loses its log at the server's next checkpoint (wal_status unreserved): {REMEDY}"
            ),
            Some(_) => format!(
                "slot {slot} loses its log after {} MiB more (safe_wal_size): {REMEDY}",
                self.safe_bytes.unwrap_or(0).max(0) >> 20
            ),
        };
        Some(text)
    }

    /// Little is left, of a limit that is used by half at least: a small one that is hardly used is no
    /// reason to warn.
    fn is_short(&self) -> bool {
        let Some(safe) = self.safe_bytes else { return false };
        let kept = i64::try_from(self.retained_bytes).unwrap_or(i64::MAX);
        let part = kept.saturating_add(safe.max(0)) / SAFE_PART_MIN;
        safe < kept && safe < SAFE_BYTES_MIN.max(part)
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
            failover: Some(true),
            held_by: String::new(),
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
        let held = |failover| SlotHealth {
            held_by: "standby".to_owned(),
            failover: Some(failover),
            ..health("reserved", 1, None)
        };
        assert!(warned(held(true)) && !warned(held(false)));
        // A large limit is told of in time: at three quarters.
        assert!(!warned(health("extended", 60 << 30, Some(40 << 30))));
        assert!(warned(health("extended", 80 << 30, Some(20 << 30))));
    }
}
