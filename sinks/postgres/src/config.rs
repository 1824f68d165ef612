//! The `postgres:` block of a sink.

use crate::error;
use cdc_core::{Result, Secret, TableId};
use cdc_tls::TlsConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// Delivers changes to a PostgreSQL database, exactly once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Host name or address of the server, or the directory of its Unix socket.
    #[serde(default = "default_host")]
    pub host: String,
    /// Port of the server.
    #[serde(default = "default_port")]
    pub port: u16,
    /// Database to write to. It must exist.
    pub database: String,
    /// Role to log in as. It needs CREATE on the database, or on the schemas that it writes to.
    #[serde(default = "default_username")]
    pub username: String,
    /// Password of the role.
    #[serde(default = "default_password")]
    #[schemars(with = "String")]
    pub password: Secret,
    /// `events` appends each change as a row of JSON to `target_table`; `replica` keeps a copy of each
    /// source table. Default: `events` when `target_table` is given, else `replica`.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Mode `events`: the table that receives the changes, `schema.table`, spelled as the database
    /// spells it. Created when it does not exist.
    #[serde(default)]
    pub target_table: Option<String>,
    /// Mode `replica`: the schema for all tables, or a map from source schema to target schema.
    /// Schemas without an entry keep their name.
    #[serde(default)]
    pub target_schema: Option<TargetSchema>,
    /// Mode `events`: most rows that one INSERT carries.
    #[serde(default = "default_batch_size")]
    #[schemars(range(min = 1, max = 100_000))]
    pub batch_size: u32,
    /// Mode `events`: INSERT … ON CONFLICT (source_topic, source_partition, source_offset) DO UPDATE.
    #[serde(default)]
    pub upsert: bool,
    /// How the connection is encrypted and the server verified.
    #[serde(default)]
    pub tls: TlsConfig,
    /// Longest wait for a connection.
    #[serde(default = "default_connect_timeout_seconds")]
    #[schemars(range(min = 1))]
    pub connect_timeout_seconds: u32,
    /// Longest run of one statement on the server (`statement_timeout`).
    #[serde(default = "default_statement_timeout_seconds")]
    #[schemars(range(min = 1))]
    pub statement_timeout_seconds: u32,
    /// Longest wait for a lock that another session holds (`lock_timeout`).
    #[serde(default = "default_lock_timeout_seconds")]
    #[schemars(range(min = 1))]
    pub lock_timeout_seconds: u32,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// One row of JSON for each change, in one table.
    Events,
    /// One table for each source table, equal to it row by row.
    Replica,
}

/// Where replica tables go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TargetSchema {
    /// One schema for all.
    All(String),
    /// Target schema by source schema.
    BySource(BTreeMap<String, String>),
}

pub(crate) fn default_host() -> String {
    "localhost".into()
}

pub(crate) fn default_port() -> u16 {
    5432
}

pub(crate) fn default_username() -> String {
    "cdc_user".into()
}

pub(crate) fn default_password() -> Secret {
    Secret::new("cdc_password")
}

fn default_batch_size() -> u32 {
    100
}

pub(crate) fn default_connect_timeout_seconds() -> u32 {
    10
}

fn default_statement_timeout_seconds() -> u32 {
    600
}

fn default_lock_timeout_seconds() -> u32 {
    60
}

impl Config {
    /// The mode that is in force.
    #[must_use]
    pub fn mode(&self) -> Mode {
        let implied = if self.target_table.is_some() { Mode::Events } else { Mode::Replica };
        self.mode.unwrap_or(implied)
    }

    /// Refuses what cannot work, before anything is connected to.
    pub(crate) fn validate(&self) -> Result<()> {
        let named =
            [("host", &self.host), ("database", &self.database), ("username", &self.username)];
        for (key, value) in named {
            if value.trim().is_empty() {
                return Err(error::config(format!("`postgres.{key}` is empty")));
            }
        }
        let numbers = [
            ("batch_size", self.batch_size),
            ("connect_timeout_seconds", self.connect_timeout_seconds),
            ("statement_timeout_seconds", self.statement_timeout_seconds),
            ("lock_timeout_seconds", self.lock_timeout_seconds),
        ];
        for (key, value) in numbers {
            if value == 0 {
                return Err(error::config(format!("`postgres.{key}` must be at least 1")));
            }
        }
        match self.mode() {
            Mode::Events => {
                self.events_table()?;
                if self.target_schema.is_some() {
                    return Err(error::config(
                        "`postgres.target_schema` belongs to mode `replica`; mode `events` has `target_table`",
                    ));
                }
            }
            Mode::Replica => {
                if self.target_table.is_some() {
                    return Err(error::config(
                        "`postgres.target_table` belongs to mode `events`; mode `replica` has `target_schema`",
                    ));
                }
                if self.upsert {
                    return Err(error::config(
                        "`postgres.upsert` belongs to mode `events`; mode `replica` always writes by key",
                    ));
                }
            }
        }
        Ok(())
    }

