//! What the server says about itself and about a replication slot.

use crate::{
    config::Config,
    connection::bounded,
    error::{Holder, from_sql},
    position::{Backend, Lsn},
};
use cdc_core::Result;
use std::time::Duration;
use tokio_postgres::{Client, Error, Row, types::ToSql};

/// What has been written but not flushed is flushed by the server itself within this time.
const FLUSH_SECONDS_MAX: Duration = Duration::from_secs(2);
const FLUSH_POLL: Duration = Duration::from_millis(50);

/// A replication slot as `pg_replication_slots` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Output plugin; empty for a physical slot.
    pub(crate) plugin: String,
    /// Its database; empty for a physical slot.
    pub(crate) database: String,
    /// Everything before this address was confirmed.
    pub(crate) confirmed: Lsn,
    /// Who reads from it now.
    pub(crate) holder: Option<Holder>,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub(crate) wal_status: String,
    /// Why it is lost, where the server tells.
    pub(crate) invalidation: Option<String>,
    /// Do standbys keep a copy of it? `None` where the server knows nothing of that.
    pub(crate) failover: Option<bool>,
    /// Is it such a copy?
    pub(crate) synced: bool,
    /// Is the server a standby that follows its primary?
    pub(crate) in_recovery: bool,
}

impl Slot {
    /// Has the server removed log that the slot needs?
    pub(crate) fn is_lost(&self) -> bool {
        self.wal_status == "lost"
    }

    /// Is it kept in step with a primary, so that nobody can read from it here?
    pub(crate) fn is_copy(&self) -> bool {
        self.synced && self.in_recovery
    }

    /// Is it a slot that this configuration can have made?
    pub(crate) fn is_ours(&self, config: &Config) -> bool {
        self.plugin == "pgoutput" && self.database == config.database
    }
}

/// The configured slot, when it exists.
pub(crate) async fn slot(config: &Config, client: &Client) -> Result<Option<Slot>> {
    let doing = "look at its replication slots";
    let query = "SELECT coalesce(s.plugin::text, ''), coalesce(s.database::text, ''), \
                 coalesce(s.confirmed_flush_lsn, '0/0')::text, coalesce(s.wal_status, 'reserved'), \
                 s.active_pid, coalesce(a.application_name, 'unknown'), \
                 coalesce(host(a.client_addr), 'local'), \
                 (to_jsonb(s)->>'failover')::bool, \
                 coalesce((to_jsonb(s)->>'synced')::bool, false), pg_is_in_recovery(), \
                 (extract(epoch FROM a.backend_start) * 1000000)::int8, \
                 to_jsonb(s)->>'invalidation_reason' \
                 FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid \
                 WHERE s.slot_name = $1";
    let row = bounded(config, doing, client.query_opt(query, &[&config.slot_name])).await?;
    row.map(|row| read_slot(&row)).transpose().map_err(|cause| from_sql(config, doing, cause))
}

fn read_slot(row: &Row) -> Result<Slot, Error> {
    let pid: Option<i32> = row.try_get(4)?;
    let application: String = row.try_get(5)?;
    let client: String = row.try_get(6)?;
    let started: Option<i64> = row.try_get(10)?;
    Ok(Slot {
        plugin: row.try_get(0)?,
        database: row.try_get(1)?,
        confirmed: row.try_get::<_, &str>(2)?.parse().unwrap_or_default(),
        wal_status: row.try_get(3)?,
        invalidation: row.try_get(11)?,
        failover: row.try_get(7)?,
        synced: row.try_get(8)?,
        in_recovery: row.try_get(9)?,
        holder: pid.map(|pid| Holder { pid, started, application, client }),
    })
}

/// Is the server a standby that follows its primary?
pub(crate) async fn in_recovery(config: &Config, client: &Client) -> Result<bool> {
    let doing = "tell whether it is a standby";
    let row = bounded(config, doing, client.query_one("SELECT pg_is_in_recovery()", &[])).await?;
    row.try_get(0).map_err(|cause| from_sql(config, doing, cause))
}

/// An address that lies behind everything that was committed before this call, and that a stream
/// reaches.
pub(crate) async fn current_position(config: &Config, client: &Client) -> Result<Lsn> {
    let doing = "tell its position";
    let query = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                 ELSE pg_current_wal_insert_lsn() END::text, \
                 CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
                 ELSE pg_current_wal_flush_lsn() END::text";
    let mut inserted = None;
    let polls = FLUSH_SECONDS_MAX.as_millis() / FLUSH_POLL.as_millis();
    let mut flushed = Lsn::default();
    for _ in 0..polls {
        let row = bounded(config, doing, client.query_one(query, &[])).await?;
        let address = |index| -> Result<Lsn> {
            let text: Option<&str> =
                row.try_get(index).map_err(|cause| from_sql(config, doing, cause))?;
            Ok(text.and_then(|text| text.parse().ok()).unwrap_or_default())
        };
        // The stream shows flushed log only. With `synchronous_commit = off` a commit may be
        // acknowledged shortly before it is flushed; the insert address covers it.
        let target = *inserted.get_or_insert(address(0)?);
        flushed = address(1)?;
        if flushed >= target {
            break;
        }
        tokio::time::sleep(FLUSH_POLL).await;
    }
    Ok(flushed)
}

/// The server's time limit for silent replication clients; `None` when there is none.
pub(crate) async fn sender_timeout(config: &Config, client: &Client) -> Result<Option<Duration>> {
    let doing = "tell a setting";
    let query = "SELECT setting::int8 FROM pg_settings WHERE name = 'wal_sender_timeout'";
    let row = bounded(config, doing, client.query_opt(query, &[])).await?;
    let millis: Option<i64> = row
        .map(|row| row.try_get(0))
        .transpose()
        .map_err(|cause| from_sql(config, doing, cause))?;
    let millis = millis.and_then(|millis| u64::try_from(millis).ok()).unwrap_or(0);
    Ok((millis > 0).then(|| Duration::from_millis(millis)))
}

/// The server process of one of our sessions; `None` when it has ended.
pub(crate) async fn backend(config: &Config, client: &Client, pid: i32) -> Result<Option<Backend>> {
    let doing = "look at its sessions";
    let query = "SELECT (extract(epoch FROM backend_start) * 1000000)::int8 \
                 FROM pg_stat_activity WHERE pid = $1";
    let row = bounded(config, doing, client.query_opt(query, &[&pid])).await?;
    let started: Option<Option<i64>> = row
        .map(|row| row.try_get(0))
        .transpose()
        .map_err(|cause| from_sql(config, doing, cause))?;
    Ok(started.flatten().map(|started| Backend { pid, started }))
}

/// Ends another session of our own role, and no other that has got its number meanwhile.
pub(crate) async fn terminate(config: &Config, client: &Client, backend: Backend) -> Result<()> {
    let query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 \
                 AND (extract(epoch FROM backend_start) * 1000000)::int8 = $2";
    let parameters: [&(dyn ToSql + Sync); 2] = [&backend.pid, &backend.started];
    let terminate = client.query_opt(query, &parameters);
    bounded(config, "end a leftover session", terminate).await.map(|_| ())
}
