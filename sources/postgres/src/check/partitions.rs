//! Whether the role may read the partitions, which are copied one by one.

use crate::{config::Config, connection::bounded, error::from_sql, quote, schema::CatalogTable};
use cdc_core::{Finding, Result, TableId};
use tokio_postgres::Client;

/// PostgreSQL lets a role read partitions by their root that it may not read by their own names.
const UNREADABLE: &str = "
SELECT n.nspname::text, c.relname::text
FROM unnest($1::oid[]) AS root (oid), pg_partition_tree(root.oid) AS part
JOIN pg_class AS c ON c.oid = part.relid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE part.isleaf
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT'))
ORDER BY 1, 2";

/// More partitions than these are counted, not named.
const NAMED_MAX: usize = 5;

pub(super) async fn check(
    config: &Config,
    client: &Client,
    tables: &[CatalogTable],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    // Tables without a key are read by their root.
    let roots: Vec<u32> = tables
        .iter()
        .filter(|table| table.partitioned && table.readable && !table.key().is_empty())
        .map(|table| table.oid)
        .collect();
    if roots.is_empty() {
        return Ok(());
    }
    let what = "look at the privileges on partitions";
    let rows = bounded(config, what, client.query(UNREADABLE, &[&roots])).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(TableId::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?))
    };
    let unreadable: Vec<TableId> = rows
        .iter()
        .map(read)
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| from_sql(config, what, error))?;
    if unreadable.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = unreadable.iter().take(NAMED_MAX).map(quote::table).collect();
    let more = match unreadable.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let all: Vec<String> = unreadable.iter().map(quote::table).collect();
    let mut schemas: Vec<String> =
        unreadable.iter().map(|table| quote::identifier(&table.namespace)).collect();
    schemas.dedup();
    let role = quote::identifier(&config.username);
    findings.push(Finding::error(
        format!(
            "role {} may not read partitions {}{more}: they are copied one by one",
            config.username,
            named.join(", ")
        ),
        format!(
            "GRANT USAGE ON SCHEMA {} TO {role}; GRANT SELECT ON {} TO {role};",
            schemas.join(", "),
            all.join(", ")
        ),
    ));
    Ok(())
}
