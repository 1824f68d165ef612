//! The `kafka` block of the platform file, as far as it concerns the transport.

use crate::error;
use cdc_core::{Result, Secret, naming};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// A Kafka cluster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Brokers to begin with, `host:port` separated by commas.
    pub bootstrap_servers: String,
    /// First part of the names of consumer groups: `{group_id}.{pipeline}.{sink}`.
    pub group_id: String,
    /// Always `earliest`, whatever stands here: a table that is new would lose its first changes.
    pub auto_offset_reset: OffsetReset,
    /// Always on, whatever stands here: without it a failure could leave a gap or repeat records.
    pub enable_idempotence: bool,
    /// Always `all`, whatever stands here: an acknowledged record is on every replica in sync.
    pub acks: String,
    /// Partitions of new topics.
    pub topic_num_partitions: u32,
    /// Replicas of new topics.
    pub topic_replication_factor: u16,
    /// Further settings of new topics, by Kafka's names: `retention.ms: "604800000"`.
    pub topic_configs: BTreeMap<String, String>,
    /// How records are compressed on the wire and on the brokers' disks.
    pub compression: Compression,
    /// Milliseconds that a record waits for others to share a request with; 0 sends at once.
    pub linger_ms: u32,
    /// The largest record; new topics get `max.message.bytes` to fit.
    pub max_record_bytes: u32,
    /// How many bytes of accepted records may wait for their acknowledgement.
    pub buffer_bytes: u32,
    /// How many bytes of records a reader may hold ahead.
    pub fetch_buffer_bytes: u32,
    /// Milliseconds until an unanswered request is given up and sent again.
    pub request_timeout_ms: u32,
    /// Milliseconds until a silent consumer is given up.
    pub session_timeout_ms: u32,
    /// Milliseconds until a busy consumer is given up. Revoked partitions have half of it to be let go.
    pub max_poll_interval_ms: u32,
    /// Bytes that a fetch waits for.
    pub fetch_min_bytes: u32,
    /// Milliseconds that a fetch waits.
    pub fetch_max_wait_ms: u32,
    /// PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
    pub security_protocol: Protocol,
    /// How to log in.
    pub auth_mechanism: Auth,
    /// User for SASL.
    pub sasl_username: Option<String>,
    /// Password for SASL.
    #[schemars(with = "Option<String>")]
    pub sasl_password: Option<Secret>,
    /// File with a bearer token for `sasl_oauthbearer`, read again before the token ends.
    pub oauth_token_file: Option<PathBuf>,
    /// File with the certificates to trust; the system's without it.
    pub ssl_ca_location: Option<PathBuf>,
    /// File with the client's certificate.
    pub ssl_certificate_location: Option<PathBuf>,
    /// File with the client's key.
    pub ssl_key_location: Option<PathBuf>,
    /// Password of the client's key.
    #[schemars(with = "Option<String>")]
    pub ssl_key_password: Option<Secret>,
    /// AWS region, for `sasl_iam`.
    pub aws_region: Option<String>,
    /// Google Cloud project: `sasl_oauthbearer` then takes the tokens of the machine's identity.
    pub gcp_project_id: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bootstrap_servers: "localhost:9092".to_owned(),
            group_id: "cdc-platform".to_owned(),
            auto_offset_reset: OffsetReset::Earliest,
            enable_idempotence: true,
            acks: "all".to_owned(),
            topic_num_partitions: 1,
            topic_replication_factor: 1,
            topic_configs: BTreeMap::new(),
            compression: Compression::Zstd,
            linger_ms: 5,
            max_record_bytes: 16 << 20,
            buffer_bytes: 32 << 20,
            fetch_buffer_bytes: 4 << 20,
            request_timeout_ms: 15_000,
            session_timeout_ms: 45_000,
            max_poll_interval_ms: 300_000,
            fetch_min_bytes: 1,
            fetch_max_wait_ms: 500,
            security_protocol: Protocol::Plaintext,
            auth_mechanism: Auth::None,
            sasl_username: None,
            sasl_password: None,
            oauth_token_file: None,
            ssl_ca_location: None,
            ssl_certificate_location: None,
            ssl_key_location: None,
            ssl_key_password: None,
            aws_region: None,
            gcp_project_id: None,
        }
    }
}

/// Where a consumer group without offsets begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OffsetReset {
    /// At the oldest record.
    #[default]
    Earliest,
    /// After the newest record.
    Latest,
}

