//! The one list of connectors.

use crate::config::{Diagnostic, Findings, Node, Place, decode, object};
use cdc_core::{
    Result,
    catalog::{SharedSinkConnector, SharedSourceConnector},
};
use schemars::SchemaGenerator;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The kinds of one part of a pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Kinds {
    /// What this version has.
    pub available: &'static [&'static str],
    /// What users know from elsewhere and this version does not have.
    pub planned: &'static [&'static str],
}

/// Kinds of sources.
pub const SOURCES: Kinds =
    Kinds { available: &["postgres"], planned: &["mysql", "mariadb", "mongodb", "sqlserver"] };

/// Kinds of sinks.
pub const SINKS: Kinds = Kinds {
    available: &["webhook", "postgres", "file"],
    planned: &["iceberg", "s3", "elasticsearch", "redis", "snowflake", "kafka"],
};

/// A source's own settings.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// PostgreSQL.
    Postgres(cdc_source_postgres::Config),
}

/// A sink's own settings.
#[derive(Clone, Debug)]
pub enum SinkConfig {
    /// An HTTP endpoint.
    Webhook(cdc_sink_webhook::Config),
    /// A PostgreSQL database.
    Postgres(cdc_sink_postgres::Config),
    /// A file.
    File(cdc_sink_file::Config),
}

impl SourceConfig {
    /// The word in the file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
        }
    }

    /// Name of the database that is captured.
    #[must_use]
    pub fn database(&self) -> &str {
        match self {
            Self::Postgres(config) => &config.database,
        }
    }

    /// Makes the connector; refuses settings that cannot work.
    pub fn connector(&self) -> Result<SharedSourceConnector> {
        Ok(match self {
            Self::Postgres(config) => {
                Arc::new(cdc_source_postgres::Connector::new(config.clone())?)
            }
        })
    }
}

impl SinkConfig {
    /// Makes the connector; refuses settings that cannot work.
    pub fn connector(&self) -> Result<SharedSinkConnector> {
        Ok(match self {
            Self::Webhook(config) => Arc::new(cdc_sink_webhook::Connector::new(config.clone())?),
            Self::Postgres(config) => Arc::new(cdc_sink_postgres::Connector::new(config.clone())?),
            Self::File(config) => Arc::new(cdc_sink_file::Connector::new(config.clone())?),
        })
    }
}

/// Schemas of the blocks of all sources.
pub(crate) fn source_schemas(generator: &mut SchemaGenerator) -> Vec<Map<String, Value>> {
    vec![object::<cdc_source_postgres::Config>(generator)]
}

/// Schemas of the blocks of all sinks, by their words in the file.
pub(crate) fn sink_schemas(
    generator: &mut SchemaGenerator,
) -> Vec<(&'static str, Map<String, Value>)> {
    vec![
        ("webhook", object::<cdc_sink_webhook::Config>(generator)),
        ("postgres", object::<cdc_sink_postgres::Config>(generator)),
        ("file", object::<cdc_sink_file::Config>(generator)),
    ]
}

/// Decodes the block of a source.
pub(crate) fn decode_source(
    kind: &str,
    node: &Node,
    place: &Place,
    findings: &Findings,
) -> Option<SourceConfig> {
    match kind {
        "postgres" => decode(node, place, &["source_type"], findings).map(SourceConfig::Postgres),
        _ => None,
    }
}

/// Decodes the block of a sink.
pub(crate) fn decode_sink(
    kind: &str,
    node: &Node,
    place: &Place,
    findings: &Findings,
) -> Option<SinkConfig> {
    match kind {
        "webhook" => decode(node, place, &[], findings).map(SinkConfig::Webhook),
        "postgres" => decode(node, place, &[], findings).map(SinkConfig::Postgres),
        "file" => decode(node, place, &[], findings).map(SinkConfig::File),
        _ => None,
    }
}

/// Says that a known kind is not in this version.
pub(crate) fn not_in_this_version(key: &str, name: &str, available: &[&str]) -> Diagnostic {
    let message = format!("{key} `{name}` is not in this version");
    Diagnostic::new("CDC-0108", message)
        .with_remedy(format!("available are: {}", available.join(", ")))
}

/// Says that nobody knows this kind.
pub(crate) fn unknown_kind(key: &str, name: &str, available: &[&str]) -> Diagnostic {
    let message = format!("{key} must be one of {}, but it is `{name}`", available.join(", "));
    Diagnostic::new("CDC-0104", message)
}
