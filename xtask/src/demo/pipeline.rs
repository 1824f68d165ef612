//! The pipeline's files, the process that runs it and what it says about itself.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cdc_testkit::services::{Port, Postgres, Receiver};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// The variable that the pipeline file takes the password from.
const PASSWORD: &str = "SHOP_PASSWORD";
const STOP_WAIT_MAX: Duration = Duration::from_secs(15);
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// What the demo shows of `GET /api/v1/pipelines/{id}`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) source: Source,
    pub(super) sinks: Vec<Sink>,
}

/// The source's part.
#[derive(Debug, Deserialize)]
pub(super) struct Source {
    pub(super) state: String,
    pub(super) lag_bytes: Option<u64>,
}

/// A sink's part.
#[derive(Debug, Deserialize)]
pub(super) struct Sink {
    pub(super) sink_id: String,
    pub(super) status: String,
    pub(super) delivered: u64,
    pub(super) lag_records: u64,
    pub(super) lag_ms: u64,
}

impl Status {
    /// Has every sink everything that the source has?
    pub(super) fn is_caught_up(&self) -> bool {
        self.source.state == "running"
            && self.source.lag_bytes.is_none_or(|lag| lag == 0)
            && self.sinks.iter().all(|sink| sink.lag_records == 0)
    }
}

/// The pipeline of the demo; dropping it kills `cdc` and removes its files.
pub(super) struct Pipeline {
    binary: PathBuf,
    directory: TempDir,
    http: Port,
    password: &'static str,
    running: Option<Child>,
}

impl Pipeline {
    /// Writes the files.
    pub(super) fn new(
        binary: &Path,
        server: &Postgres,
        source: &str,
        copy: &str,
        receiver: &Receiver,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("cdc-demo-").tempdir()?;
        let http = Port::reserve()?;
        let (port, user) = (server.port(), server.superuser());
        let pipeline = format!(
            "pipeline_id: shop\n\
             source: {{ host: 127.0.0.1, port: {port}, database: {source}, username: {user}, \
             password: ${{{PASSWORD}}} }}\n\
             sinks:\n  \
             - sink_id: database\n    sink_type: postgres\n    \
             postgres: {{ host: 127.0.0.1, port: {port}, database: {copy}, username: {user}, \
             password: ${{{PASSWORD}}} }}\n  \
             - sink_id: file\n    sink_type: file\n    file: {{ path: changes.jsonl }}\n  \
             - sink_id: webhook\n    sink_type: webhook\n    webhook: {{ url: \"{}\" }}\n",
            receiver.url()
        );
        std::fs::write(directory.path().join("pipeline.yaml"), pipeline)?;
        let platform = format!("rest: {{ health_port: {} }}\n", http.number());
        std::fs::write(directory.path().join("platform.yaml"), platform)?;
        let (binary, password) = (binary.to_path_buf(), server.password());
        Ok(Self { binary, directory, http, password, running: None })
    }

    /// The command and the file that it runs.
    pub(super) fn summary(&self) -> String {
        let text = std::fs::read_to_string(self.directory.path().join("pipeline.yaml"));
        let text = text.unwrap_or_default();
        let lines: String = text.lines().map(|line| format!("    {line}\n")).collect();
        format!("  cdc run pipeline.yaml --platform-config platform.yaml\n\n{}", lines.trim_end())
    }

    /// Where the file sink writes.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.path().join("changes.jsonl")
    }

    /// Starts `cdc`.
    pub(super) fn start(&mut self) -> anyhow::Result<()> {
        use std::os::unix::process::CommandExt as _;
        let log = File::options().create(true).append(true).open(self.log())?;
        let child = Command::new(&self.binary)
            .args(["run", "pipeline.yaml", "--platform-config", "platform.yaml"])
            .current_dir(self.directory.path())
            .env(PASSWORD, self.password)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("start cdc")?;
        self.running = Some(child);
        Ok(())
    }

    /// Fails when `cdc` ended by itself.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(child) = &mut self.running
            && let Some(status) = child.try_wait()?
        {
            bail!("cdc ended by itself with {status}:\n{}", self.log_tail());
        }
        Ok(())
    }

    /// Kills `cdc` as the operating system would.
    pub(super) fn kill9(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.running.take() {
            child.kill().context("kill cdc")?;
            child.wait().context("wait for cdc")?;
        }
        Ok(())
    }

    /// Stops `cdc` as Ctrl-C does.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        let Some(child) = &mut self.running else { return Ok(()) };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("cdc has a process number")?, Signal::INT)?;
        let deadline = Instant::now() + STOP_WAIT_MAX;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < deadline, "cdc did not stop:\n{}", self.log_tail());
            sleep(Duration::from_millis(20)).await;
        };
        self.running = None;
        ensure!(status.success(), "cdc stopped with {status}:\n{}", self.log_tail());
        Ok(())
    }

    /// What `cdc` says about itself; `None` while it does not answer.
    pub(super) async fn status(&self) -> Option<Status> {
        self.running.as_ref()?;
        let body = timeout(ANSWER_WAIT_MAX, self.get("/api/v1/pipelines/shop")).await.ok()?.ok()?;
        serde_json::from_str(&body).ok()
    }

    /// The last lines that `cdc` logged.
    pub(super) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let skip = text.lines().count().saturating_sub(15);
        text.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("cdc.log")
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http.number())).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        Ok(body.to_owned())
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // There is nobody left to tell.
        drop(self.kill9());
    }
}
