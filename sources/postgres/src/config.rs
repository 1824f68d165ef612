//! The `source:` block of a pipeline whose `source_type` is `postgres`.

use crate::{
    error,
    schema::{Parts, Selection},
};
use cdc_core::{Result, Secret};
use cdc_tls::TlsConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

/// PostgreSQL cuts names of objects and applications at this many bytes.
const NAME_BYTES_MAX: usize = 63;
/// More readers than this only get into each other's way.
const SNAPSHOT_READERS_MAX: u64 = 16;
const STATUS_INTERVAL_SECONDS_MAX: u64 = 3600;
const CONNECT_TIMEOUT_SECONDS_MAX: u64 = 600;
const HEARTBEAT_INTERVAL_SECONDS_MAX: u64 = 86_400;

/// What the pipeline reads before it follows changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotMode {
    /// All rows on the first start, then changes. A lost slot is an error.
    #[default]
    Initial,
    /// No rows: changes from the slot's own position on.
    Never,
    /// No rows; the same as `never`.
    NoData,
    /// As `initial`; also all rows again when the slot was lost, instead of an error.
    WhenNeeded,
    /// All rows once, and no changes. Needs neither slot nor publication.
    InitialOnly,
    /// All rows again at each start of the process, then changes.
    Always,
}

impl SnapshotMode {
    /// Does the pipeline follow changes, so that it needs a slot and a publication?
    #[must_use]
    pub fn streams(self) -> bool {
        self != Self::InitialOnly
    }

    /// Does the first start read all rows?
    #[must_use]
    pub fn reads_rows(self) -> bool {
        !matches!(self, Self::Never | Self::NoData)
    }
}

/// Which PostgreSQL database to capture, and how.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Host name or address of the server, or the folder of its unix socket when it begins with `/`.
    #[serde(default = "default_host")]
    pub host: String,
    /// Port of the server; with a unix socket, the number in the socket's name.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Database to capture.
    pub database: String,
    /// Role to connect as. It needs REPLICATION, and SELECT on the captured tables.
    #[serde(default = "default_username")]
    pub username: String,
    /// Password of the role.
    #[serde(default = "default_password")]
    #[schemars(with = "String")]
    pub password: Secret,
    /// Tables to capture, as `schema.table`. `*` and `?` match parts of a name; a name with other
    /// characters stands in double quotes: `"Odd.Name"."Tab le"`. Empty = every table that the role
    /// may read when the pipeline starts.
    #[serde(default)]
    pub tables: Vec<String>,
    /// Tables to leave out, written in the same way, also when `tables` names them.
    #[serde(default)]
    pub tables_excluded: Vec<String>,
    /// Columns to capture of tables that are not captured whole: `public.users: [id, country]`. The key's
    /// columns have to be among them. No other column leaves the server. From PostgreSQL 15 on.
    #[serde(default)]
    pub columns: BTreeMap<String, Vec<String>>,
    /// Conditions for rows of tables that are not captured whole, as behind WHERE:
    /// `public.users: country = 'de'`. A condition may use the columns of the replica identity only. No other
    /// row leaves the server. From PostgreSQL 15 on.
    #[serde(default)]
    pub rows: BTreeMap<String, String>,
    /// Messages of `pg_logical_emit_message` to capture, by their prefix; `*` and `?` match parts of
    /// it. Empty = every message. Prefixes that begin with `cdc.` are the product's own and are never
    /// delivered.
    #[serde(default)]
    pub message_prefixes: Vec<String>,
    /// Messages to leave out, by their prefix, also when `message_prefixes` names them. `["*"]` = no
    /// messages at all.
    #[serde(default)]
    pub message_prefixes_excluded: Vec<String>,
    /// What to read before changes are followed: `initial`, `never`, `no_data`, `when_needed`,
    /// `initial_only` or `always`.
    #[serde(default)]
    pub snapshot_mode: SnapshotMode,
    /// How many sessions read rows at a time while tables are copied (1 to 16).
    #[serde(default = "default_snapshot_readers")]
    pub snapshot_readers: u32,
    /// Replication slot that keeps the server's log for this pipeline. One pipeline, one slot.
    #[serde(default = "default_slot")]
    pub slot_name: String,
    /// Publication that names the captured tables.
    #[serde(default = "default_publication")]
    pub publication_name: String,
    /// Encryption of all connections to the server.
    #[serde(default)]
    pub tls: TlsConfig,
    /// Longest time between two reports of what is durable here, in seconds (1 to 3600). A third of
    /// the server's `wal_sender_timeout` is used when that is shorter.
    #[serde(default = "default_status_interval")]
    pub status_interval_seconds: u64,
    /// When the stream brought nothing for so long, a message `cdc.heartbeat` of about 100 bytes is
    /// written into the server's log, so that the slot moves on, in seconds (1 to 86400; 0 = never).
    #[serde(default = "default_heartbeat_interval")]
    pub heartbeat_interval_seconds: u64,
    /// Longest time to wait for a connection to be ready, in seconds (1 to 600).
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout_seconds: u64,
}

