//! Every failure of this source, as an operator should read it.

mod server;

pub(crate) use server::{ServerError, from_server, from_sql};

use crate::{config::Config, position::Lsn};
use cdc_core::{Error, Origin, Retry};
use std::{io, time::Duration};

fn backoff(code: &'static str, context: impl Into<String>) -> Error {
    Error::new(code, Origin::Source, Retry::Backoff, context)
}

fn operator(code: &'static str, context: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::new(code, Origin::Source, Retry::AfterOperator, context).with_remedy(remedy)
}

pub(crate) fn unreachable(config: &Config, cause: io::Error) -> Error {
    let remedy = match cause.kind() {
        io::ErrorKind::NotFound if config.is_local() => {
            "set source.host to the folder in the server's unix_socket_directories"
        }
        io::ErrorKind::ConnectionRefused => {
            "start the server, set its listen_addresses, and check source.host and source.port"
        }
        _ => "check source.host, source.port and the network between here and the server",
    };
    backoff("CDC-1001", format!("cannot reach PostgreSQL at {}", config.server()))
        .with_remedy(remedy)
        .with_source(cause)
}

pub(crate) fn connect_timeout(config: &Config) -> Error {
    let limit = config.connect_timeout().as_secs();
    backoff(
        "CDC-1001",
        format!("PostgreSQL at {} was not ready within {limit} s", config.server()),
    )
    .with_remedy(
        "check the network between here and the server, or raise source.connect_timeout_seconds",
    )
}

pub(crate) fn connection_lost(config: &Config, cause: io::Error) -> Error {
    backoff("CDC-1007", format!("the connection to PostgreSQL at {} was lost", config.server()))
        .with_source(cause)
}

pub(crate) fn silent(config: &Config, limit: Duration) -> Error {
    backoff(
        "CDC-1007",
        format!("PostgreSQL at {} sent nothing for {} s", config.server(), limit.as_secs()),
    )
}

pub(crate) fn stream_ended(config: &Config) -> Error {
    backoff("CDC-1006", format!("PostgreSQL at {} ended the stream", config.server()))
}

pub(crate) fn tls_not_offered(config: &Config) -> Error {
    operator(
        "CDC-1009",
        format!("PostgreSQL at {} does not offer encrypted connections", config.server()),
        "set `ssl = on` in postgresql.conf and reload, or set source.tls.mode: prefer",
    )
}

pub(crate) fn tls_failed(config: &Config, cause: io::Error) -> Error {
    match cdc_tls::explain(&cause, &config.host, Origin::Source) {
        Some(error) => error,
        None => connection_lost(config, cause),
    }
}

pub(crate) fn unsupported_version(version: &str) -> Error {
    operator(
        "CDC-1010",
        format!("the server is PostgreSQL {version}; versions 14 to 18 are supported"),
        "upgrade the server to PostgreSQL 14 or later",
    )
}

pub(crate) fn wal_level(found: &str) -> Error {
    operator(
        "CDC-1011",
        format!("wal_level of the server is \"{found}\", not \"logical\""),
        "ALTER SYSTEM SET wal_level = logical; and restart the server",
    )
}

pub(crate) fn slot_in_use(slot: &str, holder: &Holder) -> Error {
    operator(
        "CDC-1013",
        format!(
            "replication slot {slot} is in use by process {} (application `{}`, client {})",
            holder.pid, holder.application, holder.client
        ),
        format!(
            "stop the other pipeline, or give this one a slot of its own in source.slot_name; if that process is a leftover: SELECT pg_terminate_backend({});",
            holder.pid
        ),
    )
}

/// Who reads from a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: i32,
    /// When it started, in microseconds since 1970; `None` where the role may not know.
    pub(crate) started: Option<i64>,
    pub(crate) application: String,
    pub(crate) client: String,
}

