//! `cdc` as the benchmarks run it: from the database to the embedded log and no further.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::{Port, Postgres};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One pipeline with files and data of its own.
pub(super) struct Subject {
    binary: PathBuf,
    directory: TempDir,
    http: Port,
}

impl Subject {
    /// A pipeline that reads `database` through `slot`. `sink` is a sink in YAML; without it the only
    /// sink is disabled, so that the log is the last place.
    pub(super) fn new(
        binary: &Path,
        server: &Postgres,
        database: &str,
        slot: &str,
        snapshot_mode: &str,
        sink: Option<&str>,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("cdc-bench-").tempdir()?;
        let http = Port::reserve()?;
        let nowhere =
            "{ sink_id: nowhere, sink_type: file, enabled: false, file: { path: nowhere.jsonl } }";
        let pipeline = format!(
            "pipeline_id: bench\n\
             source:\n  host: {}\n  port: {}\n  database: {database}\n  username: {}\n  \
             password: {}\n  tables: [public.events]\n  slot_name: {slot}\n  \
             publication_name: {}\n  snapshot_mode: {snapshot_mode}\n\
             sinks:\n  - {}\n",
            server.host(),
            server.port(),
            server.superuser(),
            server.password(),
            super::workload::PUBLICATION,
            sink.unwrap_or(nowhere)
        );
        std::fs::write(directory.path().join("pipeline.yaml"), pipeline)?;
        let platform = format!("rest: {{ health_port: {} }}\n", http.number());
        std::fs::write(directory.path().join("platform.yaml"), platform)?;
        Ok(Self { binary: binary.to_path_buf(), directory, http })
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

    /// `cdc run --until-current`.
    pub(super) fn until_current(&self) -> Command {
        let mut process = self.command("run");
        process.arg("--until-current");
        process
    }

    /// Has the log a first record?
    pub(super) async fn has_begun(&self) -> bool {
        self.end_offset().await.is_ok_and(|offset| offset > 0)
    }

    /// Bytes of the log's files.
    pub(super) fn log_bytes(&self) -> anyhow::Result<u64> {
        let log = self.directory.path().join("cdc-data/bench/log");
        let entries = std::fs::read_dir(&log).with_context(|| format!("read {}", log.display()))?;
        entries.map(|entry| Ok(entry?.metadata()?.len())).sum()
    }

    /// Fails when the log cannot hold so many rows.
    pub(super) fn check_log(&self, rows: u64) -> anyhow::Result<()> {
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