fn default_host() -> String {
    "localhost".to_owned()
}

fn default_port() -> u16 {
    5432
}

fn default_username() -> String {
    "cdc_user".to_owned()
}

fn default_password() -> Secret {
    Secret::new("cdc_password")
}

fn default_slot() -> String {
    "cdc_slot".to_owned()
}

fn default_publication() -> String {
    "cdc_publication".to_owned()
}

fn default_snapshot_readers() -> u32 {
    2
}

fn default_status_interval() -> u64 {
    10
}

fn default_heartbeat_interval() -> u64 {
    60
}

fn default_connect_timeout() -> u64 {
    10
}

impl Config {
    /// The configuration that names a database and leaves everything else at its default.
    #[must_use]
    pub fn new(database: impl Into<String>) -> Self {
        Self {
            host: default_host(),
            port: default_port(),
            database: database.into(),
            username: default_username(),
            password: default_password(),
            tables: Vec::new(),
            tables_excluded: Vec::new(),
            columns: BTreeMap::new(),
            rows: BTreeMap::new(),
            message_prefixes: Vec::new(),
            message_prefixes_excluded: Vec::new(),
            snapshot_mode: SnapshotMode::default(),
            snapshot_readers: default_snapshot_readers(),
            slot_name: default_slot(),
            publication_name: default_publication(),
            tls: TlsConfig::default(),
            status_interval_seconds: default_status_interval(),
            heartbeat_interval_seconds: default_heartbeat_interval(),
            connect_timeout_seconds: default_connect_timeout(),
        }
    }

    /// Says what is wrong with the block before anything is connected.
    pub fn validate(&self) -> Result<()> {
        let required =
            [("host", &self.host), ("database", &self.database), ("username", &self.username)];
        for (key, value) in required {
            if value.is_empty() || value.contains('\0') {
                return Err(error::invalid_config(
                    format!("source.{key} is empty"),
                    format!("set source.{key}"),
                ));
            }
        }
        if self.port == 0 {
            return Err(error::invalid_config(
                "source.port is 0".to_owned(),
                "set source.port to the server's port, 5432 unless it was changed".to_owned(),
            ));
        }
        self.validate_names()?;
        let limits = [
            ("snapshot_readers", self.snapshot_readers.into(), SNAPSHOT_READERS_MAX),
            ("status_interval_seconds", self.status_interval_seconds, STATUS_INTERVAL_SECONDS_MAX),
            ("connect_timeout_seconds", self.connect_timeout_seconds, CONNECT_TIMEOUT_SECONDS_MAX),
        ];
        for (key, value, max) in limits {
            if value == 0 || value > max {
                return Err(error::invalid_config(
                    format!("source.{key} is {value}"),
                    format!("set source.{key} to a number from 1 to {max}"),
                ));
            }
        }
        if self.heartbeat_interval_seconds > HEARTBEAT_INTERVAL_SECONDS_MAX {
            return Err(error::invalid_config(
                format!("source.heartbeat_interval_seconds is {}", self.heartbeat_interval_seconds),
                format!(
                    "set source.heartbeat_interval_seconds to a number from 0 to {HEARTBEAT_INTERVAL_SECONDS_MAX}"
                ),
            ));
        }
        self.selection()?;
        self.parts()?;
        self.tls.client_config()?;
        Ok(())
    }

    /// Which tables are captured.
    pub fn selection(&self) -> Result<Selection> {
        Selection::without(&self.tables, &self.tables_excluded)
    }

