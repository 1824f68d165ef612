use std::path::{Path, PathBuf};
use std::time::Duration;

use cdc_testkit::services::{Port, Postgres, Receiver, skip};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::process::{Ended, Running, eventually, run, run_within};

/// A source database, a target database and the files of one pipeline between them.
pub(crate) struct Scene {
    pub(crate) source: Client,
    pub(crate) target: Client,
    pub(crate) source_database: String,
    pub(crate) target_database: String,
    /// `pipeline.yaml`, as JSON, which is YAML too.
    pub(crate) pipeline: Value,
    /// `platform.yaml`, likewise.
    pub(crate) platform: Value,
    directory: TempDir,
    http: Port,
}

/// The oldest installed major among those that the project is tested with.
pub(crate) fn any_server() -> Option<&'static Postgres> {
    match Postgres::available().first() {
        Some(major) => Some(Postgres::shared(*major).unwrap()),
        None => {
            let reason = Postgres::is_missing(15).unwrap_or_default();
            skip("e2e", &reason).unwrap();
            None
        }
    }
}

impl Scene {
    /// A new scene whose two databases are on one server.
    pub(crate) async fn on(server: &Postgres) -> Self {
        Self::between(server, server).await
    }

    pub(crate) async fn between(from: &Postgres, to: &Postgres) -> Self {
        let source_database = from.create_database("source").await.unwrap();
        let target_database = to.create_database("target").await.unwrap();
        let http = Port::reserve().unwrap();
        let slot = format!("cdc_{source_database}");
        let directory = TempDir::new().unwrap();
        let pipeline = json!({
            "pipeline_id": "shop",
            "source": {
                "host": from.host(),
                "port": from.port(),
                "database": source_database,
                "username": from.superuser(),
                "password": from.password(),
                "slot_name": slot,
                "publication_name": "cdc_shop",
            },
            "sinks": [],
        });
        let platform = json!({
            "embedded": { "data_dir": directory.path().join("data") },
            "rest": { "health_port": http.number() },
            "retry": { "initial_wait_seconds": 0.1, "max_wait_seconds": 1 },
        });
        Self {
            source: from.connect(&source_database).await.unwrap(),
            target: to.connect(&target_database).await.unwrap(),
            source_database,
            target_database,
            pipeline,
            platform,
            directory,
            http,
        }
    }

    pub(crate) fn with_replica(self, to: &Postgres) -> Self {
        let block = self.database_block(to);
        self.with_sink("replica", "postgres", block)
    }

    pub(crate) fn with_events(self, to: &Postgres) -> Self {
        let mut block = self.database_block(to);
        block["target_table"] = json!("public.events");
        self.with_sink("events", "postgres", block)
    }

    pub(crate) fn with_file(self) -> Self {
        let path = self.file();
        self.with_sink("file", "file", json!({ "path": path }))
    }

    pub(crate) fn with_webhook(self, receiver: &Receiver) -> Self {
        let url = receiver.url();
        self.with_sink("webhook", "webhook", json!({ "url": url }))
    }

    pub(crate) fn with_sink(mut self, id: &str, kind: &str, block: Value) -> Self {
        let mut sink = json!({ "sink_id": id, "sink_type": kind });
        sink[kind] = block;
        self.pipeline["sinks"].as_array_mut().unwrap().push(sink);
        self
    }

    /// The settings of a sink that writes to the target database.
    pub(crate) fn database_block(&self, to: &Postgres) -> Value {
        json!({
            "host": to.host(),
            "port": to.port(),
            "database": self.target_database,
            "username": to.superuser(),
            "password": to.password(),
        })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the file sink writes.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory().join("changes.jsonl")
    }

    pub(crate) fn slot(&self) -> String {
        self.pipeline["source"]["slot_name"].as_str().unwrap().to_owned()
    }

    /// Waits until no session reads from the slot any more: the server needs a moment to see that a
    /// process has gone.
    pub(crate) async fn slot_is_free(&self) {
        eventually("the slot is free", async || {
            let sql = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND active";
            self.source.query_one(sql, &[&self.slot()]).await.unwrap().get::<_, i64>(0) == 0
        })
        .await;
    }

    pub(crate) fn http(&self) -> u16 {
        self.http.number()
    }

    /// Runs a command that takes the pipeline file, to its end.
    pub(crate) async fn cdc(&self, command: &[&str]) -> Ended {
        let arguments = self.arguments(command);
        run(self.directory(), &texts(&arguments)).await
    }

    /// Delivers everything that is committed by now.
    pub(crate) async fn run_until_current(&self) -> Ended {
        self.cdc(&["run", "--until-current"]).await
    }

    /// Runs a command that takes the pipeline file, and may take so long.
    pub(crate) async fn cdc_within(&self, limit: Duration, command: &[&str]) -> Ended {
        let arguments = self.arguments(command);
        run_within(limit, self.directory(), &texts(&arguments)).await
    }

    /// Starts the pipeline, to run until it is stopped.
    pub(crate) fn start(&self) -> Running {
        self.start_with(&["run"])
    }

    /// Starts a command that takes the pipeline file.
    pub(crate) fn start_with(&self, command: &[&str]) -> Running {
        let arguments = self.arguments(command);
        Running::start(self.directory(), &texts(&arguments), self.http())
    }

    fn arguments(&self, command: &[&str]) -> Vec<String> {
        let pipeline = self.write("pipeline.yaml", &self.pipeline);
        let platform = self.write("platform.yaml", &self.platform);
        let (name, options) = command.split_first().unwrap();
        let words = name.split(' ').map(str::to_owned);
        let options = options.iter().map(|option| (*option).to_owned());
        let files = [pipeline, "--platform-config".to_owned(), platform];
        words.chain(files).chain(options).collect()
    }

    fn write(&self, name: &str, content: &Value) -> String {
        let path = self.directory().join(name);
        // In one step: a command that was just started may be reading it.
        let new = tempfile::NamedTempFile::new_in(self.directory()).unwrap();
        std::fs::write(&new, serde_json::to_string_pretty(content).unwrap()).unwrap();
        new.persist(&path).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}
