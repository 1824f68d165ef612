//! A server that ends with the test process, whatever way that ends.
#![expect(
    clippy::disallowed_methods,
    reason = "servers are started and stopped outside any runtime, in real time"
)]

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

const POLL: Duration = Duration::from_millis(200);

// Reads until the test process closes the pipe, which its end does too, then stops the server.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
directory=$1
shift
"$@" </dev/null >"$directory/log" 2>&1 &
pid=$!
echo "$pid" >"$directory/pid"
read -r _
kill -KILL "$pid" 2>/dev/null
wait
rm -rf -- "$directory"
"#;

/// The running server with a directory of its own; dropping it stops it and removes the directory.
#[derive(Debug)]
pub(super) struct Tied {
    directory: PathBuf,
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Tied {
    /// Starts `command`, which runs in `/` and may keep files in `directory`.
    pub(super) fn start<I>(directory: TempDir, command: I) -> anyhow::Result<Self>
    where
        I: IntoIterator<Item: AsRef<OsStr>>,
    {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "cdc-test-server"])
            .arg(directory.path())
            .args(command)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start a server")?;
        let pipe = shell.stdin.take();
        Ok(Self { directory: directory.keep(), shell, pipe })
    }

    /// Waits until it answers; fails at once when its log has one of the words of its end.
    pub(super) fn wait_until(
        &self,
        limit: Duration,
        ends: &str,
        answers: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !answers() {
            let log = self.log();
            ensure!(!log.contains(ends), "it ended:\n{}", tail(&log));
            ensure!(Instant::now() < deadline, "it did not start in {limit:?}:\n{}", tail(&log));
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Number of its process.
    pub(super) fn process(&self) -> anyhow::Result<u32> {
        let text =
            std::fs::read_to_string(self.directory.join("pid")).context("read its number")?;
        text.trim().parse().context("its number is a number")
    }

    /// What it wrote so far.
    pub(super) fn log(&self) -> String {
        let bytes = std::fs::read(self.directory.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        drop(self.pipe.take());
        drop(self.shell.wait());
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &str) -> String {
    let skip = log.lines().count().saturating_sub(30);
    log.lines().skip(skip).collect::<Vec<_>>().join("\n")
}
