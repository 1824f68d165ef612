//! Which tables a snapshot copies, and in which words.

use super::{Request, failure, reader::Reader};
use crate::{
    connection::{self, Sql},
    convert::Decoder,
    quote,
    schema::{self, Catalog, CatalogColumn, CatalogTable, Generated, Published},
};
use cdc_core::{Result, TableId, TableSchema};
use std::{collections::BTreeSet, sync::Arc};

/// A statement that locks tables names no more than these.
const LOCKED_AT_ONCE_MAX: usize = 500;

/// How one table is copied.
pub(super) struct Plan {
    pub(super) schema: Arc<TableSchema>,
    pub(super) decoder: Decoder,
    /// Which columns are cast to text by `statement`.
    pub(super) as_text: Box<[bool]>,
    /// The COPY statement.
    pub(super) statement: String,
    pub(super) rows_estimated: Option<u64>,
}

/// What the catalog and the publication say about the captured tables.
pub(super) struct Survey {
    catalog: Catalog,
    published: Published,
}

impl Survey {
    /// Reads the catalog once the reader has locked the tables, so that rows come and go while
    /// they are copied, but their shape stays.
    pub(super) async fn take(request: &Request<'_>, reader: &mut Reader) -> Result<Self> {
        let sql = connection::connect_sql(request.config).await?;
        let before = load(&sql, request).await?;
        for tables in before.tables.chunks(LOCKED_AT_ONCE_MAX) {
            let names: Vec<String> = tables.iter().map(locked).collect();
            reader.lock(&names.join(", ")).await?;
        }
        // What was read before the locks may have changed on the way to them.
        let mut catalog = load(&sql, request).await?;
        let oids: BTreeSet<u32> = before.tables.iter().map(|table| table.oid).collect();
        let locked = |oid: u32| oids.contains(&oid);
        catalog.tables.retain(|table| locked(table.oid));
        let published = match request.publication {
            Some(name) => schema::published(&sql, name, catalog.server_version).await?,
            None => Published::configured(&request.config.parts()?),
        };
        Ok(Self { catalog, published })
    }

    /// Numbers of the tables.
    pub(super) fn oids(&self) -> impl Iterator<Item = u32> + '_ {
        self.catalog.tables.iter().map(|table| table.oid)
    }

    /// How each table is copied, in the order of their names.
    pub(super) fn plans(&self) -> Vec<Plan> {
        self.catalog.tables.iter().map(|table| self.plan(table)).collect()
    }

    fn plan(&self, table: &CatalogTable) -> Plan {
        let mut table = table.clone();
        self.published.narrow(&mut table);
        let decoder = schema::decoder(&table, &self.catalog.types);
        let as_text: Box<[bool]> =
            (0..decoder.column_count()).map(|column| decoder.needs_text_cast(column)).collect();
        let filter = self.published.filter(&table.table);
        Plan {
            schema: schema::table_schema(&table, &self.catalog.types),
            statement: statement(&table, &as_text, filter),
            decoder,
            as_text,
            rows_estimated: table.rows_estimated,
        }
    }
}

/// The catalog without what cannot be followed, and an error for what cannot be read.
async fn load(sql: &Sql, request: &Request<'_>) -> Result<Catalog> {
    let mut catalog = schema::load(sql, request.selection).await?;
    if let Some(only) = request.only {
        catalog.tables.retain(|table| only.contains(&table.oid));
    }
    let unreadable: Vec<&TableId> =
        catalog.tables.iter().filter(|table| !table.readable).map(|table| &table.table).collect();
    if !unreadable.is_empty() {
        return Err(failure::unreadable(&request.config.username, &unreadable));
    }
    catalog.tables.retain(|table| {
        let followed = !table.unlogged || request.publication.is_none();
        if !followed {
            tracing::warn!(table = %table.table, "unlogged table left out");
        }
        followed
    });
    Ok(catalog)
}

fn locked(table: &CatalogTable) -> String {
    let name = quote::table(&table.table);
    // Partitions are part of the table, tables that inherit from it are tables of their own.
    if table.partitioned { name } else { format!("ONLY {name}") }
}

/// The captured columns as a query selects them, cast to text where they have to be.
pub(crate) fn select_list(table: &CatalogTable, as_text: &[bool]) -> String {
    let column = |(column, as_text): (&CatalogColumn, &bool)| {
        let name = quote::identifier(&column.name);
        if *as_text { format!("{name}::text") } else { name }
    };
    let columns: Vec<String> = table.captured_columns().zip(as_text).map(column).collect();
    columns.join(", ")
}

fn statement(table: &CatalogTable, as_text: &[bool], filter: Option<&str>) -> String {
    let name = quote::table(&table.table);
    let columns_text = select_list(table, as_text);
    let generated = table.captured_columns().any(|column| column.generated != Generated::No);
    let cast = as_text.contains(&true);
    let plain = !table.partitioned && filter.is_none() && !cast && !generated;
    if plain && !columns_text.is_empty() {
        // The server copies a table faster than a query, but a query is less restricted.
        return format!("COPY {name} ({columns_text}) TO STDOUT (FORMAT binary)");
    }
    let only = if table.partitioned { "" } else { "ONLY " };
    let filter = filter.map(|filter| format!(" WHERE ({filter})")).unwrap_or_default();
    format!("COPY (SELECT {columns_text} FROM {only}{name}{filter}) TO STDOUT (FORMAT binary)")
}
