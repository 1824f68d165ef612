//! Cleans up after a test process that ended without doing so itself, even by `kill -9`.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context as _;

// Reads until the test process closes the pipe, which its end does too, then stops the server at
// once, gently if it is given a signal for that, and removes its directory.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
read -r _
for file in $3; do
  pid=$(head -n 1 "$1/$file" 2>/dev/null)
  [ -n "$pid" ] || continue
  if [ "$2" != KILL ]; then
    kill "-$2" "$pid" 2>/dev/null
    tries=0
    while grep -qs '^State:.[^ZX]' "/proc/$pid/status" && [ $tries -lt 100 ]; do sleep 0.05; tries=$((tries + 1)); done
  fi
  kill -KILL "$pid" 2>/dev/null
done
rm -rf -- "$1"
"#;

/// How the processes of a server are found and ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leftovers<'a> {
    /// The signal that ends one at once and lets it tidy up, or `KILL`.
    pub(super) signal: &'a str,
    /// Files in the server's directory whose first line is a process id, separated by blanks.
    pub(super) pid_files: &'a str,
}

/// A shell that outlives this process just long enough to remove what it left.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Watches over the server in `directory`.
    pub(super) fn over(directory: &Path, left: Leftovers<'_>) -> anyhow::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "cdc-test-watchdog"])
            .arg(directory)
            .args([left.signal, left.pid_files])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start the watchdog")?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// Stops the server and removes its directory now.
    pub(super) fn clean_up(&mut self) {
        drop(self.pipe.take());
        drop(self.shell.wait());
    }
}
