//! `cdc run` as a contender: its files and its process.

use anyhow::{Context as _, ensure};
use cdc_testkit::services::Port;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::contender::{Contender, Written};
use super::process::{Running, run};
use super::world::World;

/// A running `cdc` that writes the topics of one contender.
pub(super) struct Ours {
    running: Running,
    _directory: TempDir,
    _http: Port,
}

impl Ours {
    /// Checks the pipeline, deploys it and runs it.
    pub(super) async fn start(
        world: &World,
        contender: &Contender,
        registry: &str,
    ) -> anyhow::Result<Self> {
        let directory = TempDir::new().context("make a directory")?;
        let http = Port::reserve()?;
        let files = [
            ("pipeline.yaml", pipeline(world, contender)),
            ("platform.yaml", platform(world, contender, registry, http.number())),
        ];
        for (name, content) in files {
            std::fs::write(directory.path().join(name), serde_json::to_string_pretty(&content)?)?;
        }
        let arguments = |command| [command, "pipeline.yaml", "--platform-config", "platform.yaml"];
        let checked = run(directory.path(), &arguments("check")).await;
        ensure!(checked.code == Some(0), "cdc check: {}", checked.said());
        let running = Running::start(directory.path(), &arguments("run"), http.number());
        Ok(Self { running, _directory: directory, _http: http })
    }

    /// Fails with its log when it has ended.
    pub(super) fn is_running(&mut self) -> anyhow::Result<()> {
        let runs = self.running.is_running();
        ensure!(runs, "cdc ended by itself:\n{}", self.running.log());
        Ok(())
    }
}

fn pipeline(world: &World, contender: &Contender) -> Value {
    let server = &world.server;
    json!({
        "pipeline_id": contender.prefix,
        "topic_prefix": contender.prefix,
        "source": {
            "host": server.host(),
            "port": server.port(),
            "database": world.database,
            "username": server.superuser(),
            "password": server.password(),
            "slot_name": contender.prefix,
            "publication_name": contender.prefix,
        },
        "sinks": [{
            "sink_id": "nowhere", "sink_type": "file", "enabled": false,
            "file": { "path": "nowhere.jsonl" },
        }],
    })
}

fn platform(world: &World, contender: &Contender, registry: &str, http: u16) -> Value {
    let written = match contender.written {
        Written::Json => "json_with_schemas",
        Written::Plain => "json",
        Written::Avro => "avro",
        Written::Protobuf => "protobuf",
        Written::JsonSchema => "json_schema",
    };
    let mut format = json!({
        "key": written,
        "value": written,
        "skipped_operations": "none",
        "provide_transaction_metadata": true,
    });
    if contender.written == Written::Avro {
        format["schema_name_adjustment_mode"] = json!("avro");
        format["field_name_adjustment_mode"] = json!("avro");
    }
    json!({
        "transport_mode": "kafka",
        "kafka": {
            "bootstrap_servers": world.kafka.bootstrap(),
            "topic_num_partitions": contender.partitions,
            "schema_registry_url": registry,
        },
        "format": format,
        "rest": { "health_port": http },
        "retry": { "initial_wait_seconds": 0.1, "max_wait_seconds": 1 },
    })
}
