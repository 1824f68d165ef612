//! Keys that are accepted but do nothing of their own here: each is mapped to the nearest real
//! setting, and said so once at start.

use super::{platform::TransportMode, yaml::Node};

/// Keys without an effect of their own, whatever the log, and what stands for them.
const ALWAYS: [(&str, &str); 7] = [
    ("rest.max_buffered_messages", "changes in flight are limited by bytes: memory_budget"),
    ("dlq.max_retries", "changes are tried retry.max_attempts times before they are set aside"),
    ("dlq.include_headers", "dead letters keep the whole change, its place and its error"),
    ("dlq.flush_interval_seconds", "a dead letter is durable before anything goes on"),
    ("wal_reader.batch_size", "batches are limited by bytes: memory_budget"),
    ("wal_reader.batch_timeout_seconds", "batches end when nothing more is waiting"),
    ("wal_reader.max_retries", "a source that cannot be reached is retried without a limit"),
];

/// Those of the embedded log.
const EMBEDDED: [(&str, &str); 4] = [
    ("dlq.topic_suffix", "dead letters of the embedded log are kept in the pipeline's state"),
    ("kafka", "transport_mode is embedded"),
    ("pubsub", "transport_mode is embedded"),
    ("kinesis", "transport_mode is embedded"),
];

/// Those of Kafka.
const KAFKA: [(&str, &str); 6] = [
    ("registry", "transport_mode is kafka: the registry is that of kafka.schema_registry_url"),
    ("kafka.poll_batch_size", "reads are limited by bytes: kafka.fetch_buffer_bytes"),
    ("kafka.deser_pool_size", "records are decoded where they are read, without a pool"),
    ("kafka.commit_interval_seconds", "a sink commits when it is ready to: its own batch settings"),
    ("pubsub", "transport_mode is kafka"),
    ("kinesis", "transport_mode is kafka"),
];

/// One line for each key of the file that has no effect of its own.
#[must_use]
pub(super) fn notices(mode: TransportMode, root: &Node) -> Vec<String> {
    let other: &[_] = match mode {
        TransportMode::Kafka => &KAFKA,
        TransportMode::Embedded | TransportMode::Pubsub | TransportMode::Kinesis => &EMBEDDED,
    };
    (ALWAYS.iter().chain(other))
        .filter(|(key, _)| given(root, key))
        .map(|(key, instead)| format!("{key} has no effect: {instead}"))
        .collect()
}

fn given(root: &Node, path: &str) -> bool {
    let mut node = root;
    path.split('.').all(|key| match node.get(key) {
        Some(entry) => {
            node = &entry.value;
            true
        }
        None => false,
    })
}