pub(crate) fn slot_missing(slot: &str) -> Error {
    operator(
        "CDC-1014",
        format!("replication slot {slot} does not exist any more"),
        "set source.snapshot_mode: when_needed to read all tables again, or deploy the pipeline under a new pipeline_id",
    )
}

pub(crate) fn slot_foreign(slot: &str, plugin: &str, database: &str) -> Error {
    operator(
        "CDC-1015",
        format!(
            "replication slot {slot} belongs to something else: plugin `{plugin}`, database `{database}`"
        ),
        format!(
            "choose another source.slot_name, or, if nothing needs it: SELECT pg_drop_replication_slot('{slot}');"
        ),
    )
}

/// `reason` is the server's own word for it, where it has one.
pub(crate) fn slot_lost(slot: &str, reason: Option<&str>) -> Error {
    let reason =
        reason.map_or_else(String::new, |reason| format!(" (invalidation_reason {reason})"));
    operator(
        "CDC-1016",
        format!("the server has removed the log that replication slot {slot} needs{reason}"),
        format!(
            "SELECT pg_drop_replication_slot('{slot}'); then set source.snapshot_mode: when_needed to read all tables again, and raise max_slot_wal_keep_size"
        ),
    )
}

pub(crate) fn slot_ahead(slot: &str, confirmed: Lsn, resume: Lsn) -> Error {
    operator(
        "CDC-1017",
        format!(
            "replication slot {slot} stands at {confirmed}, but this pipeline has captured only up to {resume}: the slot was re-created or read by somebody else, and changes in between are lost"
        ),
        "set source.snapshot_mode: when_needed to read all tables again",
    )
}

pub(crate) fn other_server(config: &Config, expected: &str, found: &str) -> Error {
    operator(
        "CDC-1018",
        format!(
            "PostgreSQL at {} is another server than the one this pipeline captured (system identifier {found}, expected {expected})",
            config.server()
        ),
        "correct source.host, or deploy the pipeline under a new pipeline_id",
    )
}

pub(crate) fn server_behind(config: &Config, current: Lsn, resume: Lsn) -> Error {
    operator(
        "CDC-1019",
        format!(
            "PostgreSQL at {} stands at {current}, behind {resume}, which was captured already: it was restored from a backup or is a promoted standby that had not caught up",
            config.server()
        ),
        "deploy the pipeline under a new pipeline_id, so that all tables are read again",
    )
}

pub(crate) fn timeline_left(config: &Config, timeline: u32, left: Lsn, resume: Lsn) -> Error {
    operator(
        "CDC-1019",
        format!(
            "PostgreSQL at {} left timeline {timeline} at {left}, before {resume}, which was captured already: the standby that was promoted had not received everything",
            config.server()
        ),
        "deploy the pipeline under a new pipeline_id, so that all tables are read again; to prevent it: ALTER SYSTEM SET synchronized_standby_slots = '…'; with the slot of the standby",
    )
}

pub(crate) fn old_timeline(config: &Config, timeline: u32, expected: u32) -> Error {
    operator(
        "CDC-1019",
        format!(
            "PostgreSQL at {} is on timeline {timeline}, but timeline {expected} was captured already: it is a former primary, and another server has taken over",
            config.server()
        ),
        "correct source.host: SELECT pg_is_in_recovery(); says f on the server that has taken over",
    )
}

pub(crate) fn slot_copy(config: &Config) -> Error {
    let slot = &config.slot_name;
    backoff(
        "CDC-1040",
        format!(
            "PostgreSQL at {} is a standby, and its slot {slot} is a copy of the primary's, which can be read once the standby is promoted",
            config.server()
        ),
    )
    .with_remedy("set source.host to the primary, or: SELECT pg_promote();")
}

pub(crate) fn standby_without_slot(config: &Config) -> Error {
    let slot = &config.slot_name;
    operator(
        "CDC-1041",
        format!("PostgreSQL at {} is a standby without a replication slot {slot}", config.server()),
        format!(
            "set source.host to the primary; to read from the standby itself (from PostgreSQL 16 on): SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput'); on the standby, and meanwhile SELECT pg_log_standby_snapshot(); on the primary"
        ),
    )
}

