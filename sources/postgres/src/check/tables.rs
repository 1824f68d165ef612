//! The captured tables: can they be read, and do they identify their rows?

use crate::{
    config::Config,
    provision::{captured_all_the_same, grant_statement, names_one, refused_updates},
    quote,
    schema::{Catalog, CatalogTable, Selection},
};
use cdc_core::{Finding, catalog::CapturedTable};

/// More tables than these with the same finding are counted, not listed.
const LISTED_MAX: usize = 20;

pub(super) fn check(
    config: &Config,
    selection: &Selection,
    catalog: &Catalog,
    findings: &mut Vec<Finding>,
) {
    let tables = &catalog.tables[..];
    for pattern in selection.unmatched(tables) {
        let what = format!("source.tables: `{pattern}` matches no table of {}", config.database);
        let remedy = "names are matched exactly, upper and lower case too: SELECT schemaname, tablename FROM pg_tables;";
        findings.push(if names_one(pattern) {
            Finding::error(what, remedy)
        } else {
            Finding::warning(what, remedy)
        });
    }
    for pattern in selection.idle_exclusions(&catalog.left_out) {
        findings.push(Finding::warning(
            format!("source.tables_excluded: `{pattern}` leaves out no table of {}", config.database),
            "names are matched exactly, upper and lower case too: SELECT schemaname, tablename FROM pg_tables;",
        ));
    }
    for what in catalog.left_out.iter().filter_map(captured_all_the_same) {
        findings.push(Finding::warning(
            what,
            "leave out the partitioned table itself, or remove the partition from source.tables_excluded",
        ));
    }
    let unreadable: Vec<String> = tables
        .iter()
        .filter(|table| !table.readable)
        .map(|table| quote::table(&table.table))
        .collect();
    if !unreadable.is_empty() && config.snapshot_mode.reads_rows() {
        findings.push(Finding::error(
            format!("role {} may not read {}", config.username, unreadable.join(", ")),
            grant_statement(config, &unreadable, tables),
        ));
    }
    for table in tables.iter().filter(|table| table.unlogged) {
        findings.push(Finding::warning(
            format!("{} is unlogged: its changes cannot be captured", table.table),
            format!("ALTER TABLE {} SET LOGGED;", quote::table(&table.table)),
        ));
    }
    if config.snapshot_mode.streams() {
        let refused: Vec<(&CatalogTable, String)> =
            tables.iter().filter_map(|table| Some((table, refused_updates(table)?))).collect();
        for (table, what) in refused.iter().take(LISTED_MAX) {
            findings.push(Finding::warning(
                what.clone(),
                format!("ALTER TABLE {} REPLICA IDENTITY FULL;", quote::table(&table.table)),
            ));
        }
        if let Some(more) = refused.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
            findings.push(Finding::warning(
                format!("{more} more tables have no key that is logged"),
                "ALTER TABLE … REPLICA IDENTITY FULL; for each of them",
            ));
        }
    }
    findings.push(Finding::ok(format!("{} tables are captured", tables.len())));
}

pub(super) fn captured(tables: &[CatalogTable]) -> Vec<CapturedTable> {
    tables
        .iter()
        .map(|table| CapturedTable { table: table.table.clone(), has_key: !table.key().is_empty() })
        .collect()
}
