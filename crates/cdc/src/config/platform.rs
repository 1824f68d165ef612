//! `platform.yaml`: on what infrastructure a pipeline runs.

use super::{
    brokers::{Kinesis, Pubsub},
    decode::decode,
    diagnostic::{ConfigError, Diagnostic},
    findings::{Findings, Place},
    format::Format,
    interpolate::Environment,
    kafka::{self, Kafka},
    moot,
    pipeline::Keys,
    registry::Registry,
    yaml::{self, Node},
};
use crate::catalog;
use cdc_core::retry::RetryPolicy;
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

/// On what infrastructure pipelines run. Every key has a default, and so has the file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlatformFile {
    /// Which log lies between capture and delivery. Without this key it is `embedded`, or `kafka`
    /// when the file has a `kafka` block.
    pub transport_mode: Option<TransportMode>,
    /// Bytes that the changes in flight of one process may occupy, like `128 MiB`. A row that is
    /// larger passes alone, and takes several times its size until every sink has it.
    pub memory_budget: u64,
    /// How failures are retried, unless a sink says otherwise.
    pub retry: Retry,
    /// What happens to changes that a sink refuses for good.
    pub dlq: DeadLetters,
    /// The HTTP server of a running pipeline.
    pub rest: Rest,
    /// Settings of the reference platform's log reader. `slot_name` and `publication_name` are used
    /// where the pipeline file does not name its own.
    pub wal_reader: WalReader,
    /// What records look like for others.
    pub format: Format,
    /// The schema registry of a pipeline that runs by itself.
    pub registry: Registry,
    /// Capture by Debezium on a Kafka Connect cluster, with `transport_mode: kafka`. Without this block
    /// `cdc` captures itself.
    pub connector: Option<cdc_source_debezium::Config>,
    /// Google Pub/Sub, for `transport_mode: pubsub`. Not in this version.
    pub pubsub: Option<Pubsub>,
    /// Amazon Kinesis, for `transport_mode: kinesis`. Not in this version.
    pub kinesis: Option<Kinesis>,
}

impl Default for PlatformFile {
    fn default() -> Self {
        Self {
            transport_mode: None,
            memory_budget: 128 << 20,
            retry: Retry::default(),
            dlq: DeadLetters::default(),
            rest: Rest::default(),
            wal_reader: WalReader::default(),
            format: Format::default(),
            registry: Registry::default(),
            connector: None,
            pubsub: None,
            kinesis: None,
        }
    }
}

/// Which log lies between capture and delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransportMode {
    /// A log on the disk of this machine.
    Embedded,
    /// Topics of a Kafka cluster.
    Kafka,
    /// Google Pub/Sub. Not in this version.
    Pubsub,
    /// Amazon Kinesis. Not in this version.
    Kinesis,
}

/// How failures are retried: waits that grow from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// How often a change that its sink refuses with a passing error is tried before it is set
    /// aside. A source or sink that cannot be reached is retried without a limit.
    #[schemars(range(min = 1))]
    pub max_attempts: u32,
    /// The first wait in seconds.
    pub initial_wait_seconds: f64,
    /// The longest wait in seconds.
    pub max_wait_seconds: f64,
    /// Each wait is this many times the one before.
    pub multiplier: f64,
    /// Spread each wait at random over its upper half, so that restarts do not come in step?
    pub jitter: bool,
}

impl Default for Retry {
    fn default() -> Self {
        let policy = RetryPolicy::default();
        Self {
            max_attempts: policy.max_attempts,
            initial_wait_seconds: policy.initial_wait.as_secs_f64(),
            max_wait_seconds: policy.max_wait.as_secs_f64(),
            multiplier: policy.multiplier,
            jitter: policy.jitter,
        }
    }
}

/// A sink's own retry settings; what is left out is taken from the platform file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryOverride {
    /// As `retry.max_attempts` of the platform file.
    pub max_attempts: Option<u32>,
    /// As `retry.initial_wait_seconds` of the platform file.
    pub initial_wait_seconds: Option<f64>,
    /// As `retry.max_wait_seconds` of the platform file.
    pub max_wait_seconds: Option<f64>,
    /// As `retry.multiplier` of the platform file.
    pub multiplier: Option<f64>,
    /// As `retry.jitter` of the platform file.
    pub jitter: Option<bool>,
}

