//! Begins the copies that run beside the stream.

use super::beside::publishes_via_root;
use crate::{
    backfill::{self, Backfill, Progress},
    config::Config,
    connection::SharedSql,
    order::Order,
    schema::{self, Catalog, CatalogTable, Selection},
    stream::Reporter,
};
use cdc_core::{Result, TableId, status::SnapshotProgress};
use std::sync::Arc;

/// What every copy of one run needs.
pub(crate) struct Copies {
    config: Arc<Config>,
    selection: Arc<Selection>,
    sql: Arc<SharedSql>,
}

impl Copies {
    pub(crate) fn new(config: Arc<Config>, selection: Arc<Selection>, sql: Arc<SharedSql>) -> Self {
        Self { config, selection, sql }
    }

    /// Begins a copy, or goes on with it. `None` when nothing is left to copy.
    pub(crate) async fn begin(
        &self,
        catalog: &Catalog,
        progress: Progress,
        paused: bool,
        reporter: &Reporter<'_>,
    ) -> Result<Option<Backfill>> {
        let Self { config, selection, sql } = self;
        let client = sql.get().await?;
        let published =
            schema::published(&client, &config.publication_name, catalog.server_version).await?;
        let via_root = publishes_via_root(config, &client).await?;
        let rows = |oid| progress.rows(oid);
        let known: Vec<(u32, u64)> =
            catalog.tables.iter().map(|table| (table.oid, rows(table.oid))).collect();
        let begin = backfill::Begin {
            config,
            selection,
            sql,
            catalog,
            published,
            via_root,
            progress,
            paused,
        };
        let Some(backfill) = Backfill::start(begin) else { return Ok(None) };
        let copied = |(table, _): &(&CatalogTable, u64)| backfill.concerns(table.oid);
        let progress = |(table, rows): (&CatalogTable, u64)| SnapshotProgress {
            table: table.table.clone(),
            rows,
            rows_estimated: table.rows_estimated,
            done: false,
        };
        let tables = catalog.tables.iter().zip(known.iter().map(|(_, rows)| *rows));
        let tables: Vec<_> = tables.filter(copied).map(progress).collect();
        tracing::info!(tables = tables.len(), paused, "copying tables beside the stream");
        reporter.copying(tables);
        Ok(Some(backfill))
    }

    /// Carries out orders, and returns the copy that comes of it.
    pub(crate) async fn carry_out(
        &self,
        orders: Vec<Order>,
        mut progress: Progress,
        paused: bool,
        reporter: &Reporter<'_>,
    ) -> Result<Option<Backfill>> {
        let client = self.sql.get().await?;
        let catalog = schema::load(&client, &self.selection).await?;
        let members = reporter.members();
        let find = |name: &TableId| {
            let found = catalog.tables.iter().find(|table| table.table == *name);
            found.map(|table| (table.oid, !members.is_uncopied(table.oid)))
        };
        for order in orders {
            tracing::info!(%order, "an order about snapshots");
            match order {
                Order::Rows { table, keys } => compare(&catalog, &mut progress, table, keys),
                order => progress.carry_out(order, find),
            }
        }
        self.begin(&catalog, progress, paused, reporter).await
    }
}

/// Has single rows of a table read.
fn compare(catalog: &Catalog, progress: &mut Progress, table: TableId, keys: Vec<Vec<String>>) {
    let Some(found) = catalog.tables.iter().find(|one| one.table == table) else {
        tracing::warn!(%table, "rows were ordered of a table that is gone");
        return;
    };
    let schema = schema::table_schema(found, &catalog.types);
    let decoder = schema::decoder(found, &catalog.types);
    let ordered = keys.len();
    let keys = backfill::keys(&schema, &decoder, keys);
    if keys.len() < ordered {
        tracing::warn!(%table, unknown = ordered - keys.len(), "an order names rows by what is no key of the table");
    }
    if !keys.is_empty() {
        progress.compare(table, found.oid, keys);
    }
}
