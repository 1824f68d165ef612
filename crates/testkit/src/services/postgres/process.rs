//! The server's processes: start, wait until ready, stop and kill.
#![expect(
    clippy::disallowed_methods,
    reason = "servers are started and stopped outside any runtime, in real time"
)]

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::read_tail;
use crate::services::account::Account;
use crate::services::installed::Binaries;

const START_WAIT_MAX: Duration = Duration::from_secs(60);
const STOP_WAIT_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// The postmaster, our child.
#[derive(Debug)]
pub(super) struct Process {
    postmaster: Child,
}

impl Process {
    /// Starts the server on `data` and waits until it takes connections.
    pub(super) fn start(
        binaries: &Binaries,
        account: Account,
        data: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = binaries.command("postgres");
        command
            .arg("-D")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        account.apply(&mut command);
        let mut postmaster = command.spawn().context("start postgres")?;
        let deadline = Instant::now() + START_WAIT_MAX;
        while !is_ready(data, postmaster.id()) {
            if let Some(status) = postmaster.try_wait()? {
                bail!("postgres ended with {status}:\n{}", read_tail(log));
            }
            if Instant::now() > deadline {
                postmaster.kill()?;
                postmaster.wait()?;
                bail!("postgres was not ready in {START_WAIT_MAX:?}:\n{}", read_tail(log));
            }
            std::thread::sleep(POLL);
        }
        Ok(Self { postmaster })
    }

    /// Disconnects all clients, writes a checkpoint and ends.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        signal(self.postmaster.id(), Signal::INT);
        if self.ended_within(STOP_WAIT_MAX)? {
            return Ok(());
        }
        // A walsender whose client does not read can hold a clean end up for ever.
        self.kill9()
    }

    /// Kills the postmaster and everything it started.
    pub(super) fn kill9(mut self) -> anyhow::Result<()> {
        let children = children_of(self.postmaster.id());
        self.postmaster.kill().context("kill postgres")?;
        self.postmaster.wait().context("wait for postgres")?;
        for child in &children {
            signal(*child, Signal::KILL);
        }
        let deadline = Instant::now() + STOP_WAIT_MAX;
        while children.iter().any(|child| is_alive(*child)) {
            if Instant::now() > deadline {
                bail!("a child of postgres did not go away");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn ended_within(&mut self, limit: Duration) -> anyhow::Result<bool> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.postmaster.try_wait()?.is_some() {
                return Ok(true);
            }
            std::thread::sleep(POLL);
        }
        Ok(false)
    }
}

// The first line of the lock file is the postmaster's process, the eighth its state.
fn is_ready(data: &Path, pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(data.join("postmaster.pid")) else {
        return false;
    };
    text.lines().next().is_some_and(|line| line.trim() == pid.to_string())
        && text.lines().nth(7).is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
}

fn signal(process: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // It may have ended in the meantime, which is what the signal was for.
        kill_process(pid, signal).ok();
    }
}

// The field of `/proc/N/stat` that many places after the command's name.
fn field(process: u32, place: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The command's name may hold blanks and parentheses; what follows it does not.
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(place).map(str::to_owned)
}

// A killed orphan stays as a zombie until the machine's first process gets round to it.
fn is_alive(process: u32) -> bool {
    field(process, 0).is_some_and(|state| state != "Z" && state != "X")
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|process| field(*process, 1) == Some(parent.to_string()))
        .collect()
}
