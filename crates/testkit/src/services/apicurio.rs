//! The registry Apicurio, a process with everything in its memory.
#![expect(
    clippy::disallowed_methods,
    reason = "servers are started and stopped outside any runtime, in real time"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::installed::cache_directory;
use super::port::Port;

/// The newest release that runs on Java 17.
pub const VERSION: &str = "3.0.9";

const START_WAIT_MAX: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(200);

// Reads until the test process closes the pipe, which its end does too, then stops the server.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
log=$1
shift
"$@" </dev/null >"$log" 2>&1 &
pid=$!
read -r _
kill -KILL "$pid" 2>/dev/null
wait
"#;

/// Where it lies, or will.
#[must_use]
pub fn directory() -> PathBuf {
    cache_directory().join(format!("apicurio-{VERSION}"))
}

/// The program.
#[must_use]
pub fn program() -> PathBuf {
    directory().join(format!("apicurio-registry-app-{VERSION}-runner.jar"))
}

/// Why it cannot be used here.
pub(super) fn missing() -> Option<String> {
    let java = Command::new("java").arg("-version").output();
    if !java.is_ok_and(|output| output.status.success()) {
        return Some("Java 17 is not installed: cargo xtask services".to_owned());
    }
    let absent = !program().exists();
    absent.then(|| format!("Apicurio Registry {VERSION} is not installed: cargo xtask services"))
}

/// The running server; dropping it stops it.
#[derive(Debug)]
pub struct Apicurio {
    port: Port,
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Apicurio {
    /// Starts a server with nothing in it and waits until it answers.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    pub fn start() -> anyhow::Result<Self> {
        if let Some(reason) = missing() {
            bail!(reason);
        }
        let port = Port::reserve()?;
        let log = tempfile::NamedTempFile::new().context("make a log file")?;
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "cdc-test-apicurio"])
            .arg(log.path())
            .args(["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dquarkus.http.host=127.0.0.1")
            .arg(format!("-Dquarkus.http.port={}", port.number()))
            .arg("-jar")
            .arg(program())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("start Apicurio")?;
        let pipe = shell.stdin.take();
        let server = Self { port, shell, pipe };
        let deadline = Instant::now() + START_WAIT_MAX;
        while !server.answers() {
            let said = std::fs::read_to_string(log.path()).unwrap_or_default();
            let tail = || said.lines().rev().take(20).collect::<Vec<_>>().join("\n");
            ensure!(!said.contains("Error running Quarkus"), "Apicurio ended:\n{}", tail());
            ensure!(Instant::now() < deadline, "Apicurio did not start:\n{}", tail());
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// Where Confluent's API begins.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port.number())
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port.number()))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let request = "GET /apis/ccompat/v7/subjects HTTP/1.1\r\nHost: localhost\r\n\
                           Connection: close\r\n\r\n";
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

impl Drop for Apicurio {
    fn drop(&mut self) {
        drop(self.pipe.take());
        drop(self.shell.wait());
    }
}
