//! `cdc` and Debezium, each from the marked place of the database's log to a topic.

use std::time::Duration;

use cdc_testkit::services::Connect;
use cdc_testkit::services::connect::{AVRO_CONVERTER, JSON_CONVERTER};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Place;
use super::watch::{Watch, What};
use crate::bench::measure::{self, Usage, postmaster};
use crate::bench::processes::{memory_bytes_peak, tree_cpu_seconds};
use crate::bench::subject::{self, Pipeline, Subject};
use crate::bench::workload;

/// A backlog is read within this time or the contender has failed.
const BACKLOG_WAIT_MAX: Duration = Duration::from_secs(1800);
const SLOT: &str = "bench_debezium";

/// In what records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    Avro,
}

impl Form {
    pub(super) const ALL: [Self; 2] = [Self::Json, Self::Avro];

    /// How it is named in the figures.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Avro => "Avro",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Avro => "avro",
        }
    }
}

/// The files of a `cdc` that writes to Kafka under this prefix.
pub(super) fn files(
    place: &Place<'_>,
    form: Form,
    prefix: &str,
    snapshot_mode: &str,
    sink: Option<&str>,
) -> anyhow::Result<Subject> {
    let word = form.word();
    let platform = format!(
        "transport_mode: kafka\n\
         kafka: {{ bootstrap_servers: \"{}\", schema_registry_url: \"{}\" }}\n\
         format: {{ key: {word}, value: {word} }}\n",
        place.brokers, place.registry
    );
    let pipeline =
        Pipeline { platform: &platform, name: prefix, snapshot_mode, sink, ..Pipeline::STREAM };
    Subject::new(place.arena, &pipeline)
}

/// `cdc` on the backlog.
pub(super) async fn cdc(place: &Place<'_>, form: Form, prefix: &str) -> anyhow::Result<Usage> {
    workload::slot(&place.arena.client, subject::SLOT).await?;
    let usage = cdc_backlog(place, form, prefix).await;
    workload::drop_slot(&place.arena.client, subject::SLOT).await?;
    usage
}

async fn cdc_backlog(place: &Place<'_>, form: Form, prefix: &str) -> anyhow::Result<Usage> {
    let files = files(place, form, prefix, "never", None)?;
    let mut watch = watch(place, prefix).await?;
    let mut process = files.command("run");
    process.arg("--until-current");
    let usage = measure::run(process, place.arena.server, async || watch.has_begun()).await?;
    watch.done(Duration::from_secs(10)).await?;
    Ok(usage)
}

/// Debezium on the backlog: from the start of its worker until the last row is in the topic.
pub(super) async fn debezium(place: &Place<'_>, form: Form, prefix: &str) -> anyhow::Result<Usage> {
    workload::slot(&place.arena.client, SLOT).await?;
    let usage = debezium_backlog(place, form, prefix).await;
    workload::drop_slot(&place.arena.client, SLOT).await?;
    usage
}

async fn debezium_backlog(place: &Place<'_>, form: Form, prefix: &str) -> anyhow::Result<Usage> {
    let mut watch = watch(place, prefix).await?;
    let server = postmaster(place.arena.server)?;
    let server_before = tree_cpu_seconds(server);
    let start = Instant::now();
    let worker = started(place, form, prefix, "no_data")?;
    let end = watch.done(BACKLOG_WAIT_MAX).await?;
    let process = worker.process()?;
    Ok(Usage {
        seconds: (end - start).as_secs_f64(),
        cpu_seconds: tree_cpu_seconds(process),
        server_cpu_seconds: tree_cpu_seconds(server) - server_before,
        memory_bytes_peak: memory_bytes_peak(process).unwrap_or(0),
        first_seconds: watch.first().map(|first| (first - start).as_secs_f64()),
    })
}

/// A worker with a heap of Java's choice and one connector.
pub(super) fn started(
    place: &Place<'_>,
    form: Form,
    prefix: &str,
    snapshot_mode: &str,
) -> anyhow::Result<Connect> {
    let worker = Connect::start_with(place.brokers, &[])?;
    worker.create(prefix, &settings(place, form, prefix, snapshot_mode))?;
    Ok(worker)
}

/// How Debezium is tuned, for the notes.
pub(super) const TUNED: [(&str, &str); 2] =
    [("max.batch.size", "20480"), ("max.queue.size", "81920")];

fn settings(place: &Place<'_>, form: Form, prefix: &str, snapshot_mode: &str) -> Value {
    let server = place.arena.server;
    let mut settings = json!({
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": server.host(),
        "database.port": server.port().to_string(),
        "database.user": server.superuser(),
        "database.password": server.password(),
        "database.dbname": place.arena.database,
        "table.include.list": "public.events",
        "slot.name": SLOT,
        "publication.name": workload::PUBLICATION,
        "publication.autocreate.mode": "disabled",
        "snapshot.mode": snapshot_mode,
        "topic.prefix": prefix,
        "topic.creation.default.partitions": "1",
        "topic.creation.default.replication.factor": "1",
    });
    let mut further: Vec<(String, &str)> =
        TUNED.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    for part in ["key", "value"] {
        let converter = format!("{part}.converter");
        match form {
            Form::Json => {
                further.push((format!("{converter}.schemas.enable"), "false"));
                further.push((converter, JSON_CONVERTER));
            }
            Form::Avro => {
                further.push((format!("{converter}.schema.registry.url"), place.registry));
                further.push((converter, AVRO_CONVERTER));
            }
        }
    }
    if let Some(settings) = settings.as_object_mut() {
        settings.extend(further.into_iter().map(|(name, value)| (name, json!(value))));
    }
    settings
}

async fn watch(place: &Place<'_>, prefix: &str) -> anyhow::Result<Watch> {
    let topic = format!("{prefix}.public.events");
    place.program.watch(What::Count, place.brokers, &topic, place.rows).await
}
