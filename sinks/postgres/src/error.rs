//! What can go wrong, and what helps.

use cdc_core::{Error, Origin, Retry, TableId};
use tokio_postgres::error::{DbError, SqlState};

fn sink(code: &'static str, retry: Retry, context: impl Into<String>) -> Error {
    Error::new(code, Origin::Sink, retry, context)
}

/// The configuration block cannot work.
pub(crate) fn config(context: impl Into<String>) -> Error {
    Error::new("CDC-3000", Origin::Config, Retry::AfterOperator, context)
        .with_remedy("see the `postgres:` block of a sink in the configuration reference")
}

/// The server did not answer in time.
pub(crate) fn timed_out(doing: &str) -> Error {
    sink("CDC-3003", Retry::Backoff, format!("{doing}: the server did not answer in time"))
        .with_remedy("look for long-running sessions in pg_stat_activity on the target; raise `statement_timeout_seconds` if the work is that large")
}

/// The connection could not be made.
pub(crate) fn unreachable(address: &str, error: tokio_postgres::Error) -> Error {
    if error.as_db_error().is_some() {
        return from_postgres(&format!("connecting to {address}"), error);
    }
    sink("CDC-3001", Retry::Backoff, format!("cannot connect to {address}"))
        .with_remedy("check that the server runs and that `host`, `port` and `tls` are right")
        .with_source(error)
}

/// The connection could not be made within `connect_timeout_seconds`.
pub(crate) fn connect_timed_out(address: &str) -> Error {
    sink("CDC-3001", Retry::Backoff, format!("{address} did not answer in time"))
        .with_remedy("check that the server runs and that `host` and `port` are right; raise `connect_timeout_seconds` if the way is long")
}

/// A newer start of the pipeline has committed to this sink.
pub(crate) fn fenced(pipeline_id: &str, sink_id: &str, ours: i64, theirs: i64) -> Error {
    let context = format!(
        "sink {sink_id} of pipeline {pipeline_id} was taken over by a newer start (epoch {theirs}, ours is {ours})"
    );
    sink("CDC-3004", Retry::AfterOperator, context).with_remedy(
        "run one `cdc run` of a pipeline at a time: stop this process or the other one",
    )
}

/// The stored checkpoint is not the one that this session started from.
pub(crate) fn overtaken(pipeline_id: &str, sink_id: &str) -> Error {
    let context = format!(
        "another session committed for sink {sink_id} of pipeline {pipeline_id} since this one started"
    );
    sink("CDC-3005", Retry::Backoff, context).with_remedy(
        "nothing was written twice; if it repeats, look for a second process on the same pipeline",
    )
}

/// A row of the sink's own table was changed by somebody else.
pub(crate) fn place_unreadable(
    sink_id: &str,
    of: &cdc_core::TopicPartition,
    cause: cdc_core::position::InvalidPosition,
) -> Error {
    let context =
        format!("the place of {of} of sink {sink_id} in cdc.partition_checkpoints is not valid");
    sink("CDC-3010", Retry::AfterOperator, context).with_source(cause).with_remedy(
        "restore the row of cdc.partition_checkpoints from a backup, or delete it together with the replica and start over",
    )
}

/// A row of the stored offsets was changed by somebody else.
pub(crate) fn offset_unreadable(
    group: &str,
    of: &cdc_core::TopicPartition,
    cause: cdc_core::position::InvalidPosition,
) -> Error {
    let context = format!("the place of {of} of group {group} in cdc.group_offsets is not valid");
    sink("CDC-3010", Retry::AfterOperator, context).with_source(cause).with_remedy(
        "restore the row from a backup, or delete it: the sink then reads the topic from its oldest record",
    )
}

/// The target refuses a change for good.
pub(crate) fn refused(context: impl Into<String>) -> Error {
    sink("CDC-3006", Retry::Never, context)
        .with_remedy("make the target accept such values (type, constraint, trigger), then `cdc dead-letters retry`")
}