impl Retry {
    /// These settings with a sink's own ones over them.
    #[must_use]
    pub fn overridden(self, own: RetryOverride) -> Self {
        Self {
            max_attempts: own.max_attempts.unwrap_or(self.max_attempts),
            initial_wait_seconds: own.initial_wait_seconds.unwrap_or(self.initial_wait_seconds),
            max_wait_seconds: own.max_wait_seconds.unwrap_or(self.max_wait_seconds),
            multiplier: own.multiplier.unwrap_or(self.multiplier),
            jitter: own.jitter.unwrap_or(self.jitter),
        }
    }

    /// The policy that these settings describe, or what is wrong with them.
    pub fn policy(self) -> Result<RetryPolicy, String> {
        /// Nobody waits longer than a week between two tries.
        const WAIT_SECONDS_MAX: f64 = 604_800.0;
        let wait = |name: &str, seconds: f64| {
            if (0.001..=WAIT_SECONDS_MAX).contains(&seconds) {
                Ok(Duration::from_secs_f64(seconds))
            } else {
                Err(format!("`{name}` must be between 0.001 and {WAIT_SECONDS_MAX} seconds"))
            }
        };
        let initial_wait = wait("initial_wait_seconds", self.initial_wait_seconds)?;
        let max_wait = wait("max_wait_seconds", self.max_wait_seconds)?;
        if max_wait < initial_wait {
            return Err("`max_wait_seconds` must not be below `initial_wait_seconds`".to_owned());
        }
        if !(1.0..=100.0).contains(&self.multiplier) {
            return Err("`multiplier` must be between 1 and 100".to_owned());
        }
        if self.max_attempts == 0 {
            return Err("`max_attempts` must be at least 1".to_owned());
        }
        Ok(RetryPolicy {
            max_attempts: self.max_attempts,
            initial_wait,
            max_wait,
            multiplier: self.multiplier,
            jitter: self.jitter,
        })
    }
}

/// What happens to changes that a sink refuses for good.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetters {
    /// Keep refused changes as dead letters? Where this is false and a sink has no `on_error` of its
    /// own, a refused change stops its sink.
    pub enabled: bool,
    /// Last part of the dead-letter topic's name on a broker.
    pub topic_suffix: String,
    /// Accepted for files of the reference platform.
    pub max_retries: Option<u32>,
    /// Accepted for files of the reference platform.
    pub include_headers: Option<bool>,
    /// Accepted for files of the reference platform.
    pub flush_interval_seconds: Option<f64>,
}

impl Default for DeadLetters {
    fn default() -> Self {
        Self {
            enabled: true,
            topic_suffix: "dlq".to_owned(),
            max_retries: None,
            include_headers: None,
            flush_interval_seconds: None,
        }
    }
}

/// The HTTP server of a running pipeline: health, metrics, API.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rest {
    /// Serve `/healthz`, `/readyz`, `/metrics` and `/api/v1`?
    pub health_enabled: bool,
    /// The port to listen on; 0 takes a free one.
    pub health_port: u16,
    /// The address to listen on. `0.0.0.0` lets other machines in; there is no password.
    pub health_address: IpAddr,
    /// Seconds between two `consumer.lag` log lines; 0 turns them off.
    pub lag_monitor_interval_seconds: u64,
    /// Stop the pipeline, with exit code 1, when the schema of a table changes in a way that its level in
    /// the registry forbids? Nothing is delivered under such a schema then.
    pub stop_on_incompatible_schema: bool,
    /// Accepted for files of the reference platform.
    pub max_buffered_messages: Option<u64>,
    /// Seconds between two looks at the versions in the schema registry, each new one of which is told
    /// by a log line (`schema.version_changed`); 0 turns them off.
    pub schema_monitor_interval_seconds: u64,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            health_enabled: true,
            health_port: 8080,
            health_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            lag_monitor_interval_seconds: 15,
            stop_on_incompatible_schema: false,
            max_buffered_messages: None,
            schema_monitor_interval_seconds: 30,
        }
    }
}

