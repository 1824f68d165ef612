//! Runs a process and notes how long it took, what it computed and how much memory it had.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(5);

/// What one run of a process took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) memory_bytes_peak: u64,
    /// Until `begun` said that it had begun, where that was asked.
    pub(super) first_seconds: Option<f64>,
}

/// Runs `command` to its end; `begun` is asked every few milliseconds until it says yes.
pub(super) async fn run(
    mut command: Command,
    mut begun: impl AsyncFnMut() -> bool,
) -> anyhow::Result<Usage> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("start {name}"))?;
    let mut stderr = child.stderr.take().context("the process has an error output")?;
    let said = std::thread::spawn(move || {
        let mut said = Vec::new();
        drop(std::io::copy(&mut stderr, &mut said));
        said
    });
    let (mut memory_bytes_peak, mut first_seconds) = (0, None);
    // A process that has ended keeps its times until somebody waits for it.
    while !has_ended(child.id()) {
        memory_bytes_peak = memory_peak(child.id()).unwrap_or(0).max(memory_bytes_peak);
        if first_seconds.is_none() && begun().await {
            first_seconds = Some(start.elapsed().as_secs_f64());
        }
        sleep(POLL).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds(child.id()).unwrap_or(0.0);
    let status = child.wait().with_context(|| format!("wait for {name}"))?;
    let said = said.join().unwrap_or_default();
    ensure!(status.success(), "{name}: {status}: {}", String::from_utf8_lossy(&said).trim());
    Ok(Usage { seconds, cpu_seconds, memory_bytes_peak, first_seconds })
}

/// The median by time.
pub(super) fn median(mut runs: Vec<Usage>) -> anyhow::Result<Usage> {
    runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    runs.get(runs.len() / 2).copied().context("nothing was measured")
}

fn stat(process: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The command's name may hold blanks and parentheses; what follows it does not.
    let (_, after) = text.rsplit_once(')')?;
    Some(after.split_whitespace().map(str::to_owned).collect())
}

fn has_ended(process: u32) -> bool {
    stat(process).is_none_or(|fields| fields.first().is_none_or(|state| state == "Z"))
}

fn cpu_seconds(process: u32) -> Option<f64> {
    // The kernel counts in hundredths of a second towards user space, whatever its own clock.
    const TICKS_A_SECOND: f64 = 100.0;
    let fields = stat(process)?;
    let ticks = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_A_SECOND)
}

fn memory_peak(process: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
