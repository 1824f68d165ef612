//! Who writes topics, and Debezium's connector as one of them.

use cdc_testkit::services::connect::{AVRO_CONVERTER, JSON_CONVERTER};
use cdc_testkit::services::{Connect, Postgres};
use serde_json::{Map, Value, json};

/// In what records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// JSON, each key and value with its schema.
    Json,
    /// JSON alone.
    Plain,
    /// Avro, with names fit for it.
    Avro,
    /// Protobuf; only ours.
    Protobuf,
    /// JSON with its schema in the registry; only ours.
    JsonSchema,
}

/// One writer of topics with a slot and a publication of its own.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    /// First part of the topics' names.
    pub(super) prefix: &'static str,
    pub(super) written: Written,
    /// How many partitions each topic has.
    pub(super) partitions: u32,
}

impl Contender {
    pub(super) const fn new(prefix: &'static str, written: Written, partitions: u32) -> Self {
        Self { prefix, written, partitions }
    }

    /// Starts Debezium with the settings that its documentation has for this form.
    pub(super) fn start_debezium(
        &self,
        connect: &Connect,
        server: &Postgres,
        database: &str,
        registry: &str,
    ) -> anyhow::Result<()> {
        let Self { prefix, partitions, .. } = self;
        let mut settings = json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "tasks.max": "1",
            "plugin.name": "pgoutput",
            "database.hostname": server.host(),
            "database.port": server.port().to_string(),
            "database.user": server.superuser(),
            "database.password": server.password(),
            "database.dbname": database,
            "slot.name": prefix,
            "publication.name": prefix,
            "publication.autocreate.mode": "disabled",
            "snapshot.mode": "initial",
            "skipped.operations": "none",
            "provide.transaction.metadata": "true",
            "poll.interval.ms": "20",
            "topic.prefix": prefix,
            "topic.creation.default.partitions": partitions.to_string(),
            "topic.creation.default.replication.factor": "1",
        });
        if let Some(settings) = settings.as_object_mut() {
            self.convert("key", registry, settings);
            self.convert("value", registry, settings);
            if self.written == Written::Avro {
                for what in ["schema.name", "field.name"] {
                    settings.insert(format!("{what}.adjustment.mode"), json!("avro"));
                }
            }
        }
        connect.create(prefix, &settings)
    }

    fn convert(&self, part: &str, registry: &str, settings: &mut Map<String, Value>) {
        let converter = format!("{part}.converter");
        match self.written {
            Written::Json | Written::Plain | Written::Protobuf | Written::JsonSchema => {
                let schemas = (self.written == Written::Json).to_string();
                settings.insert(format!("{converter}.schemas.enable"), json!(schemas));
                settings.insert(converter, json!(JSON_CONVERTER));
            }
            Written::Avro => {
                settings.insert(format!("{converter}.schema.registry.url"), json!(registry));
                settings.insert(converter, json!(AVRO_CONVERTER));
            }
        }
    }
}
