//! A consumer of its own process that tells how far a topic is.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use cdc_testkit::services::installed;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::bench::measure::Running;

const PROGRAM: &str = include_str!("Watch.java");
const POLL: Duration = Duration::from_millis(2);

/// What it is to tell.
#[derive(Clone, Copy)]
pub(super) enum What {
    /// When the topic has a first record and when it has all.
    Count,
    /// When each record arrives.
    Arrivals,
}

/// The compiled program.
pub(super) struct Program {
    class_path: String,
    classes: TempDir,
}

/// One topic under watch.
pub(super) struct Watch {
    _running: Running,
    lines: Receiver<String>,
    first: Option<Instant>,
    arrivals: Vec<(usize, u64)>,
}

impl Program {
    /// Compiles it.
    pub(super) fn compile() -> anyhow::Result<Self> {
        let class_path = installed::kafka()?;
        let classes = tempfile::Builder::new().prefix("cdc-bench-").tempdir()?;
        let source = classes.path().join("Watch.java");
        std::fs::write(&source, PROGRAM)?;
        let output = Command::new("javac")
            .args(["-cp", &class_path, "-d"])
            .args([classes.path(), &source])
            .output()
            .context("run javac")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "javac: {}", said.trim());
        Ok(Self { class_path, classes })
    }

    /// Watches a topic, which need not be there yet, until it has so many records.
    pub(super) async fn watch(
        &self,
        what: What,
        brokers: &str,
        topic: &str,
        count: u64,
    ) -> anyhow::Result<Watch> {
        let mode = match what {
            What::Count => "count",
            What::Arrivals => "arrivals",
        };
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-cp"])
            .arg(format!("{}:{}", self.classes.path().display(), self.class_path))
            .args(["Watch", mode, brokers, topic, &count.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut running = Running::start(&mut command)?;
        let output = running.output().context("the watch has an output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more once the measurement is over.
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let watch = Watch { _running: running, lines, first: None, arrivals: Vec::new() };
        while watch.line()?.as_deref() != Some("ready") {
            sleep(POLL).await;
        }
        Ok(watch)
    }
}

impl Watch {
    /// Waits until the topic has all records; fails when that takes too long.
    pub(super) async fn done(&mut self, limit: Duration) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + limit;
        loop {
            match self.line()? {
                Some(line) if line.starts_with("done") => return Ok(Instant::now()),
                Some(line) if line == "first" => self.first = Some(Instant::now()),
                Some(line) => self.arrivals.extend(arrival(&line)),
                None if Instant::now() > deadline => bail!("rows are missing after {limit:?}"),
                None => sleep(POLL).await,
            }
        }
    }

    /// Whether the topic has a first record.
    pub(super) fn has_begun(&mut self) -> bool {
        if self.first.is_none() && matches!(self.lines.try_recv(), Ok(line) if line == "first") {
            self.first = Some(Instant::now());
        }
        self.first.is_some()
    }

    /// When the first record was there.
    pub(super) fn first(&self) -> Option<Instant> {
        self.first
    }

    /// Ids with the microseconds since 1970 at which they arrived.
    pub(super) fn arrivals(&self) -> &[(usize, u64)] {
        &self.arrivals
    }

    fn line(&self) -> anyhow::Result<Option<String>> {
        match self.lines.try_recv() {
            Ok(line) => Ok(Some(line)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => bail!("the watch of the topic has ended"),
        }
    }
}

fn arrival(line: &str) -> Option<(usize, u64)> {
    let (id, micros) = line.split_once(' ')?;
    Some((id.parse().ok()?, micros.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::arrival;

    #[test]
    fn an_arrival_is_an_id_and_a_time() {
        assert_eq!(arrival("7 1600000000000000"), Some((7, 1_600_000_000_000_000)));
        assert_eq!(arrival("first"), None);
    }
}
