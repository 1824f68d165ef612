//! Where the offsets of consumer groups are kept: keys of the `kafka` block.

use super::{
    diagnostic::Diagnostic,
    findings::Findings,
    kafka::BesideKafka,
    yaml::{Entry, Node},
};
use schemars::JsonSchema;
use serde::Deserialize;

/// Where offsets are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OffsetStorage {
    /// In Kafka.
    #[default]
    Kafka,
    /// In Kafka, and in a table of a PostgreSQL database.
    Postgres,
}

/// Looks whether the storage and its block fit each other.
pub(super) fn check(beside: &BesideKafka, entry: &Entry, findings: &Findings) {
    let key_of = |node: &Node, key: &str| node.get(key).map(|entry| entry.key_span);
    let add = |code, key: &str, message: String, remedy: &str| {
        let problem = Diagnostic::new(code, message);
        let at = key_of(&entry.value, key).unwrap_or(entry.key_span);
        findings.add(problem.at(at).with_remedy(remedy));
    };
    match (beside.offset_storage, &beside.offset_storage_postgres) {
        (OffsetStorage::Postgres, None) => add(
            "CDC-0109",
            "offset_storage",
            "`kafka.offset_storage: postgres` needs the block `offset_storage_postgres` beside it"
                .to_owned(),
            "name the database: offset_storage_postgres: {host: …, database: …, username: …, password: ${…}}",
        ),
        (OffsetStorage::Kafka, Some(_)) => add(
            "CDC-0109",
            "offset_storage_postgres",
            "`kafka.offset_storage_postgres` has no effect without `offset_storage: postgres`"
                .to_owned(),
            "add offset_storage: postgres, or remove the block",
        ),
        (OffsetStorage::Postgres, Some(table)) => {
            if let Some((key, words)) = table.fault() {
                add(
                    "CDC-0104",
                    "offset_storage_postgres",
                    format!("`kafka.offset_storage_postgres.{key}` {words}"),
                    "leave the key out for its default",
                );
            }
        }
        (OffsetStorage::Kafka, None) => {}
    }
}
