//! What an operator reads when a snapshot cannot be taken.

use super::tuples::TuplesError;
use crate::config::Config;
use crate::error::ServerError;
use cdc_core::{Error, Origin, Retry, TableId, snapshot::ROWS_MAX};
use std::time::Duration;

fn operator(code: &'static str, context: String, remedy: String) -> Error {
    Error::new(code, Origin::Source, Retry::AfterOperator, context).with_remedy(remedy)
}

/// Names a few, and how many more there are.
fn list(names: &[String]) -> String {
    const NAMED_MAX: usize = 5;
    let named: Vec<&str> = names.iter().take(NAMED_MAX).map(String::as_str).collect();
    match names.len().checked_sub(NAMED_MAX) {
        Some(more) if more > 0 => format!("{} and {more} more", named.join(", ")),
        _ => named.join(", "),
    }
}

pub(crate) fn unreadable(role: &str, tables: &[&TableId]) -> Error {
    let names: Vec<String> = tables.iter().map(|table| crate::quote::table(table)).collect();
    let schemas: std::collections::BTreeSet<String> =
        tables.iter().map(|table| crate::quote::identifier(&table.namespace)).collect();
    let schemas: Vec<String> = schemas.into_iter().collect();
    let role_name = crate::quote::identifier(role);
    operator(
        "CDC-1065",
        format!("role {role} may not read {}", list(&names)),
        format!(
            "GRANT USAGE ON SCHEMA {} TO {role_name}; GRANT SELECT ON {} TO {role_name};",
            schemas.join(", "),
            names.join(", ")
        ),
    )
}

pub(crate) fn rewritten(tables: &[String]) -> Error {
    let context = format!("{} was rewritten while the snapshot began", list(tables));
    Error::new("CDC-1066", Origin::Source, Retry::Backoff, context).with_remedy(
        "nothing: the snapshot starts again; avoid ALTER TABLE, TRUNCATE and VACUUM FULL meanwhile",
    )
}

pub(crate) fn malformed(table: &TableId, what: &str) -> Error {
    let context = format!("the copy of {table} is not in the binary form of COPY: {what}");
    Error::new("CDC-1067", Origin::Source, Retry::Backoff, context)
        .with_remedy("check that nothing between here and the server changes the connection's data")
}

pub(crate) fn silent(table: &TableId, limit: Duration) -> Error {
    stalled(format!("the server sent nothing of {table} for {} s", limit.as_secs()))
}

pub(crate) fn slow(doing: &str, limit: Duration) -> Error {
    stalled(format!("the server took more than {} s to {doing}", limit.as_secs()))
}

fn stalled(context: String) -> Error {
    Error::new("CDC-1068", Origin::Source, Retry::Backoff, context).with_remedy(
        "look for what blocks the session: SELECT pid, pg_blocking_pids(pid), query FROM pg_stat_activity WHERE application_name LIKE 'cdc/%';",
    )
}

/// Somebody who alters a table, or waits to, stands in the way; all else is passed on.
pub(crate) fn not_locked(error: Error) -> Error {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    let reported = error.source.as_ref().and_then(|cause| cause.downcast_ref::<ServerError>());
    if reported.is_some_and(|reported| reported.code == LOCK_NOT_AVAILABLE) {
        return Error::new(
            "CDC-1069",
            Origin::Source,
            Retry::Backoff,
            "a captured table is locked by another session that alters it or waits to",
        )
        .with_remedy(
            "end that session: SELECT pid, query FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE mode = 'AccessExclusiveLock');",
        )
        .with_source(error);
    }
    error
}

/// A table without a key is copied before the stream begins, or not at all.
pub(crate) fn lost_its_key(table: &TableId) -> Error {
    let name = crate::quote::table(table);
    operator(
        "CDC-1071",
        format!("{table} has lost its key while it was copied"),
        format!("ALTER TABLE {name} ADD PRIMARY KEY (…); the copy then goes on by itself"),
    )
}

/// Orders need a stream that brings them.
pub(crate) fn does_not_stream() -> Error {
    operator(
        "CDC-1072",
        "the pipeline does not follow its source yet, so no snapshot can be ordered".to_owned(),
        "start it with cdc run and order again once `cdc status` says running or snapshotting"
            .to_owned(),
    )
}

/// Without a mark in the server's log, rows find no place between changes.
pub(crate) fn cannot_mark(config: &Config) -> Error {
    operator(
        "CDC-1073",
        format!(
            "role {} may not execute pg_logical_emit_message, or the server is a standby",
            config.username
        ),
        format!(
            "on the primary: GRANT EXECUTE ON FUNCTION pg_logical_emit_message(boolean, text, text) TO {};",
            crate::quote::identifier(&config.username)
        ),
    )
}

/// A pattern that names none of the captured tables.
pub(crate) fn no_such_table(pattern: &str) -> Error {
    operator(
        "CDC-1074",
        format!("no captured table fits `{pattern}`"),
        "write schema.table as in source.tables; what is captured decide source.tables and the publication".to_owned(),
    )
}

/// A table whose rows cannot be told apart.
pub(crate) fn not_beside(table: &TableId) -> Error {
    let name = crate::quote::table(table);
    operator(
        "CDC-1075",
        format!(
            "{table} cannot be read beside the stream: it has no published key, or is unlogged"
        ),
        format!(
            "ALTER TABLE {name} ADD PRIMARY KEY (…); or name the partitioned table, not its partition"
        ),
    )
}

/// Each key of an order is remembered until its row was read.
pub(crate) fn too_many_rows(count: usize) -> Error {
    operator(
        "CDC-1077",
        format!("an order names {count} rows, and may name {ROWS_MAX}"),
        "order the rest when these were read, or read the whole table: cdc snapshot --table"
            .to_owned(),
    )
}

/// The server does not understand a condition.
pub(crate) fn bad_condition(table: &TableId, cause: tokio_postgres::Error) -> Error {
    operator(
        "CDC-1076",
        format!("the condition of --where does not work for {table}"),
        "write it as it would stand behind WHERE in one SELECT of that table: --where \"id > 1000\"".to_owned(),
    )
    .with_source(cause)
}

/// The copy of a table cannot be read.
pub(crate) fn refused(error: TuplesError, table: &TableId) -> Error {
    match error {
        TuplesError::Format(what) => malformed(table, what),
        TuplesError::Value(error) => error.into(),
    }
}

/// Says which table it was about.
pub(crate) fn in_table(mut error: Error, table: &TableId) -> Error {
    error.context = format!("{} (table {table})", error.context);
    error
}
