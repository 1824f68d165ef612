//! Keys that are accepted but do nothing of their own here: each is mapped to the nearest real
//! setting, and said so once at start.

use super::{
    platform::{PlatformFile, TransportMode},
    yaml::Node,
};

/// Keys without an effect of their own and what stands for them.
const MOOT: [(&str, &str); 11] = [
    ("rest.max_buffered_messages", "changes in flight are limited by bytes: memory_budget"),
    ("rest.schema_monitor_interval_seconds", "schema changes arrive in the log as they happen"),
    ("dlq.max_retries", "changes are tried retry.max_attempts times before they are set aside"),
    ("dlq.include_headers", "dead letters keep the whole change, its place and its error"),
    ("dlq.flush_interval_seconds", "a dead letter is on disk before anything goes on"),
    ("dlq.topic_suffix", "dead letters of the embedded log are kept in the pipeline's state"),
    ("wal_reader.batch_size", "batches are limited by bytes: memory_budget"),
    ("wal_reader.batch_timeout_seconds", "batches end when nothing more is waiting"),
    ("wal_reader.max_retries", "a source that cannot be reached is retried without a limit"),
    ("kafka", "transport_mode is embedded"),
    ("pubsub", "transport_mode is embedded"),
];

/// One line for each key of the file that has no effect of its own.
#[must_use]
pub(crate) fn notices(file: &PlatformFile, root: &Node) -> Vec<String> {
    let embedded = file.transport_mode.is_none_or(|mode| mode == TransportMode::Embedded);
    let kinesis = ("kinesis", "transport_mode is embedded");
    MOOT.iter()
        .chain([&kinesis])
        .filter(|(key, _)| embedded && given(root, key))
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
