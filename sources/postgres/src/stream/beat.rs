//! Heartbeats: something to read for a stream that is quiet.
//!
//! A slot moves on when something comes through it. On a database where nothing happens, beside others
//! where much does, that would be long in coming, and so it would on a whole server that has gone quiet
//! with the slot behind. A message in the log needs no table, no publication and no transaction.

use super::messages::OWN_PREFIX;
use crate::{
    config::Config,
    connection::{SharedSql, bounded},
};
use cdc_core::Result;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio_postgres::types::ToSql;

/// Writes a heartbeat after each interval in which `batches` did not grow.
pub(super) async fn keep_beating(
    config: Config,
    sql: Arc<SharedSql>,
    every: Duration,
    batches: Arc<AtomicU64>,
) {
    let mut warned = false;
    loop {
        let before = batches.load(Ordering::Relaxed);
        tokio::time::sleep(every).await;
        if batches.load(Ordering::Relaxed) != before {
            continue;
        }
        match beat(&config, &sql).await {
            Ok(()) => {}
            Err(error) if error.code == "CDC-1008" && !warned => {
                warned = true;
                tracing::warn!(
                    error = %error.chain(),
                    remedy = remedy(&config),
                    "heartbeats may not be written; the stream goes on without them"
                );
            }
            Err(error) => tracing::debug!(error = %error, "a heartbeat could not be written"),
        }
    }
}

/// A standby writes no log of its own.
async fn beat(config: &Config, sql: &SharedSql) -> Result<()> {
    let client = sql.get().await?;
    let query = "SELECT CASE WHEN NOT pg_is_in_recovery() \
                 THEN pg_logical_emit_message(false, $1::text, $2::text) END::text";
    let prefix = format!("{OWN_PREFIX}heartbeat");
    let parameters: [&(dyn ToSql + Sync); 2] = [&prefix, &config.slot_name];
    let emit = client.query_one(query, &parameters);
    bounded(config, "write a heartbeat", emit).await.map(|_| ())
}

fn remedy(config: &Config) -> String {
    format!(
        "GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) TO {}; (from PostgreSQL 17 on: (boolean, text, text, boolean)); or set source.heartbeat_interval_seconds: 0",
        config.username
    )
}
