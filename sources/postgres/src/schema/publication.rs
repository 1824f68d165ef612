//! What a publication leaves out: columns and rows of a table.

use super::{CatalogColumn, CatalogTable, Generated, Part, Parts, within};
use cdc_core::{Result, TableId};
use std::collections::BTreeMap;
use tokio_postgres::{Client, Row};

/// Column lists and row filters exist from here on.
const LISTS_SINCE: u32 = 150_000;
/// Generated columns can be published from here on.
const GENERATED_SINCE: u32 = 180_000;

// The view `pg_publication_tables` would wait for whoever has locked one of the tables.
const PUBLISHED: &str = "
SELECT n.nspname::text, c.relname::text,
       CASE WHEN r.prattrs IS NOT NULL THEN
         ARRAY(SELECT a.attname::text FROM pg_attribute AS a
               WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs::int2[]) ORDER BY a.attname COLLATE \"C\")
       END,
       pg_get_expr(r.prqual, r.prrelid)
FROM pg_publication AS p JOIN pg_publication_rel AS r ON r.prpubid = p.oid
JOIN pg_class AS c ON c.oid = r.prrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.pubname = $1 AND (r.prattrs IS NOT NULL OR r.prqual IS NOT NULL)";

const GENERATED: &str = "SELECT pubgencols = 's' FROM pg_publication WHERE pubname = $1";

/// What a publication leaves out of its tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// By table, where columns are named or rows are filtered.
    tables: BTreeMap<TableId, Part>,
    /// Are generated columns published where no columns are named?
    generated: bool,
    /// Can generated columns be published at all?
    can_be_generated: bool,
}

impl Published {
    /// Narrows the emitted columns of a table to those that are published.
    pub(crate) fn narrow(&self, table: &mut CatalogTable) {
        match self.tables.get(&table.table).and_then(|parts| parts.columns.as_ref()) {
            Some(columns) => table.publish_only(columns, self.can_be_generated),
            None if self.generated => {
                let stored = |column: &CatalogColumn| column.generated != Generated::Virtual;
                let published = table.columns.iter().filter(|column| stored(column));
                let columns: Vec<String> = published.map(|column| column.name.clone()).collect();
                table.publish_only(&columns, true);
            }
            None => {}
        }
    }

    /// The condition that rows of a table must meet, as SQL.
    pub(crate) fn filter(&self, table: &TableId) -> Option<&str> {
        self.part(table)?.rows.as_deref()
    }

    /// What is published of a table that is not published whole.
    pub(crate) fn part(&self, table: &TableId) -> Option<&Part> {
        self.tables.get(table)
    }

    /// What the configuration asks for, where nothing is published.
    pub(crate) fn configured(parts: &Parts) -> Self {
        // A comment at the end of a condition must not hide what follows.
        let closed = |part: &Part| Part {
            columns: part.columns.clone(),
            rows: part.rows.as_ref().map(|rows| format!("{rows}\n")),
        };
        let tables = parts.iter().map(|(table, part)| (table.clone(), closed(part))).collect();
        Self { tables, generated: false, can_be_generated: true }
    }
}

/// What a publication leaves out. Before column lists and row filters existed: nothing.
pub(crate) async fn published(
    client: &Client,
    publication: &str,
    server_version: u32,
) -> Result<Published> {
    if server_version < LISTS_SINCE {
        return Ok(Published::default());
    }
    let doing = "read what the publication holds";
    let rows = within(doing, client.query(PUBLISHED, &[&publication])).await?;
    let read = |row: &Row| -> Result<(TableId, Part), tokio_postgres::Error> {
        let table = TableId::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
        Ok((table, Part { columns: row.try_get(2)?, rows: row.try_get(3)? }))
    };
    let tables = within(doing, async { rows.iter().map(read).collect() }).await?;
    let can_be_generated = server_version >= GENERATED_SINCE;
    let generated = match can_be_generated {
        true => within(doing, client.query_opt(GENERATED, &[&publication])).await?,
        false => None,
    };
    let generated = generated.map(|row| row.try_get(0)).transpose();
    let generated = within(doing, async { generated }).await?.unwrap_or(false);
    Ok(Published { tables, generated, can_be_generated })
}