/// Settings of the reference platform's log reader.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WalReader {
    /// Publication of pipelines that do not name their own.
    pub publication_name: Option<String>,
    /// Replication slot of pipelines that do not name their own.
    pub slot_name: Option<String>,
    /// As `source.status_interval_seconds`, of pipelines that do not say their own.
    pub status_interval_seconds: Option<u64>,
    /// Accepted for files of the reference platform.
    pub batch_size: Option<u64>,
    /// Accepted for files of the reference platform.
    pub batch_timeout_seconds: Option<f64>,
    /// Accepted for files of the reference platform.
    pub max_retries: Option<u32>,
}

/// Where the embedded log and the state of pipelines are kept.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DataDirectory {
    /// Directory of the log, the schemas and the state of every pipeline that runs from here, a
    /// folder each. Locked against a second process.
    pub data_dir: PathBuf,
}

impl Default for DataDirectory {
    fn default() -> Self {
        Self { data_dir: PathBuf::from("./cdc-data") }
    }
}

/// A platform file, checked.
#[derive(Clone, Debug, Default)]
pub struct Platform {
    /// Its keys.
    pub file: PlatformFile,
    /// Where data is kept.
    pub data: DataDirectory,
    /// The embedded log.
    pub embedded: cdc_transport_embedded::Config,
    /// The Kafka cluster and its registry; `None` without the block.
    pub kafka: Option<Kafka>,
    /// What an operator should know about keys that do less here than elsewhere, a line each.
    pub notices: Vec<String>,
}

impl Platform {
    /// Which log lies between capture and delivery.
    #[must_use]
    pub fn mode(&self) -> TransportMode {
        self.file.transport_mode.unwrap_or(match self.kafka {
            Some(_) => TransportMode::Kafka,
            None => TransportMode::Embedded,
        })
    }

    /// The Kafka cluster, where it is the log.
    #[must_use]
    pub fn kafka(&self) -> Option<Kafka> {
        (self.mode() == TransportMode::Kafka).then(|| self.kafka.clone().unwrap_or_default())
    }
}

/// Every key that a platform file may have at its top.
pub(super) const KEYS: [&str; 13] = [
    "transport_mode",
    "memory_budget",
    "retry",
    "dlq",
    "rest",
    "wal_reader",
    "format",
    "registry",
    "embedded",
    "kafka",
    "connector",
    "pubsub",
    "kinesis",
];

/// Reads a platform file. Never panics, whatever the text.
pub fn parse_platform(text: &str, env: &Environment<'_>) -> Result<Platform, ConfigError> {
    let mut problems = Vec::new();
    let root = match yaml::parse(text, env, &mut problems) {
        Ok(root) => root,
        Err(problem) => {
            problems.push(problem);
            return Err(ConfigError::new("platform.yaml", text, problems));
        }
    };
    let findings = Findings::default();
    refuse_pipeline_keys(&root, &findings);
    let handled: Vec<&str> = PIPELINE_KEYS.into_iter().chain(["embedded", "kafka"]).collect();
    let file: Option<PlatformFile> = decode(&root, &Place::default(), &handled, &findings);
    let (data, embedded) = embedded(&root, &findings);
    let embedded_only = |file: &PlatformFile| file.transport_mode == Some(TransportMode::Embedded);
    let used = !file.as_ref().is_some_and(embedded_only);
    let kafka = kafka::kafka(&root, used, &findings);
    if let Some(file) = &file {
        check(file, &root, &findings);
    }
    problems.extend(findings.into_problems());
    match (file, data, embedded, kafka) {
        (Some(file), Some(data), Some(embedded), Some(kafka)) if problems.is_empty() => {
            let mut platform = Platform { file, data, embedded, kafka, notices: Vec::new() };
            platform.notices = moot::notices(platform.mode(), &root);
            Ok(platform)
        }
        _ => Err(ConfigError::new("platform.yaml", text, problems)),
    }
}

/// Keys that only a pipeline file has.
const PIPELINE_KEYS: [&str; 4] = ["pipeline_id", "topic_prefix", "source", "sinks"];

fn refuse_pipeline_keys(root: &Node, findings: &Findings) {
    for entry in root.entries().iter().filter(|e| PIPELINE_KEYS.contains(&e.key.as_str())) {
        let message = format!("`{}` belongs into the pipeline file", entry.key);
        findings.add(
            Diagnostic::new("CDC-0107", message)
                .at(entry.key_span)
                .with_remedy("move it into the file that you give to `cdc run`"),
        );
    }
}

