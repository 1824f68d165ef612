//! Takes orders about snapshots: what cannot be carried out is refused before it is written down.

use super::failure;
use crate::{
    backfill::can_copy,
    config::Config,
    connection::{Sql, bounded, connect_sql},
    order::{self, Order},
    position::{Phase, Resume},
    quote,
    schema::{self, Catalog, CatalogTable, Selection},
    server,
    source::{may_mark, publishes_via_root},
};
use cdc_core::{
    Result, TableId,
    snapshot::{ROWS_MAX, SnapshotOrder},
};

/// Writes an order into the server's log, and returns the tables that it is about.
pub(crate) async fn take(
    config: &Config,
    selection: &Selection,
    wanted: &SnapshotOrder,
    resume: &[u8],
) -> Result<Vec<TableId>> {
    let resume = Resume::from_bytes(resume)?;
    let streams = config.snapshot_mode.streams() && resume.phase == Phase::Stream;
    if !streams || resume.order_key.is_empty() {
        return Err(failure::does_not_stream());
    }
    let sql = connect_sql(config).await?;
    if resume.slot != config.slot_name || server::slot(config, &sql).await?.is_none() {
        return Err(failure::does_not_stream());
    }
    let ordered = match wanted {
        SnapshotOrder::Pause => Order::Pause,
        SnapshotOrder::Resume => Order::Resume,
        SnapshotOrder::Cancel => Order::Cancel,
        SnapshotOrder::Compared => Order::Compared,
        SnapshotOrder::Rows { keys, .. } if keys.len() > ROWS_MAX => {
            return Err(failure::too_many_rows(keys.len()));
        }
        SnapshotOrder::Rows { table, keys } => {
            let tables = look(config, selection, &sql, &Named::Table(table)).await?;
            let Some(table) = tables.into_iter().next() else {
                return Err(failure::no_such_table(&table.to_string()));
            };
            Order::Rows { table, keys: keys.clone() }
        }
        SnapshotOrder::Begin { tables, condition } => {
            let tables = look(config, selection, &sql, &Named::Patterns(tables)).await?;
            if let Some(condition) = condition {
                for table in &tables {
                    try_condition(config, &sql, table, condition).await?;
                }
            }
            Order::Begin { tables, condition: condition.clone() }
        }
    };
    let content = order::seal(&resume.order_key, &config.slot_name, &ordered);
    bounded(config, "note an order", sql.batch_execute(&order::emit(&content))).await?;
    Ok(match ordered {
        Order::Begin { tables, .. } => tables,
        Order::Rows { table, .. } => vec![table],
        Order::Compared | Order::Pause | Order::Resume | Order::Cancel => Vec::new(),
    })
}

/// Tables as an order names them.
enum Named<'a> {
    Patterns(&'a [String]),
    Table(&'a TableId),
}

/// The captured tables that an order names, each of which can be read beside the stream.
async fn look(
    config: &Config,
    selection: &Selection,
    sql: &Sql,
    named: &Named<'_>,
) -> Result<Vec<TableId>> {
    if !may_mark(config, sql).await? {
        return Err(failure::cannot_mark(config));
    }
    let catalog: Catalog = schema::load(sql, selection).await?;
    let tables: Vec<&CatalogTable> = match named {
        Named::Table(wanted) => catalog.tables.iter().filter(|one| one.table == **wanted).collect(),
        Named::Patterns(patterns) => fitting(patterns, &catalog)?,
    };
    let published =
        schema::published(sql, &config.publication_name, catalog.server_version).await?;
    let via_root = publishes_via_root(config, sql).await?;
    if let Some(table) = tables.iter().find(|table| !can_copy(table, &published, via_root)) {
        return Err(failure::not_beside(&table.table));
    }
    Ok(tables.into_iter().map(|table| table.table.clone()).collect())
}

/// The captured tables that fit patterns, each of which must fit one.
fn fitting<'c>(patterns: &[String], catalog: &'c Catalog) -> Result<Vec<&'c CatalogTable>> {
    for pattern in patterns {
        Selection::parse(std::slice::from_ref(pattern))
            .map_err(|_| failure::no_such_table(pattern))?;
    }
    let wanted = Selection::parse(patterns)?;
    if let Some(pattern) = wanted.unmatched(&catalog.tables).first() {
        return Err(failure::no_such_table(pattern));
    }
    let fits = |table: &&CatalogTable| !wanted.is_everything() && wanted.matches(&table.table);
    Ok(catalog.tables.iter().filter(fits).collect())
}

/// Has the server understand a condition. Prepared, it can be no more than one statement.
async fn try_condition(config: &Config, sql: &Sql, table: &TableId, condition: &str) -> Result<()> {
    let query = format!("SELECT FROM {} WHERE {}", quote::table(table), bracketed(condition));
    match tokio::time::timeout(config.connect_timeout(), sql.prepare(&query)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(cause)) => Err(failure::bad_condition(table, cause)),
        Err(_) => Err(failure::silent(table, config.connect_timeout())),
    }
}

/// A condition as a part of another; a comment at its end hides nothing of what follows.
pub(crate) fn bracketed(condition: &str) -> String {
    format!("({condition}\n)")
}