/// A value does not fit the wire form of its column.
pub(crate) fn unfit(table: &TableId, column: &str, declared: &str) -> Error {
    refused(format!("a value of {table}.{column} does not fit its type {declared} on the target"))
}

/// A replica table could not be brought to the schema of its source.
pub(crate) fn evolve(table: &TableId, cause: &Error) -> Error {
    let context =
        format!("the replica of {table} cannot follow its source's schema: {}", cause.context);
    sink("CDC-3007", Retry::Never, context).with_remedy(
        "change the target table by hand so that it has the source's columns, types and key, then `cdc dead-letters retry`",
    )
}

/// The change names its row by nothing.
pub(crate) fn keyless(table: &TableId) -> Error {
    let context = format!("{table} has no key, and the change does not carry the whole old row");
    sink("CDC-3008", Retry::Never, context).with_remedy(keyless_remedy(table))
}

/// What makes the rows of a table distinguishable.
pub(crate) fn keyless_remedy(table: &TableId) -> String {
    let name = crate::sql::qualified(table);
    format!(
        "on the source: ALTER TABLE {name} REPLICA IDENTITY FULL; or better: ALTER TABLE {name} ADD PRIMARY KEY (…);"
    )
}

/// The row to change is not in the replica.
pub(crate) fn row_missing(table: &TableId) -> Error {
    let context = format!("the replica of {table} does not have the row that a change applies to");
    sink("CDC-3009", Retry::Never, context).with_remedy(
        "the replica and its source have parted: take a new snapshot of the table, or insert the row by hand and `cdc dead-letters retry`",
    )
}

/// The stored checkpoint cannot be read.
pub(crate) fn checkpoint_unreadable(sink_id: &str, error: serde_json::Error) -> Error {
    sink("CDC-3010", Retry::AfterOperator, format!("the checkpoint of sink {sink_id} in cdc.checkpoints is not valid"))
        .with_remedy("restore the row of cdc.checkpoints from a backup, or delete it together with the replica and start over")
        .with_source(error)
}

/// A replica table that this sink made is gone.
pub(crate) fn table_vanished(source: &TableId, target: &TableId) -> Error {
    let context = format!("the replica of {source} was in {target}, and that table is gone");
    sink("CDC-3011", Retry::Never, context).with_remedy(format!(
        "restore {target}, or: DELETE FROM cdc.replica_tables WHERE target_schema = '{}' AND target_table = '{}'; and take a new snapshot of {source}",
        target.namespace.replace('\'', "''"),
        target.name.replace('\'', "''"),
    ))
}

/// Two source tables would share one target table.
pub(crate) fn target_taken(source: &TableId, other: &TableId, target: &TableId) -> Error {
    sink(
        "CDC-3012",
        Retry::Never,
        format!("{source} and {other} would both be written to {target}"),
    )
    .with_remedy("give their schemas different entries in `postgres.target_schema`")
}

/// The table of mode `events` is not what it has to be.
pub(crate) fn events_table(table: &TableId, what: &str, remedy: &str) -> Error {
    sink("CDC-3014", Retry::AfterOperator, format!("{table} on the target {what}"))
        .with_remedy(remedy)
}

/// The engine broke the contract of a sink.
pub(crate) fn contract(context: impl Into<String>) -> Error {
    Error::new("CDC-3013", Origin::Internal, Retry::Backoff, context)
        .with_remedy("this is a defect of the program: please report it with the log around it")
}

/// Rows could not be read to be compared; `what` names the table.
pub(crate) fn rows(what: &str, cause: cdc_digest::Error) -> Error {
    sink("CDC-3015", Retry::Backoff, format!("{what} could not be read from the replica to be compared"))
        .with_remedy(
            "look up the SQLSTATE; for 57014 raise --statement-timeout-seconds, for 55P03 try again once nobody alters the table, for 42501 grant SELECT",
        )
        .with_source(cause)
}

