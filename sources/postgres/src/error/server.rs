//! Errors that the server itself reported, by their SQLSTATE.

use super::{backoff, connection_lost, operator};
use crate::config::Config;
use cdc_core::Error;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;
use std::{error::Error as _, fmt, io};

/// An error or notice in the server's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// SQLSTATE: five characters.
    pub(crate) code: String,
    /// What happened.
    pub(crate) message: String,
    /// More about it.
    pub(crate) detail: Option<String>,
    /// What the server suggests.
    pub(crate) hint: Option<String>,
}

impl ServerError {
    /// Reads the fields of an ErrorResponse.
    pub(crate) fn parse(mut fields: ErrorFields<'_>) -> io::Result<Self> {
        let mut error =
            Self { code: String::new(), message: String::new(), detail: None, hint: None };
        while let Some(field) = fields.next()? {
            let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                b'C' => error.code = value(),
                b'M' => error.message = value(),
                b'D' => error.detail = Some(value()),
                b'H' => error.hint = Some(value()),
                _ => {}
            }
        }
        Ok(error)
    }

    fn class(&self) -> &str {
        self.code.get(..2).unwrap_or("")
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)?;
        if let Some(detail) = &self.detail {
            write!(f, "; {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

/// What an operator reads when the server refused to do `doing`: a verb phrase, `start streaming`.
pub(crate) fn from_server(config: &Config, doing: &str, error: ServerError) -> Error {
    classify(config, doing, &error).with_source(error)
}

/// The same for an error of an SQL session.
pub(crate) fn from_sql(config: &Config, doing: &str, error: tokio_postgres::Error) -> Error {
    if let Some(reported) = error.as_db_error() {
        let reported = ServerError {
            code: reported.code().code().to_owned(),
            message: reported.message().to_owned(),
            detail: reported.detail().map(str::to_owned),
            hint: reported.hint().map(str::to_owned),
        };
        return from_server(config, doing, reported);
    }
    let text =
        error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    connection_lost(config, io::Error::other(text))
}

fn classify(config: &Config, doing: &str, error: &ServerError) -> Error {
    let Config { username, database, .. } = config;
    let server = config.server();
    match error.code.as_str() {
        "28P01" => operator(
            "CDC-1002",
            format!("PostgreSQL at {server} refused the password of role {username}"),
            format!("correct source.password, or: ALTER ROLE {username} PASSWORD '…';"),
        ),
        "28000" if error.message.contains("pg_hba.conf") => operator(
            "CDC-1003",
            format!(
                "pg_hba.conf of PostgreSQL at {server} does not let role {username} into database {database} from here"
            ),
            format!(
                "add to pg_hba.conf: host {database} {username} ADDRESS/32 scram-sha-256, and: SELECT pg_reload_conf();"
            ),
        ),
        "28000" => operator(
            "CDC-1002",
            format!("PostgreSQL at {server} does not let role {username} in"),
            format!(
                "CREATE ROLE {username} LOGIN REPLICATION PASSWORD '…'; or correct source.username or the client certificate"
            ),
        ),
        "3D000" | "57P04" => operator(
            "CDC-1004",
            format!("PostgreSQL at {server} has no database {database}"),
            "correct source.database: SELECT datname FROM pg_database;",
        ),
        "53300" if error.message.contains("max_wal_senders") => {
            no_free("wal sender", "max_wal_senders")
        }
        "53300" => backoff("CDC-1005", format!("PostgreSQL at {server} takes no more connections"))
            .with_remedy(
                "close idle sessions, or raise max_connections (or the role's CONNECTION LIMIT)",
            ),
        "53400" => no_free("replication slot", "max_replication_slots"),
        "57P01" | "57P02" | "57P03" => backoff(
            "CDC-1006",
            format!("PostgreSQL at {server} is starting, stopping or ended this session"),
        ),
        "55006" => {
            backoff("CDC-1013", format!("what is needed to {doing} is in use: {}", error.message))
        }
        "42501" => operator(
            "CDC-1008",
            format!("role {username} may not {doing}"),
            privilege_remedy(username, error),
        ),
        "42704" | "55000" => by_message(config, doing, error),
        _ => by_class(config, doing, error),
    }
}

/// Codes that stand for several things.
fn by_message(config: &Config, doing: &str, error: &ServerError) -> Error {
    let server = config.server();
    match error.code.as_str() {
        "42704" if error.message.contains("publication") => operator(
            "CDC-1020",
            format!(
                "publication {} does not exist, or did not when the next change was written",
                config.publication_name
            ),
            "create it (`cdc deploy`); if it was dropped for a while: SELECT pg_drop_replication_slot('…'); and source.snapshot_mode: when_needed",
        ),
        "42704" if error.message.contains("replication slot") => {
            super::slot_missing(&config.slot_name)
        }
        "55000" if error.message.contains("wal_level") => operator(
            "CDC-1011",
            format!(
                "PostgreSQL at {server} does not write what logical decoding needs (wal_level)"
            ),
            "ALTER SYSTEM SET wal_level = logical; and restart the server",
        ),
        "55000"
            if error.message.contains("can no longer") || error.message.contains("invalidated") =>
        {
            super::slot_lost(&config.slot_name, None)
        }
        _ => by_class(config, doing, error),
    }
}

fn by_class(config: &Config, doing: &str, error: &ServerError) -> Error {
    let server = config.server();
    match error.class() {
        "08" => connection_lost(config, io::Error::other(error.to_string())),
        // Out of resources, a serialization failure, an operator's cancel, a failing disk, a bug in
        // the server: all of them can pass.
        "53" | "40" | "57" | "58" | "XX" => {
            backoff("CDC-1023", format!("PostgreSQL at {server} failed to {doing}"))
        }
        _ => operator(
            "CDC-1023",
            format!("PostgreSQL at {server} refused to {doing}"),
            error
                .hint
                .clone()
                .unwrap_or_else(|| "see the server's log for what it refused".to_owned()),
        ),
    }
}

fn no_free(what: &str, setting: &str) -> Error {
    operator(
        "CDC-1012",
        format!("the server has no free {what}"),
        format!(
            "drop what nobody uses (SELECT slot_name, active FROM pg_replication_slots;), or: ALTER SYSTEM SET {setting} = 20; and restart the server"
        ),
    )
}

fn privilege_remedy(username: &str, error: &ServerError) -> String {
    let replication = ["replication", "wal sender", "walsender"];
    let message = error.message.to_lowercase();
    if replication.iter().any(|word| message.contains(word)) {
        format!("ALTER ROLE {username} REPLICATION;")
    } else if message.contains("database") {
        format!("GRANT CREATE ON DATABASE … TO {username};")
    } else {
        format!(
            "GRANT SELECT ON ALL TABLES IN SCHEMA … TO {username}; or make {username} the owner"
        )
    }
}
