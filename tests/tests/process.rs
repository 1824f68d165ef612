use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The binary under test: `CDC_BIN`, or the one that was built beside this test.
pub(crate) fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("CDC_BIN") {
        return PathBuf::from(named);
    }
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join("cdc");
    assert!(
        binary.exists(),
        "{} is not built: cargo build --package cdc, or set CDC_BIN",
        binary.display()
    );
    binary
}

/// How a command ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Ended {
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.output, self.errors)
    }

    #[track_caller]
    pub(crate) fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.said());
        self
    }

    /// Every one of `words` stands in what the command said.
    #[track_caller]
    pub(crate) fn mentions(self, words: &[&str]) -> Self {
        let said = self.said();
        for word in words {
            assert!(said.contains(word), "`{word}` is not in what the command said:\n{said}");
        }
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.output)
            .unwrap_or_else(|error| panic!("not JSON ({error}):\n{}", self.said()))
    }
}

/// Runs the binary to its end, which must come within a minute.
pub(crate) async fn run(directory: &Path, arguments: &[&str]) -> Ended {
    run_within(Duration::from_secs(60), directory, arguments).await
}

/// Runs the binary to its end, which must come within so long.
pub(crate) async fn run_within(limit: Duration, directory: &Path, arguments: &[&str]) -> Ended {
    let said = tempfile::tempdir().unwrap();
    let (output, errors) = (said.path().join("output"), said.path().join("errors"));
    let mut child = tokio::process::Command::new(binary())
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(File::create(&output).unwrap())
        .stderr(File::create(&errors).unwrap())
        .env("NO_COLOR", "1")
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let status = tokio::time::timeout(limit, child.wait()).await;
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let (output, errors) = (text(output), text(errors));
    let Ok(status) = status else {
        panic!("cdc {arguments:?} did not end within {limit:?}:\n{output}{errors}");
    };
    Ended { code: status.unwrap().code(), output, errors }
}

/// A running `cdc run`; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
    http: u16,
}

impl Running {
    pub(crate) fn start(directory: &Path, arguments: &[&str], http: u16) -> Self {
        let log = directory.join("cdc.log");
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(binary())
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, log, http }
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Bytes of memory that the process has now, and the most it ever had: `None` once it has ended.
    pub(crate) fn memory(&self) -> Option<Memory> {
        Memory::of(self.child.id())
    }

    pub(crate) fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until the whole pipeline is ready.
    pub(crate) async fn ready(&mut self) {
        self.answers("/readyz", 200).await;
    }

    /// Waits until the first copy is complete and changes are followed.
    pub(crate) async fn follows(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let status = self.answers("/api/v1/pipelines/shop", 200).await;
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            if status["source"]["state"] == "running" {
                break;
            }
            assert!(Instant::now() < deadline, "never followed changes: {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.ready().await;
    }

    /// Waits until a path is answered with a status, and returns the body.
    pub(crate) async fn answers(&mut self, path: &str, status: u16) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut last = None;
        while Instant::now() < deadline {
            assert!(self.is_running(), "cdc ended by itself:\n{}", self.log());
            last = self.get(path);
            if let Some((found, body)) = &last
                && *found == status
            {
                return body.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} was never answered with {status}, at last {last:?}:\n{}", self.log());
    }

    /// Asks the HTTP server once.
    pub(crate) fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// Asks for a clean end, as Ctrl-C does, and waits for it.
    pub(crate) async fn stop(mut self) -> Ended {
        self.signal(Signal::INT);
        let status = self.end_within(Duration::from_secs(15)).await;
        Ended { code: status.code(), output: self.log(), errors: String::new() }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn end_within(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert_eq!(status.signal(), None, "{}", self.log());
                return status;
            }
            assert!(Instant::now() < deadline, "did not end in {limit:?}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
        if std::thread::panicking() {
            eprintln!("---- log of cdc ----\n{}", self.log());
        }
    }
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

impl Memory {
    fn of(process: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
        };
        Some(Self { now: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
    }
}

/// Waits until something holds; says what it was waiting for when that takes too long.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