/// Classifies what the server or the connection said. Texts of errors about data may quote the data,
/// so of those only the names and the SQLSTATE are kept.
pub(crate) fn from_postgres(doing: &str, error: tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        return sink("CDC-3003", Retry::Backoff, format!("{doing}: the connection failed"))
            .with_remedy(
                "the sink reconnects by itself; look into the target server's log if it repeats",
            )
            .with_source(error);
    };
    let code = db.code().code();
    match class(code) {
        Class::Data => refused(format!("{doing}: {}", describe(db))),
        Class::Definition => {
            sink("CDC-3006", Retry::Never, format!("{doing}: {} (SQLSTATE {code})", db.message()))
                .with_remedy(
                    "bring the target table in line with its source, then `cdc dead-letters retry`",
                )
        }
        Class::Access => sink(
            "CDC-3002",
            Retry::AfterOperator,
            format!("{doing}: {} (SQLSTATE {code})", db.message()),
        )
        .with_remedy(access_remedy(db.code())),
        Class::Passing => sink(
            "CDC-3003",
            Retry::Backoff,
            format!("{doing}: {} (SQLSTATE {code})", db.message()),
        )
        .with_remedy(
            "the sink tries again by itself; look into the target server's log if it repeats",
        ),
    }
}

fn access_remedy(state: &SqlState) -> &'static str {
    match state.code() {
        "42501" => {
            "grant the role of the sink what the message names: GRANT CREATE ON DATABASE …, GRANT USAGE, CREATE ON SCHEMA …, or make it the table's owner"
        }
        "3D000" => "create the database, or correct `postgres.database`",
        _ => {
            "correct `postgres.username` and `postgres.password`, and check pg_hba.conf on the target"
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// These values will never be taken.
    Data,
    /// This statement will never be taken; its message names objects, not values.
    Definition,
    /// A person must grant or create something.
    Access,
    /// Another try may succeed.
    Passing,
}

fn class(code: &str) -> Class {
    match code {
        "42501" | "3D000" => Class::Access,
        "55P04" => Class::Passing,
        _ => match code.get(..2) {
            Some("28") => Class::Access,
            Some("21" | "22" | "23" | "44" | "P0") => Class::Data,
            Some("0A" | "2B" | "3F" | "42" | "54") => Class::Definition,
            _ => Class::Passing,
        },
    }
}

fn describe(db: &DbError) -> String {
    let code = db.code().code();
    let what = match code {
        "22001" => "a text is too long for its column",
        "22003" => "a number is out of its column's range",
        "22007" | "22008" => "a date or time is not valid",
        "22021" => "a text holds a byte that the database's encoding does not know",
        "22P02" => "a value is not valid for its column's type",
        "22P05" => "a text holds a character that the database cannot store",
        "23502" => "a column that must not be null would be null",
        "23503" => "a foreign key of the target refuses it",
        "23505" => "a unique constraint of the target refuses it",
        "23514" => "a check constraint of the target refuses it",
        "23P01" => "an exclusion constraint of the target refuses it",
        "P0001" => "a trigger of the target raised an exception",
        _ => "the target refuses the values",
    };
    let names = [("constraint", db.constraint()), ("column", db.column()), ("table", db.table())];
    let mut out = format!("{what} (SQLSTATE {code}");
    for (kind, name) in names {
        if let Some(name) = name {
            out.push_str(&format!(", {kind} {name}"));
        }
    }
    out.push(')');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlstates_are_classed_by_what_helps() {
        for (code, expected) in [
            ("22P02", Class::Data),
            ("23505", Class::Data),
            ("P0001", Class::Data),
            ("42703", Class::Definition),
            ("42501", Class::Access),
            ("28P01", Class::Access),
            ("3D000", Class::Access),
            ("57P01", Class::Passing),
            ("53100", Class::Passing),
            ("53300", Class::Passing),
            ("40001", Class::Passing),
            ("40P01", Class::Passing),
            ("25006", Class::Passing),
            ("08006", Class::Passing),
            ("XX000", Class::Passing),
        ] {
            assert_eq!(class(code), expected, "{code}");
        }
    }
}
