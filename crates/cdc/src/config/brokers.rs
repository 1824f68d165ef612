//! Blocks of the platform file for infrastructure that this version does not run on. They are
//! decoded and checked all the same, so that a file that serves several platforms stays valid.

use cdc_core::Secret;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// A Kafka cluster.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to begin with, `host:port` separated by commas.
    pub bootstrap_servers: String,
    /// The Confluent Schema Registry.
    pub schema_registry_url: String,
    /// Consumer group.
    pub group_id: String,
    /// Where a new consumer group begins.
    pub auto_offset_reset: String,
    /// Produce idempotently?
    pub enable_idempotence: bool,
    /// How many replicas confirm a record.
    pub acks: String,
    /// Partitions of new topics.
    pub topic_num_partitions: u32,
    /// Replicas of new topics.
    pub topic_replication_factor: u16,
    /// Milliseconds until a silent consumer is given up.
    pub session_timeout_ms: u64,
    /// Milliseconds until a busy consumer is given up.
    pub max_poll_interval_ms: u64,
    /// Bytes that a fetch waits for.
    pub fetch_min_bytes: u64,
    /// Milliseconds that a fetch waits.
    pub fetch_max_wait_ms: u64,
    /// Accepted for files of the reference platform.
    pub poll_batch_size: u64,
    /// Accepted for files of the reference platform.
    pub deser_pool_size: u64,
    /// Accepted for files of the reference platform.
    pub commit_interval_seconds: f64,
    /// PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
    pub security_protocol: String,
    /// How to log in.
    pub auth_mechanism: AuthMechanism,
    /// User for SASL.
    pub sasl_username: Option<String>,
    /// Password for SASL.
    #[schemars(with = "Option<String>")]
    pub sasl_password: Option<Secret>,
    /// File with the certificates to trust.
    pub ssl_ca_location: Option<PathBuf>,
    /// File with the client's certificate.
    pub ssl_certificate_location: Option<PathBuf>,
    /// File with the client's key.
    pub ssl_key_location: Option<PathBuf>,
    /// AWS region, for `sasl_iam`.
    pub aws_region: Option<String>,
    /// Google Cloud project.
    pub gcp_project_id: Option<String>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: "localhost:9092".to_owned(),
            schema_registry_url: "http://localhost:8081".to_owned(),
            group_id: "cdc-platform".to_owned(),
            auto_offset_reset: "earliest".to_owned(),
            enable_idempotence: true,
            acks: "all".to_owned(),
            topic_num_partitions: 1,
            topic_replication_factor: 1,
            session_timeout_ms: 45_000,
            max_poll_interval_ms: 300_000,
            fetch_min_bytes: 1,
            fetch_max_wait_ms: 500,
            poll_batch_size: 1,
            deser_pool_size: 1,
            commit_interval_seconds: 0.0,
            security_protocol: "PLAINTEXT".to_owned(),
            auth_mechanism: AuthMechanism::None,
            sasl_username: None,
            sasl_password: None,
            ssl_ca_location: None,
            ssl_certificate_location: None,
            ssl_key_location: None,
            aws_region: None,
            gcp_project_id: None,
        }
    }
}

/// A Kafka Connect cluster that runs Debezium.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConnect {
    /// Its REST interface.
    pub connect_url: String,
    /// Seconds that a request may take.
    pub timeout_seconds: f64,
    /// How often a request is tried.
    pub retry_max_attempts: u32,
    /// Seconds between two tries.
    pub retry_wait_seconds: f64,
}

impl Default for KafkaConnect {
    fn default() -> Self {
        Self {
            connect_url: "http://localhost:8083".to_owned(),
            timeout_seconds: 30.0,
            retry_max_attempts: 5,
            retry_wait_seconds: 2.0,
        }
    }
}

/// Google Pub/Sub.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pubsub {
    /// Google Cloud project.
    pub project_id: Option<String>,
    /// Keep the order of each key?
    pub ordering_enabled: bool,
    /// Seconds until an unacknowledged message comes again.
    pub ack_deadline_seconds: u64,
    /// Messages a pull.
    pub max_messages_per_pull: u64,
    /// Prefix of the subscriptions.
    pub group_id: String,
    /// Messages in flight.
    pub max_outstanding_messages: u64,
    /// Deliveries before a message is set aside.
    pub max_delivery_attempts: u32,
}

impl Default for Pubsub {
    fn default() -> Self {
        Self {
            project_id: None,
            ordering_enabled: true,
            ack_deadline_seconds: 600,
            max_messages_per_pull: 100,
            group_id: "cdc-platform".to_owned(),
            max_outstanding_messages: 1_000,
            max_delivery_attempts: 5,
        }
    }
}

/// Amazon Kinesis.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kinesis {
    /// AWS region.
    pub region: String,
    /// Shards of new streams.
    pub shard_count: u32,
    /// Consumer group.
    pub group_id: String,
    /// Where a new consumer group begins.
    pub iterator_type: String,
    /// DynamoDB table of checkpoints.
    pub checkpoint_table_name: String,
    /// Seconds between two reads.
    pub poll_interval_seconds: f64,
    /// Records a read.
    pub max_records_per_shard: u64,
    /// Last part of the dead-letter stream's name.
    pub dlq_stream_suffix: String,
    /// Shards of the dead-letter stream.
    pub dlq_shard_count: u32,
    /// Seconds that checkpoints are kept.
    pub checkpoint_ttl_seconds: u64,
}

impl Default for Kinesis {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            shard_count: 1,
            group_id: "cdc-platform".to_owned(),
            iterator_type: "TRIM_HORIZON".to_owned(),
            checkpoint_table_name: "cdc-kinesis-checkpoints".to_owned(),
            poll_interval_seconds: 1.0,
            max_records_per_shard: 100,
            dlq_stream_suffix: "dlq".to_owned(),
            dlq_shard_count: 1,
            checkpoint_ttl_seconds: 604_800,
        }
    }
}

/// How to log in to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthMechanism {
    /// Not at all.
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