pub(crate) fn publication(context: impl Into<String>, remedy: impl Into<String>) -> Error {
    operator("CDC-1020", context, remedy)
}

pub(crate) fn tables(context: impl Into<String>, remedy: impl Into<String>) -> Error {
    operator("CDC-1021", context, remedy)
}

pub(crate) fn parts_unsupported() -> Error {
    operator(
        "CDC-1080",
        "source.columns and source.rows need PostgreSQL 15 or later: an older server publishes tables whole",
        "remove source.columns and source.rows, or upgrade the server to PostgreSQL 15 or later",
    )
}

pub(crate) fn parts(context: impl Into<String>, remedy: impl Into<String>) -> Error {
    operator("CDC-1081", context, remedy)
}

pub(crate) fn protocol(problem: crate::protocol::Malformed) -> Error {
    Error::new(
        "CDC-1022",
        Origin::Source,
        Retry::Backoff,
        "the server sent a message that cannot be understood",
    )
    .with_remedy("check that the server is PostgreSQL itself; if it is, report this error")
    .with_source(problem)
}

pub(crate) fn invalid_config(context: String, remedy: String) -> Error {
    Error::new("CDC-1024", Origin::Config, Retry::AfterOperator, context).with_remedy(remedy)
}

pub(crate) fn unreadable_resume(cause: serde_json::Error) -> Error {
    Error::new(
        "CDC-1025",
        Origin::Internal,
        Retry::AfterOperator,
        "the stored state of this source cannot be read",
    )
    .with_remedy(
        "use the version of cdc that wrote it, or deploy the pipeline under a new pipeline_id",
    )
    .with_source(cause)
}

pub(crate) fn unsupported_authentication(config: &Config, method: &str) -> Error {
    operator(
        "CDC-1026",
        format!("PostgreSQL at {} asks for {method} authentication", config.server()),
        format!(
            "give role {} a line with scram-sha-256, md5, password, cert or trust in pg_hba.conf",
            config.username
        ),
    )
}

pub(crate) fn slot_creation_timeout(slot: &str, limit: Duration) -> Error {
    backoff(
        "CDC-1027",
        format!(
            "replication slot {slot} was not ready within {} s: the server waits for transactions that are open to end",
            limit.as_secs()
        ),
    )
    .with_remedy(
        "end them: SELECT pid, xact_start, state, application_name FROM pg_stat_activity WHERE backend_xid IS NOT NULL ORDER BY xact_start; SELECT gid, prepared FROM pg_prepared_xacts;",
    )
}

pub(crate) fn statement_timeout(config: &Config, doing: &str, limit: Duration) -> Error {
    backoff(
        "CDC-1027",
        format!(
            "PostgreSQL at {} did not {doing} within {} s",
            config.server(),
            limit.as_secs()
        ),
    )
    .with_remedy(
        "see what it waits for: SELECT pid, wait_event_type, query FROM pg_stat_activity WHERE application_name LIKE 'cdc/%';",
    )
}

pub(crate) fn binding_failed(config: &Config, cause: io::Error) -> Error {
    operator(
        "CDC-1002",
        format!(
            "PostgreSQL at {} could not prove that it knows the password of role {}",
            config.server(),
            config.username
        ),
        "check source.password, and that nothing stands between here and the server",
    )
    .with_source(cause)
}

/// Rows could not be read to be compared; `what` names the table.
pub(crate) fn rows(what: &str, cause: cdc_digest::Error) -> Error {
    backoff("CDC-1070", format!("{what} could not be read from the source to be compared"))
        .with_remedy(
            "look up the SQLSTATE; for 57014 raise --statement-timeout-seconds, for 55P03 try again once nobody alters the table, for 42501 grant SELECT",
        )
        .with_source(cause)
}