    /// The table of mode `events`.
    pub(crate) fn events_table(&self) -> Result<TableId> {
        let Some(text) = &self.target_table else {
            return Err(error::config(
                "`postgres.target_table` is missing; mode `events` needs it",
            ));
        };
        let (schema, table) = text.split_once('.').unwrap_or(("public", text));
        if schema.is_empty() || table.is_empty() || table.contains('.') {
            return Err(error::config("`postgres.target_table` is not of the form `schema.table`"));
        }
        Ok(TableId::new(schema, table))
    }

    /// Where a source table's replica is.
    pub(crate) fn replica_of(&self, source: &TableId) -> TableId {
        TableId::new(self.schema_of(&source.namespace), source.name.clone())
    }

    /// The target schema of a source schema.
    pub(crate) fn schema_of(&self, source: &str) -> String {
        let mapped = match &self.target_schema {
            Some(TargetSchema::All(schema)) => Some(schema.as_str()),
            Some(TargetSchema::BySource(map)) => map.get(source).map(String::as_str),
            None => None,
        };
        // A source without schemas (an empty namespace) still needs one here.
        let unmapped = if source.is_empty() { "public" } else { source };
        mapped.unwrap_or(unmapped).to_owned()
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_seconds.into())
    }

    pub(crate) fn statement_timeout(&self) -> Duration {
        Duration::from_secs(self.statement_timeout_seconds.into())
    }

    /// `postgres://user@host:port/database`, for messages.
    pub(crate) fn address(&self) -> String {
        format!("postgres://{}@{}:{}/{}", self.username, self.host, self.port, self.database)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: serde_json::Value) -> Result<Config, String> {
        let config: Config = serde_json::from_value(json).map_err(|e| e.to_string())?;
        config.validate().map_err(|e| e.to_string())?;
        Ok(config)
    }

    #[test]
    fn only_the_database_is_required() {
        let config = parse(serde_json::json!({"database": "shop"})).unwrap();
        assert_eq!(config.address(), "postgres://cdc_user@localhost:5432/shop");
        assert_eq!(config.password.expose(), "cdc_password");
        assert_eq!((config.mode(), config.batch_size, config.upsert), (Mode::Replica, 100, false));
    }

    #[test]
    fn a_target_table_means_events() {
        let config =
            parse(serde_json::json!({"database": "d", "target_table": "audit.log"})).unwrap();
        assert_eq!(config.mode(), Mode::Events);
        assert_eq!(config.events_table().unwrap(), TableId::new("audit", "log"));
    }

    #[test]
    fn keys_of_the_other_mode_and_unknown_keys_are_refused() {
        for json in [
            serde_json::json!({"database": "d", "mode": "events"}),
            serde_json::json!({"database": "d", "mode": "replica", "target_table": "a.b"}),
            serde_json::json!({"database": "d", "target_table": "a.b", "target_schema": "s"}),
            serde_json::json!({"database": "d", "upsert": true}),
            serde_json::json!({"database": "d", "target_table": "a.b.c"}),
            serde_json::json!({"database": "d", "batch_size": 0, "target_table": "a.b"}),
            serde_json::json!({"database": "d", "tabel": "x"}),
            serde_json::json!({"host": "h"}),
        ] {
            assert!(parse(json.clone()).is_err(), "{json}");
        }
    }

    #[test]
    fn target_schema_is_one_name_or_a_map() {
        let one = parse(serde_json::json!({"database": "d", "target_schema": "copy"})).unwrap();
        assert_eq!(one.replica_of(&TableId::new("public", "t")), TableId::new("copy", "t"));
        let map = serde_json::json!({"database": "d", "target_schema": {"public": "p"}});
        let map = parse(map).unwrap();
        assert_eq!(map.schema_of("public"), "p");
        assert_eq!(map.schema_of("sales"), "sales");
    }
}
