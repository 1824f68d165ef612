//! A throwaway Apache Kafka: one broker or several, each a process that a test can kill, stop and
//! start again.

mod node;
mod properties;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, anyhow};

use self::node::Node;
use super::certificates::Certificates;
use super::installed;
use super::skip::skip;
use super::watchdog::{Leftovers, Watchdog};

const USER: &str = "alice";
const PASSWORD: &str = "alice-correct-horse";

/// What kind of cluster to start.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// How many brokers; each is a controller too.
    pub brokers: u16,
    /// Listen with SASL, SASL over TLS and mutual TLS as well?
    pub secured: bool,
    /// Lines of `server.properties` that come last and so win.
    pub settings: Vec<(&'static str, &'static str)>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { brokers: 1, secured: false, settings: Vec::new() }
    }
}

/// The ways in which a broker can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Nothing asked, nothing hidden.
    Plain,
    /// SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER with unsigned tokens.
    Sasl,
    /// The same over TLS.
    SaslTls,
    /// TLS, and the client must show a certificate.
    MutualTls,
}

/// A running cluster in KRaft mode; dropping it kills it and deletes its data.
#[derive(Debug)]
pub struct Kafka {
    root: PathBuf,
    nodes: Vec<Node>,
    certificates: Option<Certificates>,
    watchdog: Mutex<Watchdog>,
    names: AtomicU32,
}

impl Kafka {
    /// Starts a cluster and waits until every broker answers.
    ///
    /// # Errors
    /// When Kafka is not installed or a broker does not start; holds the broker's log.
    pub fn start(options: &KafkaOptions) -> anyhow::Result<Self> {
        let class_path = installed::kafka()?;
        let root = tempfile::Builder::new()
            .prefix("cdc-test-kafka-")
            .tempdir_in("/tmp")
            .context("create the directory of the brokers")?
            .keep();
        let pid_files: Vec<String> = (1..=options.brokers).map(node::pid_file).collect();
        let left = Leftovers { signal: "KILL", pid_files: &pid_files.join(" ") };
        let watchdog = Mutex::new(Watchdog::over(&root, left)?);
        let certificates = options.secured.then(|| properties::certificates(&root)).transpose()?;
        let nodes = (1..=options.brokers)
            .map(|id| Node::new(id, &root, &class_path))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let cluster = Self { root, nodes, certificates, watchdog, names: AtomicU32::new(0) };
        properties::write(&cluster.nodes, cluster.certificates.as_ref(), options)?;
        for step in [Node::format, Node::spawn, Node::await_ready] {
            std::thread::scope(|scope| {
                let steps: Vec<_> =
                    cluster.nodes.iter().map(|node| scope.spawn(|| step(node))).collect();
                steps.into_iter().try_for_each(|step| step.join().expect("no step panics"))
            })?;
        }
        Ok(cluster)
    }

    /// The one broker that the whole test process shares; it has every listener.
    ///
    /// # Errors
    /// When it could not be started, each time with the first reason.
    pub fn shared() -> anyhow::Result<&'static Self> {
        static CLUSTER: OnceLock<Result<Kafka, String>> = OnceLock::new();
        CLUSTER
            .get_or_init(|| {
                let options = KafkaOptions { secured: true, ..KafkaOptions::default() };
                Self::start(&options).map_err(|error| format!("{error:#}"))
            })
            .as_ref()
            .map_err(|reason| anyhow!("{reason}"))
    }

    /// The shared broker, or `None` after saying that `suite` is skipped because it is missing.
    ///
    /// # Errors
    /// When the broker is there but does not start, or is missing where it must not be.
    pub fn shared_or_skip(suite: &str) -> anyhow::Result<Option<&'static Self>> {
        match Self::is_missing() {
            Some(reason) => skip(suite, &reason).map(|()| None),
            None => Self::shared().map(Some),
        }
    }

    /// A cluster of its own for one test, or `None` after saying that `suite` is skipped.
    ///
    /// # Errors
    /// When the brokers are there but do not start, or are missing where they must not be.
    pub fn start_or_skip(suite: &str, options: &KafkaOptions) -> anyhow::Result<Option<Self>> {
        match Self::is_missing() {
            Some(reason) => skip(suite, &reason).map(|()| None),
            None => Self::start(options).map(Some),
        }
    }

    /// Why no broker can be started here.
    #[must_use]
    pub fn is_missing() -> Option<String> {
        let broker = installed::kafka().err().map(|error| format!("{error:#}"));
        broker.or_else(super::certificates::missing)
    }

    /// `host:port` of every broker.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.listener(Listener::Plain)
    }

    /// `host:port` of every broker for one way in.
    #[must_use]
    pub fn listener(&self, listener: Listener) -> String {
        let at = |node: &Node| format!("127.0.0.1:{}", node.port(listener));
        self.nodes.iter().map(at).collect::<Vec<_>>().join(",")
    }

    /// The user of PLAIN and SCRAM.
    #[must_use]
    pub fn user(&self) -> &'static str {
        USER
    }

    /// Its password.
    #[must_use]
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The certificates of the secured listeners.
    ///
    /// # Panics
    /// When the cluster was started without them.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("the test started this cluster with `secured`")
    }

    /// A name that nobody else uses in this cluster, for a topic or a group.
    #[must_use]
    pub fn name(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Kills a broker (from 1) at once, as a crash would.
    ///
    /// # Errors
    /// When it does not go away.
    pub fn kill9(&self, broker: u16) -> anyhow::Result<()> {
        self.node(broker)?.kill9()
    }

    /// Stops a broker (from 1) as an administrator would: it hands leadership over first.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&self, broker: u16) -> anyhow::Result<()> {
        self.node(broker)?.stop()
    }

    /// Starts a broker that was killed, on its data, and waits until it answers.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&self, broker: u16) -> anyhow::Result<()> {
        let node = self.node(broker)?;
        node.spawn()?;
        node.await_ready()
    }

    /// Freezes a broker: it keeps its connections and answers nothing.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self, broker: u16) -> anyhow::Result<()> {
        self.node(broker)?.signal(rustix::process::Signal::STOP)
    }

    /// Lets a frozen broker go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self, broker: u16) -> anyhow::Result<()> {
        self.node(broker)?.signal(rustix::process::Signal::CONT)
    }

    /// What a broker wrote into its log so far.
    ///
    /// # Errors
    /// When there is no such broker.
    pub fn log(&self, broker: u16) -> anyhow::Result<String> {
        Ok(self.node(broker)?.log())
    }

    /// Directory of the brokers' data.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.root
    }

    fn node(&self, broker: u16) -> anyhow::Result<&Node> {
        let index = usize::from(broker).checked_sub(1).context("brokers count from 1")?;
        self.nodes.get(index).with_context(|| format!("there is no broker {broker}"))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        for node in &self.nodes {
            // Nobody can be told any more; the watchdog takes what is left.
            drop(node.kill9());
        }
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner).clean_up();
    }
}
