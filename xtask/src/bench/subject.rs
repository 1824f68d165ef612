//! `cdc` as the benchmarks run it: from the database to the embedded log and no further.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::Port;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::arena::Arena;
use super::measure::{self, Usage};
use super::workload;

/// The slot that `cdc` reads.
pub(super) const SLOT: &str = "bench_cdc";

/// What is not the same in every benchmark.
#[derive(Clone, Copy)]
pub(super) struct Pipeline<'a> {
    pub(super) tables: &'a str,
    pub(super) snapshot_mode: &'a str,
    /// Sessions that copy tables; without it what `cdc` takes by itself.
    pub(super) snapshot_readers: Option<u8>,
    /// A sink in YAML; without it the only sink is disabled, so that the log is the last place.
    pub(super) sink: Option<&'a str>,
    /// Its name, and the first part of its topics' names.
    pub(super) name: &'a str,
    /// More lines of the platform's file.
    pub(super) platform: &'a str,
}

impl Pipeline<'_> {
    /// The one table, from its slot on.
    pub(super) const STREAM: Self = Self {
        tables: "public.events",
        snapshot_mode: "never",
        snapshot_readers: None,
        sink: None,
        name: "bench",
        platform: "",
    };

    fn yaml(&self, arena: &Arena<'_>) -> String {
        let server = arena.server;
        let nowhere =
            "{ sink_id: nowhere, sink_type: file, enabled: false, file: { path: nowhere.jsonl } }";
        let name = self.name;
        let readers = self.snapshot_readers.map(|count| format!("  snapshot_readers: {count}\n"));
        format!(
            "pipeline_id: {name}\ntopic_prefix: {name}\n\
             source:\n  host: {}\n  port: {}\n  database: {}\n  username: {}\n  password: {}\n  \
             tables: [{}]\n  slot_name: {SLOT}\n  publication_name: {}\n  snapshot_mode: {}\n\
             {}sinks:\n  - {}\n",
            server.host(),
            server.port(),
            arena.database,
            server.superuser(),
            server.password(),
            self.tables,
            workload::PUBLICATION,
            self.snapshot_mode,
            readers.unwrap_or_default(),
            self.sink.unwrap_or(nowhere)
        )
    }
}

/// One pipeline with files and data of its own.
pub(super) struct Subject {
    binary: PathBuf,
    directory: TempDir,
    http: Port,
}

impl Subject {
    /// Writes the files of a pipeline that nothing has run on yet.
    pub(super) fn new(arena: &Arena<'_>, pipeline: &Pipeline<'_>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("cdc-bench-").tempdir()?;
        let http = Port::reserve()?;
        std::fs::write(directory.path().join("pipeline.yaml"), pipeline.yaml(arena))?;
        let port = http.number();
        let platform = format!("rest: {{ health_port: {port} }}\n{}", pipeline.platform);
        std::fs::write(directory.path().join("platform.yaml"), platform)?;
        Ok(Self { binary: arena.binary.to_path_buf(), directory, http })
    }

    /// A command on this pipeline's files.
    pub(super) fn command(&self, command: &str) -> Command {
        let mut process = Command::new(&self.binary);
        process
            .args([command, "pipeline.yaml", "--platform-config", "platform.yaml"])
            .current_dir(self.directory.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        process
    }

    /// Has the log a first record?
    async fn has_begun(&self) -> bool {
        self.end_offset().await.is_ok_and(|offset| offset > 0)
    }

    /// Bytes of the log's files.
    fn log_bytes(&self) -> anyhow::Result<u64> {
        let log = self.directory.path().join("cdc-data/bench/log");
        let entries = std::fs::read_dir(&log).with_context(|| format!("read {}", log.display()))?;
        entries.map(|entry| Ok(entry?.metadata()?.len())).sum()
    }

    /// Fails when the log cannot hold so many rows.
    fn check_log(&self, rows: u64) -> anyhow::Result<()> {
        // A row of the workload needs more than this in any encoding that is not compressed.
        const ROW_BYTES_MIN: u64 = 80;
        let bytes = self.log_bytes()?;
        ensure!(bytes >= rows * ROW_BYTES_MIN, "the log has {bytes} bytes: rows are missing");
        Ok(())
    }

    async fn end_offset(&self) -> anyhow::Result<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http.number())).await?;
        let request = "GET /api/v1/pipelines/bench HTTP/1.0\r\nHost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        let status: serde_json::Value = serde_json::from_str(body)?;
        status
            .pointer("/transport/end_offset")
            .and_then(serde_json::Value::as_u64)
            .context("the status has the log's end")
    }
}

/// Runs `cdc` from the marked place until it has so many rows in its log.
pub(super) async fn stream(
    arena: &Arena<'_>,
    pipeline: &Pipeline<'_>,
    rows: u64,
) -> anyhow::Result<Usage> {
    workload::slot(&arena.client, SLOT).await?;
    until_current(arena, pipeline, rows).await
}

/// Runs `cdc` without a slot until it has copied so many rows into its log.
pub(super) async fn snapshot(
    arena: &Arena<'_>,
    readers: Option<u8>,
    rows: u64,
) -> anyhow::Result<Usage> {
    let pipeline =
        Pipeline { snapshot_mode: "initial", snapshot_readers: readers, ..Pipeline::STREAM };
    until_current(arena, &pipeline, rows).await
}

async fn until_current(
    arena: &Arena<'_>,
    pipeline: &Pipeline<'_>,
    rows: u64,
) -> anyhow::Result<Usage> {
    let subject = Subject::new(arena, pipeline)?;
    let mut process = subject.command("run");
    process.arg("--until-current");
    let usage = measure::run(process, arena.server, async || subject.has_begun().await).await?;
    subject.check_log(rows)?;
    workload::drop_slot(&arena.client, SLOT).await?;
    Ok(usage)
}
