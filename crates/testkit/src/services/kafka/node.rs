//! One broker's process: format, start, wait until ready, signal and kill.
#![expect(
    clippy::disallowed_methods,
    reason = "servers are started and stopped outside any runtime, in real time"
)]

use std::fs::OpenOptions;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{Listener, PASSWORD, USER};
use crate::services::port::Port;

const START_WAIT_MAX: Duration = Duration::from_secs(120);
const STOP_WAIT_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const CLUSTER_ID: &str = "Y2RjLXRlc3QtY2x1c3Rlcg";
// What a broker writes once it takes requests.
const READY: &str = "Kafka Server started";
// The machine is shared and brokers live for seconds: little heap, and no time for optimising.
const JAVA: [&str; 5] = [
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-Djava.awt.headless=true",
];
const LOG4J: &str = r#"status = warn
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = info
rootLogger.appenderRef.out.ref = out
"#;

/// The file in the cluster's directory that holds a node's process id.
pub(super) fn pid_file(id: u16) -> String {
    format!("{id}.pid")
}

/// One broker, which is a controller too.
#[derive(Debug)]
pub(super) struct Node {
    id: u16,
    root: PathBuf,
    class_path: String,
    controller: Port,
    listeners: [Port; 4],
    process: Mutex<Option<Child>>,
}

impl Node {
    /// Reserves ports; starts nothing.
    pub(super) fn new(id: u16, root: &Path, class_path: &str) -> anyhow::Result<Self> {
        std::fs::write(root.join("log4j2.properties"), LOG4J).context("configure the log")?;
        let listeners = [Port::reserve()?, Port::reserve()?, Port::reserve()?, Port::reserve()?];
        Ok(Self {
            id,
            root: root.to_path_buf(),
            class_path: class_path.to_owned(),
            controller: Port::reserve()?,
            listeners,
            process: Mutex::new(None),
        })
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn controller_port(&self) -> u16 {
        self.controller.number()
    }

    pub(super) fn port(&self, listener: Listener) -> u16 {
        let [plain, sasl, sasl_tls, mutual_tls] = &self.listeners;
        match listener {
            Listener::Plain => plain.number(),
            Listener::Sasl => sasl.number(),
            Listener::SaslTls => sasl_tls.number(),
            Listener::MutualTls => mutual_tls.number(),
        }
    }

    pub(super) fn properties(&self) -> PathBuf {
        self.root.join(format!("{}.properties", self.id))
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join(format!("data-{}", self.id))
    }

    pub(super) fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Prepares the data directory, with the users of SCRAM.
    pub(super) fn format(&self) -> anyhow::Result<()> {
        let user = |mechanism: &str| format!("{mechanism}=[name={USER},password={PASSWORD}]");
        let output = Command::new("java")
            .args(self.java())
            .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"])
            .arg(self.properties())
            .args(["--add-scram", &user("SCRAM-SHA-256")])
            .args(["--add-scram", &user("SCRAM-SHA-512")])
            .output()
            .context("run the storage tool")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "format the storage: {said}{error}");
        Ok(())
    }

    /// Starts the process.
    pub(super) fn spawn(&self) -> anyhow::Result<()> {
        let mut process = self.process();
        let output = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        // The shell writes the id before it becomes the broker, so that a watchdog always finds it.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", r#"echo $$ > "$0" && exec java "$@""#])
            .arg(self.root.join(pid_file(self.id)))
            .args(self.java())
            .arg("kafka.Kafka")
            .arg(self.properties())
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        // What an earlier process wrote must not count as this one's.
        std::fs::write(self.log_file(), "")?;
        *process = Some(command.spawn().context("start a broker")?);
        Ok(())
    }

    /// Waits until the broker takes requests.
    pub(super) fn await_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_WAIT_MAX;
        while !self.is_ready() {
            let ended = self.process().as_mut().map(Child::try_wait).transpose()?.flatten();
            if let Some(status) = ended {
                bail!("broker {} ended with {status}:\n{}", self.id, self.log_tail());
            }
            if Instant::now() > deadline {
                bail!(
                    "broker {} is not ready in {START_WAIT_MAX:?}:\n{}",
                    self.id,
                    self.log_tail()
                );
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = self.process();
        let child = process.as_ref().with_context(|| format!("broker {} is down", self.id))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process id")?, signal).context("signal a broker")
    }

    /// Kills the process if there is one.
    pub(super) fn kill9(&self) -> anyhow::Result<()> {
        let running = self.process().take();
        if let Some(mut child) = running {
            child.kill().context("kill a broker")?;
            child.wait().context("wait for a broker")?;
        }
        Ok(())
    }

    /// Asks the process to end and waits until it has.
    pub(super) fn stop(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + STOP_WAIT_MAX;
        let mut process = self.process();
        let child = process.as_mut().context("signalled just now")?;
        while child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "broker {} does not stop", self.id);
            std::thread::sleep(POLL);
        }
        *process = None;
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.log().contains(READY)
            && TcpStream::connect(("127.0.0.1", self.port(Listener::Plain))).is_ok()
    }

    fn java(&self) -> Vec<String> {
        let log4j = self.root.join("log4j2.properties");
        let mut arguments: Vec<String> = JAVA.map(str::to_owned).into();
        arguments.push(format!("-Dlog4j2.configurationFile={}", log4j.display()));
        arguments.extend(["-cp".to_owned(), self.class_path.clone()]);
        arguments
    }

    fn log_file(&self) -> PathBuf {
        self.root.join(format!("{}.log", self.id))
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let skip = log.lines().count().saturating_sub(30);
        log.lines().skip(skip).collect::<Vec<_>>().join("\n")
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