/// How records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Zstandard.
    #[default]
    Zstd,
    /// LZ4.
    Lz4,
    /// Snappy.
    Snappy,
    /// Gzip.
    Gzip,
    /// Not at all.
    None,
}

impl Compression {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::None => "none",
        }
    }
}

/// What protects a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Protocol {
    /// Nothing.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// A login without TLS.
    SaslPlaintext,
    /// A login over TLS.
    SaslSsl,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    fn logs_in(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// How to log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// User and password, in clear within TLS.
    SaslPlain,
    /// SCRAM with SHA-256.
    #[serde(rename = "sasl_scram_256")]
    SaslScram256,
    /// SCRAM with SHA-512.
    #[serde(rename = "sasl_scram_512")]
    SaslScram512,
    /// The machine's AWS identity.
    SaslIam,
    /// A bearer token.
    #[serde(rename = "sasl_oauthbearer")]
    SaslOauthBearer,
}

impl Auth {
    pub(crate) fn mechanism(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::SaslPlain => Some("PLAIN"),
            Self::SaslScram256 => Some("SCRAM-SHA-256"),
            Self::SaslScram512 => Some("SCRAM-SHA-512"),
            Self::SaslIam | Self::SaslOauthBearer => Some("OAUTHBEARER"),
        }
    }

    fn needs_password(self) -> bool {
        matches!(self, Self::SaslPlain | Self::SaslScram256 | Self::SaslScram512)
    }

    /// Does it log in with tokens that are made anew from time to time?
    #[must_use]
    pub fn takes_tokens(self) -> bool {
        matches!(self, Self::SaslIam | Self::SaslOauthBearer)
    }
}

