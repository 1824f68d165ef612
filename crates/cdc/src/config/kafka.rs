//! The `kafka` block of the platform file: the cluster, the registry beside it, and keys of the
//! reference platform that are not needed here.

use super::{
    decode::decode,
    diagnostic::Diagnostic,
    findings::{Findings, Place},
    offsets::{self, OffsetStorage},
    pipeline::Keys,
    yaml::Node,
};
use cdc_core::Secret;
use cdc_registry::client::{Client, Config, Tls};
use cdc_sink_postgres::OffsetTableConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// Where a registry is when nobody says so, as in the reference platform.
const REGISTRY_URL: &str = "http://localhost:8081";

/// The block, checked.
#[derive(Clone, Debug, Default)]
pub struct Kafka {
    /// The cluster.
    pub cluster: cdc_transport_kafka::Config,
    /// What stands beside it.
    pub beside: BesideKafka,
}

/// Keys of the block that are not about the cluster itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BesideKafka {
    /// The schema registry, with Confluent's REST API: `http://HOST:PORT` or `https://…`; several URLs
    /// of one registry, separated by commas, are tried one after the other. Without it the registry is
    /// looked for at `http://localhost:8081` once a format needs one (`avro`, `protobuf`,
    /// `json_schema`).
    #[schemars(with = "Option<String>")]
    pub schema_registry_url: Option<Secret>,
    /// User of the registry.
    pub schema_registry_username: Option<String>,
    /// Password of the registry's user.
    #[schemars(with = "Option<String>")]
    pub schema_registry_password: Option<Secret>,
    /// Bearer token of the registry, in place of user and password.
    #[schemars(with = "Option<String>")]
    pub schema_registry_token: Option<Secret>,
    /// File with the authorities that vouch for the registry; the system's without it.
    pub schema_registry_ca_location: Option<PathBuf>,
    /// File with the certificate that this client shows to the registry.
    pub schema_registry_certificate_location: Option<PathBuf>,
    /// File with the key of that certificate.
    pub schema_registry_key_location: Option<PathBuf>,
    /// Longest time in seconds that one request to the registry may take.
    #[schemars(range(min = 1, max = 600))]
    pub schema_registry_timeout_seconds: u32,
    /// Where offsets of consumer groups are kept. `kafka`: in Kafka, which forgets a group that has had no
    /// members for `offsets.retention.minutes` (7 days). `postgres`: in PostgreSQL too, and a group that
    /// Kafka has lost goes on from there.
    pub offset_storage: OffsetStorage,
    /// The database of `offset_storage: postgres`.
    pub offset_storage_postgres: Option<OffsetTableConfig>,
    /// Capture waits while a sink is more than this many records behind, so that it catches up before the
    /// topics' retention has passed what it has not got. The replication slot keeps its log meanwhile.
    /// Without it capture never waits for sinks.
    #[schemars(range(min = 1))]
    pub pause_capture_lag: Option<u64>,
    /// Capture goes on once every sink is at most this many records behind. Below `pause_capture_lag`; a half
    /// of it without this key.
    pub resume_capture_lag: Option<u64>,
    /// `true` has capture append in transactions of Kafka, each with capture's place in it: consumers
    /// with `isolation.level=read_committed` see every change once and transactions of the source as a
    /// whole, whatever dies. Without them a crash may append records twice, with the same position
    /// (header `cdc.position`), and exactly-once sinks drop the second ones.
    pub transactional: bool,
    /// Accepted for files of the reference platform.
    pub poll_batch_size: Option<u64>,
    /// Accepted for files of the reference platform.
    pub deser_pool_size: Option<u64>,
    /// Accepted for files of the reference platform.
    pub commit_interval_seconds: Option<f64>,
}

impl Default for BesideKafka {
    fn default() -> Self {
        Self {
            schema_registry_url: None,
            schema_registry_username: None,
            schema_registry_password: None,
            schema_registry_token: None,
            schema_registry_ca_location: None,
            schema_registry_certificate_location: None,
            schema_registry_key_location: None,
            schema_registry_timeout_seconds: Config::at("").timeout_seconds,
            offset_storage: OffsetStorage::default(),
            offset_storage_postgres: None,
            pause_capture_lag: None,
            resume_capture_lag: None,
            transactional: false,
            poll_batch_size: None,
            deser_pool_size: None,
            commit_interval_seconds: None,
        }
    }
}

/// The names of these keys.
const BESIDE: [&str; 16] = [
    "schema_registry_url",
    "schema_registry_username",
    "schema_registry_password",
    "schema_registry_token",
    "schema_registry_ca_location",
    "schema_registry_certificate_location",
    "schema_registry_key_location",
    "schema_registry_timeout_seconds",
    "offset_storage",
    "offset_storage_postgres",
    "pause_capture_lag",
    "resume_capture_lag",
    "transactional",
    "poll_batch_size",
    "deser_pool_size",
    "commit_interval_seconds",
];