    /// What is captured of tables that are not captured whole.
    pub fn parts(&self) -> Result<Parts> {
        Parts::parse(&self.columns, &self.rows)
    }

    fn validate_names(&self) -> Result<()> {
        let slot = self.slot_name.as_bytes();
        let allowed = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_');
        if slot.is_empty() || slot.len() > NAME_BYTES_MAX || !slot.iter().all(allowed) {
            return Err(error::invalid_config(
                format!("source.slot_name `{}` is not a name of a slot", self.slot_name),
                format!(
                    "use up to {NAME_BYTES_MAX} characters out of a-z, 0-9 and _ in source.slot_name"
                ),
            ));
        }
        let publication = &self.publication_name;
        if publication.is_empty()
            || publication.len() > NAME_BYTES_MAX
            || publication.contains('\0')
        {
            return Err(error::invalid_config(
                format!("source.publication_name `{publication}` is not a name of a publication"),
                format!("use 1 to {NAME_BYTES_MAX} bytes in source.publication_name"),
            ));
        }
        Ok(())
    }

    /// How this pipeline's sessions call themselves in `pg_stat_activity`: `cdc/<slot>`.
    #[must_use]
    pub fn application_name(&self) -> String {
        let mut name = format!("cdc/{}", self.slot_name);
        name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
        name
    }

    /// The server as people write it: `host:port`, or the socket's path.
    #[must_use]
    pub fn server(&self) -> String {
        if self.is_local() {
            format!("{}/.s.PGSQL.{}", self.host.trim_end_matches('/'), self.port)
        } else if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Is the server reached by its unix socket?
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.host.starts_with('/')
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_seconds.clamp(1, CONNECT_TIMEOUT_SECONDS_MAX))
    }

    /// How long a stream may be quiet before it is given something to read; `None` for ever.
    pub(crate) fn heartbeat_interval(&self) -> Option<Duration> {
        let seconds = self.heartbeat_interval_seconds.min(HEARTBEAT_INTERVAL_SECONDS_MAX);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    pub(crate) fn status_interval(&self) -> Duration {
        Duration::from_secs(self.status_interval_seconds.clamp(1, STATUS_INTERVAL_SECONDS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_all_that_must_be_named() {
        let config: Config = serde_json::from_str(r#"{"database":"shop"}"#).unwrap();
        config.validate().unwrap();
        assert_eq!((config.server().as_str(), config.port), ("localhost:5432", 5432));
        assert_eq!(
            (config.username.as_str(), config.password.expose()),
            ("cdc_user", "cdc_password")
        );
        assert_eq!(config.application_name(), "cdc/cdc_slot");
        serde_json::from_str::<Config>("{}").unwrap_err();
        serde_json::from_str::<Config>(r#"{"database":"shop","slot":"x"}"#).unwrap_err();
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_remedy() {
        let base = || Config::new("shop");
        let wrong = [
            Config { host: String::new(), ..base() },
            Config { port: 0, ..base() },
            Config { slot_name: "My-Slot".to_owned(), ..base() },
            Config { slot_name: "s".repeat(64), ..base() },
            Config { publication_name: String::new(), ..base() },
            Config { status_interval_seconds: 0, ..base() },
            Config { connect_timeout_seconds: 601, ..base() },
            Config { snapshot_readers: 0, ..base() },
            Config { heartbeat_interval_seconds: 86_401, ..base() },
        ];
        for config in wrong {
            let error = config.validate().unwrap_err();
            assert_eq!(error.code, "CDC-1024", "{error}");
            assert!(error.remedy.is_some(), "{error}");
        }
    }

    #[test]
    fn the_application_name_fits_the_server() {
        let config = Config { slot_name: "s".repeat(63), ..Config::new("shop") };
        assert_eq!(config.application_name().len(), 63);
    }

    #[test]
    fn sockets_and_ipv6_are_written_as_people_write_them() {
        let local = Config { host: "/run/postgresql".to_owned(), ..Config::new("shop") };
        assert_eq!(local.server(), "/run/postgresql/.s.PGSQL.5432");
        let v6 = Config { host: "::1".to_owned(), ..Config::new("shop") };
        assert_eq!(v6.server(), "[::1]:5432");
    }
}
