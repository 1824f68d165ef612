//! The one list of connectors.

use crate::config::{Diagnostic, Findings, Node, Place, decode};

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
    Postgres(crate::pending::Source),
}

/// A sink's own settings.
#[derive(Clone, Debug)]
pub enum SinkConfig {
    /// An HTTP endpoint.
    Webhook(crate::pending::Sink),
    /// A PostgreSQL database.
    Postgres(crate::pending::Sink),
    /// A file.
    File(crate::pending::Sink),
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