fn embedded(
    root: &Node,
    findings: &Findings,
) -> (Option<DataDirectory>, Option<cdc_transport_embedded::Config>) {
    let Some(entry) = root.get("embedded") else {
        return (Some(DataDirectory::default()), Some(cdc_transport_embedded::Config::default()));
    };
    let place = Place::default().child(entry);
    let log_keys: Vec<&str> =
        entry.value.entries().iter().map(|e| e.key.as_str()).filter(|k| *k != "data_dir").collect();
    let data: Option<DataDirectory> = decode(&entry.value, &place, &log_keys, findings);
    let log: Option<cdc_transport_embedded::Config> =
        decode(&entry.value, &place, &["data_dir"], findings);
    if let Some(Err(error)) = log.as_ref().map(cdc_transport_embedded::Config::validate) {
        findings.add(Keys::of(entry).refusal(&error));
    }
    if data.as_ref().is_some_and(|data| data.data_dir.as_os_str().is_empty()) {
        let problem = Diagnostic::new("CDC-0104", "`embedded.data_dir` is empty");
        findings
            .add(problem.at(entry.key_span).with_remedy("name a directory: data_dir: ./cdc-data"));
    }
    (data, log)
}

fn check(file: &PlatformFile, root: &Node, findings: &Findings) {
    let at = |keys: &[&str]| {
        let mut span = None;
        let mut node = root;
        for key in keys {
            let Some(entry) = node.get(key) else { break };
            span = Some(entry.key_span);
            node = &entry.value;
        }
        span
    };
    let add = |mut problem: Diagnostic, keys: &[&str]| {
        problem.span = at(keys);
        findings.add(problem);
    };
    if let Some(mode @ (TransportMode::Pubsub | TransportMode::Kinesis)) = file.transport_mode {
        let name = format!("{mode:?}").to_lowercase();
        let problem = catalog::not_in_this_version("transport_mode", &name, &["embedded", "kafka"]);
        add(problem, &["transport_mode"]);
    }
    if let Some(connector) = &file.connector {
        check_connector(file, connector, root, &add);
    }
    if file.rest.stop_on_incompatible_schema
        && file.transport_mode != Some(TransportMode::Kafka)
        && root.get("kafka").is_none()
        && !file.registry.enabled
    {
        let message = "`rest.stop_on_incompatible_schema: true` needs the schema registry";
        let problem = Diagnostic::new("CDC-0109", message);
        let remedy = "set registry.enabled: true, or remove rest.stop_on_incompatible_schema";
        add(problem.with_remedy(remedy), &["rest", "stop_on_incompatible_schema"]);
    }
    if let Err(message) = file.retry.policy() {
        add(Diagnostic::new("CDC-0104", format!("`retry`: {message}")), &["retry"]);
    }
    const MEMORY_BYTES_MIN: u64 = 16 << 20;
    if file.memory_budget < MEMORY_BYTES_MIN {
        let problem = Diagnostic::new("CDC-0104", "`memory_budget` must be at least 16 MiB");
        add(problem.with_remedy("leave it out for the default of 128 MiB"), &["memory_budget"]);
    }
}

/// Debezium on Kafka Connect needs Kafka, and records that can be read back.
fn check_connector(
    file: &PlatformFile,
    connector: &cdc_source_debezium::Config,
    root: &Node,
    add: &dyn Fn(Diagnostic, &[&str]),
) {
    if let Err(error) = connector.validate() {
        let problem = Diagnostic::new("CDC-0104", format!("`connector`: {}", error.context));
        add(problem, &["connector"]);
    }
    let on_kafka = match file.transport_mode {
        None => root.get("kafka").is_some(),
        Some(mode) => mode == TransportMode::Kafka,
    };
    if !on_kafka {
        let problem = Diagnostic::new("CDC-0109", "`connector` needs `transport_mode: kafka`");
        let remedy = "set transport_mode: kafka, or remove the block: cdc captures itself then";
        add(problem.with_remedy(remedy), &["connector"]);
    }
    for (key, refused) in file.format.not_from_debezium() {
        let message = format!("`format.{key}` cannot be had from Debezium's connector: {refused}");
        let problem = Diagnostic::new("CDC-0109", message);
        let remedy = "leave it out, or remove the block `connector`: cdc captures itself then";
        add(problem.with_remedy(remedy), &["format", key]);
    }
}
