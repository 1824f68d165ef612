//! The slot and the publication, or whether they can be created.

use super::standby;
use crate::{
    config::Config,
    connection::bounded,
    error::{self, from_sql},
    provision::{
        Publication, create_statement, list, look_at_publication, members, part_statement,
        refused_parts, settled_parts,
    },
    quote,
    schema::{CatalogTable, Parts},
    server,
};
use cdc_core::{Finding, Result};
use tokio_postgres::Client;

pub(super) async fn slot(
    config: &Config,
    client: &Client,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let name = &config.slot_name;
    let Some(slot) = server::slot(config, client).await? else {
        if server::in_recovery(config, client).await? {
            let error = error::standby_without_slot(config);
            findings.push(Finding::error(error.context, error.remedy.unwrap_or_default()));
            return Ok(());
        }
        findings.push(Finding::ok(format!("replication slot {name} will be created")));
        return Ok(());
    };
    findings.extend(standby::copy(config, &slot));
    standby::primary(config, client, &slot, findings).await?;
    let drop = format!("SELECT pg_drop_replication_slot('{name}');");
    findings.push(if !slot.is_ours(config) {
        Finding::error(
            format!("replication slot {name} belongs to plugin `{}`, database `{}`", slot.plugin, slot.database),
            format!("choose another source.slot_name, or: {drop}"),
        )
    } else if slot.is_lost() {
        Finding::error(
            format!("replication slot {name} has lost its log (wal_status lost)"),
            format!("{drop} then source.snapshot_mode: when_needed, and raise max_slot_wal_keep_size"),
        )
    } else if let Some(holder) = slot.holder {
        Finding::warning(
            format!(
                "replication slot {name} is in use by process {} (application `{}`, client {})",
                holder.pid, holder.application, holder.client
            ),
            format!("that is fine when it is this pipeline; otherwise choose another source.slot_name, or: SELECT pg_terminate_backend({});", holder.pid),
        )
    } else if slot.wal_status == "unreserved" {
        Finding::warning(
            format!("replication slot {name} is about to lose its log (wal_status unreserved)"),
            "start the pipeline now, and raise max_slot_wal_keep_size",
        )
    } else {
        Finding::ok(format!("replication slot {name} exists, at {}", slot.confirmed))
    });
    Ok(())
}

pub(super) async fn publication(
    config: &Config,
    client: &Client,
    tables: &[CatalogTable],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let name = &config.publication_name;
    let logged: Vec<CatalogTable> =
        tables.iter().filter(|table| !table.unlogged).cloned().collect();
    let foreign = foreign_tables(config, client, &logged).await?;
    let parts = match settled_parts(config, client, &logged).await {
        Ok(parts) => parts,
        Err(error) if error.code == "CDC-1080" || error.code == "CDC-1081" => {
            findings.push(super::finding(&error));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let Some(found) = look_at_publication(config, client).await? else {
        let creates = may_create(config, client).await?;
        findings.push(if creates && foreign.is_empty() {
            Finding::ok(format!("publication {name} will be created"))
        } else {
            Finding::error(
                format!(
                    "publication {name} does not exist, and role {} may not create it",
                    config.username
                ),
                format!(
                    "run as the owner of the tables: {}",
                    create_statement(config, &logged, &parts)
                ),
            )
        });
        return Ok(());
    };
    let missing = found.missing(&logged);
    let alter = format!("ALTER PUBLICATION {}", quote::identifier(name));
    if !found.all_operations {
        let what = format!("publication {name} does not publish every kind of change");
        let remedy = format!("{alter} SET (publish = 'insert, update, delete, truncate');");
        findings.push(if found.changeable {
            Finding::warning(what, format!("it will be changed: {remedy}"))
        } else {
            Finding::error(what, remedy)
        });
    }
    findings.extend(differing(config, &found, &parts));
    for (table, what) in found.narrows(&parts, &logged) {
        let what = format!("publication {name} holds only {what} of {table}");
        findings.push(match found.ours {
            true => Finding::warning(
                what,
                format!("name them in source.columns or source.rows, or: {alter} DROP TABLE {table}; and deploy"),
            ),
            false => Finding::ok(what),
        });
    }
    let names = members(missing.iter().map(|table| &table.table), &parts);
    findings.push(if missing.is_empty() {
        Finding::ok(format!("publication {name} holds the captured tables"))
    } else if found.changeable && missing.iter().all(|table| !foreign.contains(&table.oid)) {
        Finding::ok(format!("publication {name} will get {names}"))
    } else {
        Finding::error(
            format!("publication {name} does not hold {names}"),
            format!("run as the owner: {alter} ADD TABLE {names};"),
        )
    });
    Ok(())
}

/// Whether the publication holds the columns and rows that are asked for.
fn differing(config: &Config, found: &Publication, parts: &Parts) -> Option<Finding> {
    let differing = found.differing(parts);
    if differing.is_empty() {
        return None;
    }
    if let Some(refused) = refused_parts(config, &differing) {
        return Some(super::finding(&refused));
    }
    let name = &config.publication_name;
    let what = format!(
        "publication {name} holds other columns or rows of {} than source.columns and source.rows ask for",
        list(&differing)
    );
    let statement = part_statement(config, &differing);
    Some(match found.changeable {
        true => Finding::warning(what, format!("it will be changed: {statement}")),
        false => Finding::error(what, format!("run as the owner: {statement}")),
    })
}

/// Tables that the role does not own: only an owner may publish a table.
async fn foreign_tables(
    config: &Config,
    client: &Client,
    tables: &[CatalogTable],
) -> Result<Vec<u32>> {
    let doing = "look at the owners of its tables";
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let query = "SELECT oid FROM pg_class WHERE oid = ANY ($1) \
                 AND NOT pg_has_role(relowner, 'USAGE')";
    let rows = bounded(config, doing, client.query(query, &[&oids])).await?;
    let oids: Result<Vec<u32>, tokio_postgres::Error> =
        rows.iter().map(|row| row.try_get(0)).collect();
    oids.map_err(|cause| from_sql(config, doing, cause))
}

async fn may_create(config: &Config, client: &Client) -> Result<bool> {
    let doing = "look at the rights of the role";
    let query = "SELECT has_database_privilege(current_database(), 'CREATE')";
    let row = bounded(config, doing, client.query_one(query, &[])).await?;
    row.try_get(0).map_err(|cause| from_sql(config, doing, cause))
}