impl BesideKafka {
    /// How the registry is reached.
    #[must_use]
    pub fn registry(&self) -> Config {
        let url = self.schema_registry_url.clone();
        Config {
            url: url.unwrap_or_else(|| Secret::new(REGISTRY_URL)),
            username: self.schema_registry_username.clone(),
            password: self.schema_registry_password.clone(),
            token: self.schema_registry_token.clone(),
            timeout_seconds: self.schema_registry_timeout_seconds,
            tls: Tls {
                ca_file: self.schema_registry_ca_location.clone(),
                certificate_file: self.schema_registry_certificate_location.clone(),
                key_file: self.schema_registry_key_location.clone(),
            },
        }
    }

    /// Says what is wrong with the lags at which capture waits and goes on.
    fn check_lag(&self) -> Option<(&'static str, &'static str, &'static str)> {
        match (self.pause_capture_lag, self.resume_capture_lag) {
            (Some(0), _) => Some(("pause_capture_lag", "CDC-0104", "must be at least 1")),
            (Some(pause), Some(resume)) if resume >= pause => {
                Some(("resume_capture_lag", "CDC-0109", "must be below `kafka.pause_capture_lag`"))
            }
            (None, Some(_)) => {
                Some(("resume_capture_lag", "CDC-0109", "needs `pause_capture_lag` beside it"))
            }
            (Some(_) | None, _) => None,
        }
    }

    /// Says what is wrong with the way to the registry, by the names of the keys here.
    fn check_registry(&self) -> Option<(&'static str, String)> {
        let beside =
            |a: bool, b: bool, key, words: &str| (a && !b).then(|| (key, words.to_owned()));
        let certificate = self.schema_registry_certificate_location.is_some();
        let key = self.schema_registry_key_location.is_some();
        beside(
            certificate,
            key,
            "schema_registry_certificate_location",
            "needs `schema_registry_key_location` beside it",
        )
        .or_else(|| {
            beside(
                key,
                certificate,
                "schema_registry_key_location",
                "needs `schema_registry_certificate_location` beside it",
            )
        })
        .or_else(|| {
            let user = self.schema_registry_username.is_some();
            beside(
                self.schema_registry_password.is_some(),
                user,
                "schema_registry_password",
                "needs `schema_registry_username` beside it",
            )
        })
        .or_else(|| {
            let both = self.schema_registry_username.is_some();
            beside(
                self.schema_registry_token.is_some() && both,
                false,
                "schema_registry_token",
                "and `schema_registry_username` exclude each other",
            )
        })
        .or_else(|| {
            // Files may be missing on the machine that validates; what stands here is looked at.
            let plain = Config { tls: Tls::default(), ..self.registry() };
            let error = Client::new(&plain).err()?;
            Some(("schema_registry_url", format!("cannot be used: {}", error.context)))
        })
    }
}

/// Decodes the block; `None` when the reason is in `findings`. A block that is not used may name what
/// is not there.
pub(super) fn kafka(root: &Node, used: bool, findings: &Findings) -> Option<Option<Kafka>> {
    let Some(entry) = root.get("kafka") else { return Some(None) };
    let place = Place::default().child(entry);
    let given = entry.value.entries().iter().map(|entry| entry.key.as_str());
    let others: Vec<&str> = given.filter(|key| !BESIDE.contains(key)).collect();
    let beside: Option<BesideKafka> = decode(&entry.value, &place, &others, findings);
    let cluster: Option<cdc_transport_kafka::Config> =
        decode(&entry.value, &place, &BESIDE, findings);
    if !used {
        return Some(Some(Kafka { cluster: cluster?, beside: beside? }));
    }
    if let Some(Err(error)) = cluster.as_ref().map(cdc_transport_kafka::Config::validate) {
        findings.add(Keys::of(entry).refusal(&error));
    }
    let at = |key: &str| entry.value.get(key).map_or(entry.key_span, |entry| entry.key_span);
    if let Some((key, words)) = beside.as_ref().and_then(BesideKafka::check_registry) {
        let problem = Diagnostic::new("CDC-0104", format!("`kafka.{key}` {words}"));
        findings.add(problem.at(at(key)));
    }
    if let Some(beside) = &beside {
        offsets::check(beside, entry, findings);
        if let Some((key, code, words)) = beside.check_lag() {
            let problem = Diagnostic::new(code, format!("`kafka.{key}` {words}"));
            findings.add(problem.at(at(key)).with_remedy(
                "set pause_capture_lag: 1000000 and, below it, resume_capture_lag: 500000",
            ));
        }
    }
    Some(Some(Kafka { cluster: cluster?, beside: beside? }))
}
