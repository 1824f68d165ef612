//! Creates and removes what the source needs on the server: the publication and the slot.

mod parts;
mod publication;

use crate::{
    config::{Config, SnapshotMode},
    connection::{bounded, connect_sql},
    error,
    position::Lsn,
    replication::ReplicationClient,
    schema::{self, CatalogTable, LeftOut, ReplicaIdentity, Selection},
    server,
};
use cdc_core::Result;
use tokio_postgres::Client;

pub(crate) use parts::settled_parts;
pub(crate) use publication::{
    Publication, create_statement, list, look as look_at_publication, members, part_statement,
    refused_parts,
};

/// A table that somebody else has locked is waited for so long.
const LOCK_TIMEOUT: &str = "SET lock_timeout TO '30s'";

/// Makes the server ready. Does nothing where it is. Says what it did.
pub(crate) async fn provision(config: &Config, selection: &Selection) -> Result<Vec<String>> {
    config.validate()?;
    let client = connect_sql(config).await?;
    let mut said = Vec::new();
    let tables = captured_tables(config, selection, &client, &mut said).await?;
    let parts = settled_parts(config, &client, &tables).await?;
    if !config.snapshot_mode.streams() {
        said.push(
            "snapshot_mode is initial_only: no slot and no publication are needed".to_owned(),
        );
        return Ok(said);
    }
    let wal_level = setting(config, &client, "wal_level").await?;
    if wal_level != "logical" {
        return Err(error::wal_level(&wal_level));
    }
    bounded(config, "set a limit for locks", client.batch_execute(LOCK_TIMEOUT)).await?;
    // The publication comes first: a slot that is older than its publication cannot be decoded.
    publication::ensure(config, &client, &tables, &parts, &mut said).await?;
    said.extend(tables.iter().filter_map(refused_updates));
    match server::slot(config, &client).await? {
        None if server::in_recovery(config, &client).await? => {
            return Err(error::standby_without_slot(config));
        }
        None => {
            let mut replication = ReplicationClient::open(config).await?;
            let at = replication.create_slot(&config.slot_name).await?;
            said.push(format!("created replication slot {} at {at}", config.slot_name));
        }
        Some(slot) if !slot.is_ours(config) => {
            return Err(error::slot_foreign(&config.slot_name, &slot.plugin, &slot.database));
        }
        Some(slot) if slot.is_copy() => return Err(error::slot_copy(config)),
        Some(slot) if slot.is_lost() && config.snapshot_mode != SnapshotMode::WhenNeeded => {
            return Err(error::slot_lost(&config.slot_name, slot.invalidation.as_deref()));
        }
        Some(slot) => {
            said.push(format!(
                "replication slot {} exists, at {}",
                config.slot_name, slot.confirmed
            ));
        }
    }
    Ok(said)
}

/// Removes what `provision` created. Says what it did.
pub(crate) async fn retire(config: &Config) -> Result<Vec<String>> {
    let client = connect_sql(config).await?;
    let mut said = Vec::new();
    let name = &config.slot_name;
    match server::slot(config, &client).await? {
        None => said.push(format!("replication slot {name} does not exist")),
        Some(slot) if !slot.is_ours(config) => said.push(format!(
            "replication slot {name} was left alone: it belongs to plugin `{}`, database `{}`",
            slot.plugin, slot.database
        )),
        Some(slot) => {
            if let Some(holder) = slot.holder {
                return Err(error::slot_in_use(name, &holder));
            }
            drop_slot(config, &client).await?;
            said.push(format!("dropped replication slot {name}"));
        }
    }
    publication::retire(config, &client, &mut said).await?;
    Ok(said)
}

/// Replaces a slot that is missing or has lost its log, and returns where the new one starts.
pub(crate) async fn renew_slot(
    config: &Config,
    client: &Client,
    replication: &mut ReplicationClient,
) -> Result<Lsn> {
    let name = &config.slot_name;
    if let Some(slot) = server::slot(config, client).await? {
        if !slot.is_ours(config) {
            return Err(error::slot_foreign(name, &slot.plugin, &slot.database));
        }
        if let Some(holder) = slot.holder {
            return Err(error::slot_in_use(name, &holder));
        }
        drop_slot(config, client).await?;
    }
    let at = replication.create_slot(name).await?;
    tracing::warn!(slot = %name, at = %at, "created the replication slot anew");
    Ok(at)
}

