//! Whether the pipeline could go on after a failover.

use crate::{config::Config, connection::bounded, error::from_sql, server::Slot};
use cdc_core::{Finding, Result};
use tokio_postgres::Client;

/// On a standby: is its slot a copy of the primary's?
pub(super) fn copy(config: &Config, slot: &Slot) -> Option<Finding> {
    let name = &config.slot_name;
    if !slot.in_recovery {
        return None;
    }
    Some(if slot.is_copy() {
        Finding::warning(
            format!(
                "the server is a standby: its slot {name} is a copy of the primary's, at {}, and can be read once the standby is promoted",
                slot.confirmed
            ),
            "that is right for a standby; for a pipeline set source.host to the primary",
        )
    } else {
        Finding::warning(
            format!(
                "the server is a standby, and its slot {name} is its own (synced is false): it keeps a slot of that name on the primary from being copied here"
            ),
            format!(
                "that is right where this pipeline reads from the standby; otherwise: SELECT pg_drop_replication_slot('{name}'); and sync_replication_slots = on"
            ),
        )
    })
}

/// On a primary: will its standbys have the slot, and what the slot has passed?
pub(super) async fn primary(
    config: &Config,
    client: &Client,
    slot: &Slot,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let Some(failover) = slot.failover.filter(|_| !slot.in_recovery) else { return Ok(()) };
    let doing = "look at its standbys";
    let query = "SELECT coalesce(string_agg(slot_name::text, ', ' ORDER BY slot_name), ''), \
                 coalesce(current_setting('synchronized_standby_slots', true), '') \
                 FROM pg_replication_slots WHERE slot_type = 'physical' AND active";
    let row = bounded(config, doing, client.query_one(query, &[])).await?;
    let read = |index: usize| -> Result<String> {
        row.try_get(index).map_err(|cause| from_sql(config, doing, cause))
    };
    findings.extend(judge(&config.slot_name, failover, &read(0)?, &read(1)?));
    Ok(())
}

fn judge(slot: &str, failover: bool, standbys: &str, waits_for: &str) -> Option<Finding> {
    if standbys.is_empty() {
        return None;
    }
    Some(if !failover {
        Finding::warning(
            format!(
                "standbys get no copy of replication slot {slot} (failover is false): a promotion ends the pipeline"
            ),
            format!(
                "while the pipeline is stopped, on a connection with replication=database: ALTER_REPLICATION_SLOT {slot} (FAILOVER);"
            ),
        )
    } else if waits_for.is_empty() {
        Finding::warning(
            format!(
                "changes are captured that standbys may not have yet (synchronized_standby_slots is empty; standbys at {standbys})"
            ),
            format!(
                "ALTER SYSTEM SET synchronized_standby_slots = '{standbys}'; SELECT pg_reload_conf();"
            ),
        )
    } else {
        Finding::ok(format!(
            "replication slot {slot} is copied to standbys, and waits for {waits_for}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::finding::Level;

    #[test]
    fn a_primary_with_standbys_is_judged() {
        let level = |failover, standbys, waits_for| {
            judge("s", failover, standbys, waits_for).map(|finding| finding.level)
        };
        assert_eq!(level(false, "", ""), None);
        assert_eq!(level(false, "a", "a"), Some(Level::Warning));
        assert_eq!(level(true, "a", ""), Some(Level::Warning));
        assert_eq!(level(true, "a", "a"), Some(Level::Ok));
    }
}
