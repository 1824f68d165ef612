//! What a publication leaves out: columns and rows of a table.

use super::within;
use cdc_core::{Result, TableId};
use std::collections::BTreeMap;
use tokio_postgres::{Client, Row};

/// Column lists and row filters exist from here on.
const LISTS_SINCE: u32 = 150_000;
/// Generated columns can be published from here on.
const GENERATED_SINCE: u32 = 180_000;

const PUBLISHED: &str = "
SELECT p.schemaname::text, p.tablename::text, p.attnames::text[], p.rowfilter
FROM pg_publication_tables AS p WHERE p.pubname = $1";

/// What is published of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// Names of the columns.
    pub(crate) columns: Vec<String>,
    /// Are generated columns named where they are published?
    pub(crate) names_generated: bool,
    /// The condition that rows must meet, as SQL.
    pub(crate) filter: Option<String>,
}

/// What a publication publishes, by table. Empty before column lists and row filters existed.
pub(crate) async fn published(
    client: &Client,
    publication: &str,
    server_version: u32,
) -> Result<BTreeMap<TableId, Published>> {
    if server_version < LISTS_SINCE {
        return Ok(BTreeMap::new());
    }
    let doing = "read what the publication holds";
    let rows = within(doing, client.query(PUBLISHED, &[&publication])).await?;
    let read = |row: &Row| -> Result<(TableId, Published), tokio_postgres::Error> {
        let table = TableId::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
        let published = Published {
            columns: row.try_get::<_, Option<Vec<String>>>(2)?.unwrap_or_default(),
            names_generated: server_version >= GENERATED_SINCE,
            filter: row.try_get(3)?,
        };
        Ok((table, published))
    };
    within(doing, async { rows.iter().map(read).collect() }).await
}