async fn drop_slot(config: &Config, client: &Client) -> Result<()> {
    let query = "SELECT pg_drop_replication_slot($1::text::name)";
    bounded(config, "drop a replication slot", client.query_one(query, &[&config.slot_name]))
        .await
        .map(|_| ())
}

/// The tables to publish, or why they cannot be.
async fn captured_tables(
    config: &Config,
    selection: &Selection,
    client: &Client,
    said: &mut Vec<String>,
) -> Result<Vec<CatalogTable>> {
    let catalog = schema::load(client, selection).await?;
    for out in &catalog.left_out {
        said.extend(captured_all_the_same(out));
    }
    let missing: Vec<&str> =
        selection.unmatched(&catalog.tables).into_iter().filter(|text| names_one(text)).collect();
    if !missing.is_empty() {
        return Err(error::tables(
            format!("database {} has no table {}", config.database, missing.join(", ")),
            "correct source.tables: names are matched exactly, upper and lower case too: SELECT schemaname, tablename FROM pg_tables;",
        ));
    }
    if catalog.tables.is_empty() && !selection.is_everything() {
        return Err(error::tables(
            format!("source.tables selects no table of database {}", config.database),
            "correct source.tables: SELECT schemaname, tablename FROM pg_tables;",
        ));
    }
    let unreadable: Vec<String> = catalog
        .tables
        .iter()
        .filter(|table| !table.readable)
        .map(|table| crate::quote::table(&table.table))
        .collect();
    if !unreadable.is_empty() && config.snapshot_mode.reads_rows() {
        return Err(error::tables(
            format!("role {} may not read {}", config.username, unreadable.join(", ")),
            grant_statement(config, &unreadable, &catalog.tables),
        ));
    }
    let (unlogged, tables): (Vec<_>, Vec<_>) =
        catalog.tables.into_iter().partition(|table| table.unlogged);
    for table in unlogged {
        said.push(format!("{} is unlogged: it cannot be captured", table.table));
    }
    Ok(tables)
}

/// Is the pattern a plain name, so that it has to select something?
pub(crate) fn names_one(pattern: &str) -> bool {
    !pattern.contains(['*', '?']) || pattern.contains('"')
}

/// Says when a table that is to be left out is captured as a part of another.
pub(crate) fn captured_all_the_same(out: &LeftOut) -> Option<String> {
    let root = out.captured_as.as_ref()?;
    Some(format!(
        "{} is captured although source.tables_excluded names it: it is a partition of {root}",
        out.table
    ))
}

/// What lets the role read tables.
pub(crate) fn grant_statement(
    config: &Config,
    unreadable: &[String],
    tables: &[CatalogTable],
) -> String {
    let mut schemas: Vec<String> = tables
        .iter()
        .filter(|table| !table.readable)
        .map(|table| crate::quote::identifier(&table.table.namespace))
        .collect();
    schemas.dedup();
    let role = crate::quote::identifier(&config.username);
    format!(
        "GRANT USAGE ON SCHEMA {} TO {role}; GRANT SELECT ON {} TO {role};",
        schemas.join(", "),
        unreadable.join(", ")
    )
}

/// Says when publishing a table makes the server refuse its updates and deletes.
pub(crate) fn refused_updates(table: &CatalogTable) -> Option<String> {
    let identified = match &table.replica_identity {
        ReplicaIdentity::Full => true,
        ReplicaIdentity::Default => !table.primary_key.is_empty(),
        ReplicaIdentity::Index(columns) => !columns.is_empty(),
        ReplicaIdentity::Nothing => false,
    };
    (!identified).then(|| {
        format!(
            "{} has no key that is logged: while it is published, PostgreSQL refuses updates and deletes of its rows; ALTER TABLE {} REPLICA IDENTITY FULL; allows them",
            table.table,
            crate::quote::table(&table.table)
        )
    })
}

/// A setting of the server.
pub(crate) async fn setting(config: &Config, client: &Client, name: &str) -> Result<String> {
    let doing = "tell a setting";
    let query = "SELECT setting FROM pg_settings WHERE name = $1";
    let row = bounded(config, doing, client.query_opt(query, &[&name])).await?;
    let text: Option<Option<String>> = row
        .map(|row| row.try_get(0))
        .transpose()
        .map_err(|cause| error::from_sql(config, doing, cause))?;
    Ok(text.flatten().unwrap_or_default())
}
