//! Blocks of the platform file for infrastructure that this version does not run on. They are
//! decoded and checked all the same, so that a file that serves several platforms stays valid.

use schemars::JsonSchema;
use serde::Deserialize;

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