impl Config {
    /// Refuses values that no transport can be opened with.
    pub fn validate(&self) -> Result<()> {
        let refuse = |key: &str, why: &str| Err(error::invalid_config(key, why));
        let addressed = |server: &str| {
            server.trim().rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        if !self.bootstrap_servers.split(',').all(addressed) {
            return refuse("bootstrap_servers", "must be `host:port`, several separated by commas");
        }
        if self.group_id.is_empty() {
            return refuse("group_id", "is empty");
        }
        for (key, value) in [
            ("topic_num_partitions", self.topic_num_partitions),
            ("topic_replication_factor", u32::from(self.topic_replication_factor)),
            ("fetch_min_bytes", self.fetch_min_bytes),
        ] {
            if value == 0 {
                return refuse(key, "must be at least 1");
            }
        }
        for (key, value, min, max) in [
            ("topic_num_partitions", self.topic_num_partitions, 1, 100_000),
            ("max_record_bytes", self.max_record_bytes, 1 << 10, 512 << 20),
            ("buffer_bytes", self.buffer_bytes, 1 << 20, 1 << 30),
            ("fetch_buffer_bytes", self.fetch_buffer_bytes, 1 << 16, 1 << 30),
            ("request_timeout_ms", self.request_timeout_ms, 1_000, 300_000),
            ("session_timeout_ms", self.session_timeout_ms, 1_000, 3_600_000),
            ("linger_ms", self.linger_ms, 0, 60_000),
            ("fetch_max_wait_ms", self.fetch_max_wait_ms, 1, 300_000),
        ] {
            if !(min..=max).contains(&value) {
                return refuse(key, &format!("must be from {min} to {max}"));
            }
        }
        if self.max_poll_interval_ms < self.session_timeout_ms {
            return refuse("max_poll_interval_ms", "must be at least `kafka.session_timeout_ms`");
        }
        self.validate_security()
    }

    fn validate_security(&self) -> Result<()> {
        let refuse = |key: &str, why: &str| Err(error::invalid_config(key, why));
        let auth = self.auth_mechanism;
        match (auth == Auth::None, self.security_protocol.logs_in()) {
            (true, true) => {
                return refuse(
                    "auth_mechanism",
                    "must be set when `kafka.security_protocol` has SASL",
                );
            }
            (false, false) => {
                return refuse(
                    "security_protocol",
                    "must be SASL_SSL, or SASL_PLAINTEXT in a trusted network, for a login",
                );
            }
            _ => {}
        }
        if auth.needs_password() && (self.sasl_username.is_none() || self.sasl_password.is_none()) {
            return refuse("sasl_username", "and `kafka.sasl_password` must be set for this login");
        }
        if auth == Auth::SaslIam && self.aws_region.is_none() {
            return refuse("aws_region", "must be set for sasl_iam");
        }
        let bearer = auth == Auth::SaslOauthBearer;
        if bearer && self.gcp_project_id.is_none() && self.oauth_token_file.is_none() {
            return refuse(
                "oauth_token_file",
                "must be set for sasl_oauthbearer, or `kafka.gcp_project_id` on Google Cloud",
            );
        }
        if self.ssl_certificate_location.is_some() != self.ssl_key_location.is_some() {
            return refuse("ssl_key_location", "and `kafka.ssl_certificate_location` go together");
        }
        Ok(())
    }

    /// What an operator should know about keys that have no effect.
    #[must_use]
    pub fn notices(&self) -> Vec<&'static str> {
        let mut notices = Vec::new();
        if !self.enable_idempotence {
            notices.push("kafka.enable_idempotence is always true: false would allow gaps");
        }
        if self.auto_offset_reset == OffsetReset::Latest {
            notices.push("kafka.auto_offset_reset is always earliest: latest would lose changes");
        }
        if !matches!(self.acks.as_str(), "all" | "-1") {
            notices.push("kafka.acks is always all: less would confirm what a broker may lose");
        }
        notices
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.request_timeout_ms))
    }

    /// How long a consumer has to let go of revoked partitions.
    pub(crate) fn revoke_wait(&self) -> Duration {
        Duration::from_millis(u64::from(self.max_poll_interval_ms / 2))
    }

    /// The name of a consumer group on the cluster.
    #[must_use]
    pub fn group_name(&self, group: &str) -> String {
        format!("{}.{group}", self.group_id)
    }

    /// The topic of a pipeline's state.
    #[must_use]
    pub fn state_topic(&self, pipeline_id: &str) -> String {
        naming::topic_of(&[&self.group_id, pipeline_id, "state"])
    }

    /// The topic, always empty, whose one partition the holders of a pipeline's leases are assigned.
    #[must_use]
    pub fn lease_topic(&self, pipeline_id: &str) -> String {
        naming::topic_of(&[&self.group_id, pipeline_id, "lease"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let config = config("{}");
        assert_eq!(config, Config::default());
        assert_eq!(config.bootstrap_servers, "localhost:9092");
        assert_eq!((config.session_timeout_ms, config.max_poll_interval_ms), (45_000, 300_000));
        config.validate().unwrap();
        assert_eq!(config.notices(), Vec::<&str>::new());
    }

    #[test]
    fn every_way_to_log_in_has_its_name() {
        for (name, auth) in [
            ("none", Auth::None),
            ("sasl_plain", Auth::SaslPlain),
            ("sasl_scram_256", Auth::SaslScram256),
            ("sasl_scram_512", Auth::SaslScram512),
            ("sasl_iam", Auth::SaslIam),
            ("sasl_oauthbearer", Auth::SaslOauthBearer),
        ] {
            let config = config(&format!(r#"{{"auth_mechanism": "{name}"}}"#));
            assert_eq!(config.auth_mechanism, auth);
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        for (json, key) in [
            (r#"{"bootstrap_servers": "broker"}"#, "bootstrap_servers"),
            (r#"{"bootstrap_servers": "a:1,:2"}"#, "bootstrap_servers"),
            (r#"{"topic_num_partitions": 0}"#, "topic_num_partitions"),
            (r#"{"topic_replication_factor": 0}"#, "topic_replication_factor"),
            (r#"{"max_poll_interval_ms": 10}"#, "max_poll_interval_ms"),
            (r#"{"auth_mechanism": "sasl_plain"}"#, "security_protocol"),
            (r#"{"security_protocol": "SASL_SSL"}"#, "auth_mechanism"),
            (
                r#"{"security_protocol": "SASL_SSL", "auth_mechanism": "sasl_scram_256"}"#,
                "sasl_username",
            ),
            (r#"{"security_protocol": "SASL_SSL", "auth_mechanism": "sasl_iam"}"#, "aws_region"),
            (
                r#"{"security_protocol": "SASL_SSL", "auth_mechanism": "sasl_oauthbearer"}"#,
                "oauth_token_file",
            ),
            (r#"{"security_protocol": "SSL", "ssl_key_location": "k"}"#, "ssl_key_location"),
        ] {
            let error = config(json).validate().unwrap_err();
            assert!(error.context.contains(&format!("`kafka.{key}`")), "{}", error.context);
            assert!(error.remedy.is_some());
        }
    }

    #[test]
    fn weaker_promises_are_accepted_and_named() {
        let config = config(r#"{"enable_idempotence": false, "acks": "1"}"#);
        config.validate().unwrap();
        assert_eq!(config.notices().len(), 2);
    }
}
