//! Which tables can be copied while the stream runs.

use crate::{
    backfill::can_copy,
    config::Config,
    connection::{Sql, bounded},
    error::from_sql,
    provision::look_at_publication,
    schema::{self, Selection},
};
use cdc_core::Result;
use std::collections::BTreeSet;

/// The tables of a copy that runs beside the stream, and those that cannot be part of it.
pub(super) struct Beside {
    /// Numbers of the tables that have to be read at one point, before the stream begins.
    pub(super) others: BTreeSet<u32>,
}

/// Parts the tables. `None` where nothing can be copied beside the stream: a standby, or a role that may
/// not write messages into the log, has no way to mark a place in it.
pub(super) async fn copied_beside(
    config: &Config,
    selection: &Selection,
    sql: &Sql,
) -> Result<Option<Beside>> {
    if !may_mark(config, sql).await? {
        tracing::warn!(
            "this role may not execute pg_logical_emit_message, or the server is a standby: \
             all tables are read at one point before the stream begins"
        );
        return Ok(None);
    }
    let catalog = schema::load(sql, selection).await?;
    let via_root = publishes_via_root(config, sql).await?;
    let published =
        schema::published(sql, &config.publication_name, catalog.server_version).await?;
    let others = catalog.tables.iter().filter(|table| !can_copy(table, &published, via_root));
    Ok(Some(Beside { others: others.map(|table| table.oid).collect() }))
}

/// Can this role mark a place in the server's log?
pub(crate) async fn may_mark(config: &Config, sql: &Sql) -> Result<bool> {
    let doing = "ask what the role may do";
    let query = "SELECT NOT pg_is_in_recovery() AND coalesce((SELECT bool_or(has_function_privilege(p.oid, 'EXECUTE')) \
                 FROM pg_proc AS p WHERE p.proname = 'pg_logical_emit_message' \
                 AND p.proargtypes[1] = 'text'::regtype AND p.proargtypes[2] = 'text'::regtype), false)";
    let row = bounded(config, doing, sql.query_one(query, &[])).await?;
    row.try_get(0).map_err(|cause| from_sql(config, doing, cause))
}

/// Do changes of partitions come under the name of their root?
pub(crate) async fn publishes_via_root(config: &Config, sql: &Sql) -> Result<bool> {
    let publication = look_at_publication(config, sql).await?;
    Ok(publication.is_none_or(|publication| publication.via_root))
}
