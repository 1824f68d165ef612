//! Settings of the server, and what is left of its limits.

use crate::{config::Config, connection::bounded, error::from_sql, provision::setting};
use cdc_core::{Finding, Result};
use tokio_postgres::Client;

pub(super) async fn version(config: &Config, client: &Client) -> Result<String> {
    setting(config, client, "server_version").await
}

pub(super) async fn check(
    config: &Config,
    client: &Client,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let wal_level = setting(config, client, "wal_level").await?;
    let what = format!("wal_level is \"{wal_level}\"");
    findings.push(if wal_level == "logical" {
        Finding::ok(what)
    } else {
        Finding::error(what, "ALTER SYSTEM SET wal_level = logical; and restart the server")
    });
    let doing = "count slots and senders";
    let query = "SELECT current_setting('max_replication_slots')::int8, \
                 (SELECT count(*) FROM pg_replication_slots), \
                 (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1), \
                 current_setting('max_wal_senders')::int8, \
                 (SELECT count(*) FROM pg_stat_replication)";
    let row = bounded(config, doing, client.query_one(query, &[&config.slot_name])).await?;
    let count = |index: usize| -> Result<i64> {
        row.try_get(index).map_err(|cause| from_sql(config, doing, cause))
    };
    // A snapshot has a second, temporary slot beside the pipeline's own.
    let own = 1 - count(2)?.min(1);
    let needed = own + i64::from(config.snapshot_mode.reads_rows());
    findings.push(limit("max_replication_slots", "slot", count(0)?, count(1)?, needed));
    findings.push(limit("max_wal_senders", "sender", count(3)?, count(4)?, 1));
    Ok(())
}

fn limit(setting: &str, thing: &str, max: i64, used: i64, needed: i64) -> Finding {
    let free = max - used;
    let what = format!("{free} of {max} {thing}s are free ({setting}), {needed} needed");
    if free >= needed {
        return Finding::ok(what);
    }
    Finding::error(
        what,
        format!("ALTER SYSTEM SET {setting} = {}; and restart the server", used + needed + 8),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::finding::Level;

    #[test]
    fn a_limit_is_an_error_when_too_little_is_left() {
        assert_eq!(limit("max_replication_slots", "slot", 10, 8, 2).level, Level::Ok);
        let short = limit("max_replication_slots", "slot", 10, 9, 2);
        assert_eq!(short.level, Level::Error);
        assert!(short.remedy.unwrap().contains("max_replication_slots = 19"));
    }
}
