//! Runs a process and notes how long it took, what it computed and how much memory it had.

use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::Postgres;
use tokio::time::{Instant, sleep};

use super::processes::{cpu_seconds, has_ended, memory_bytes_peak, tree_cpu_seconds};

const POLL: Duration = Duration::from_millis(5);

/// What one run of a process took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    /// What all processes of the database's server computed in the meantime.
    pub(super) server_cpu_seconds: f64,
    pub(super) memory_bytes_peak: u64,
    /// Until `begun` said that it had begun, where that was asked.
    pub(super) first_seconds: Option<f64>,
}

/// A child that ends with this value, however the measurement ends.
pub(super) struct Running(Child);

impl Running {
    /// Starts the command.
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        Ok(Self(command.spawn().with_context(|| format!("start {name}"))?))
    }

    /// Number of the process.
    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// What it writes to its output, where that is piped.
    pub(super) fn output(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// Whether it still runs.
    pub(super) fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is fine here.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs `command` to its end; `begun` is asked every few milliseconds until it says yes.
pub(super) async fn run(
    mut command: Command,
    server: &Postgres,
    mut begun: impl AsyncFnMut() -> bool,
) -> anyhow::Result<Usage> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let postmaster = postmaster(server)?;
    let server_before = tree_cpu_seconds(postmaster);
    let start = Instant::now();
    let mut running = Running::start(&mut command)?;
    let mut stderr = running.0.stderr.take().context("the process has an error output")?;
    let said = std::thread::spawn(move || {
        let mut said = Vec::new();
        drop(std::io::copy(&mut stderr, &mut said));
        said
    });
    let (mut peak, mut first_seconds) = (0, None);
    // A process that has ended keeps its times until somebody waits for it.
    while !has_ended(running.id()) {
        peak = memory_bytes_peak(running.id()).unwrap_or(0).max(peak);
        if first_seconds.is_none() && begun().await {
            first_seconds = Some(start.elapsed().as_secs_f64());
        }
        sleep(POLL).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds(running.id()).unwrap_or(0.0);
    let server_cpu_seconds = tree_cpu_seconds(postmaster) - server_before;
    let status = running.0.wait().with_context(|| format!("wait for {name}"))?;
    let said = said.join().unwrap_or_default();
    ensure!(status.success(), "{name}: {status}: {}", String::from_utf8_lossy(&said).trim());
    Ok(Usage { seconds, cpu_seconds, server_cpu_seconds, memory_bytes_peak: peak, first_seconds })
}

/// The median by time.
pub(super) fn median(mut runs: Vec<Usage>) -> anyhow::Result<Usage> {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    runs.get(runs.len() / 2).copied().context("nothing was measured")
}

/// The process of which all others of the server are children.
pub(super) fn postmaster(server: &Postgres) -> anyhow::Result<u32> {
    let file = server.data_directory().join("postmaster.pid");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let line = text.lines().next().context("postmaster.pid is empty")?;
    line.trim().parse().context("postmaster.pid begins with a number")
}
