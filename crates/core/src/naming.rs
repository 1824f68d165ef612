//! Topic names, as the Debezium connectors build them.

use crate::TableId;

/// Longest topic name that Kafka takes.
const TOPIC_LENGTH_MAX: usize = 249;

/// The topic of a table: `{prefix}.{namespace}.{table}`, with every character outside
/// `[A-Za-z0-9._-]` replaced by `_`, and cut at 249 characters. Messages have `{prefix}.message`.
#[must_use]
pub fn topic(prefix: &str, table: &TableId) -> String {
    topic_of(&[prefix, &table.namespace, &table.name])
}

/// The topic of heartbeats: `__debezium-heartbeat.{prefix}`.
#[must_use]
pub fn heartbeat_topic(prefix: &str) -> String {
    topic_of(&["__debezium-heartbeat", prefix])
}

/// The topic of the begin and end of transactions: `{prefix}.transaction`.
#[must_use]
pub fn transaction_topic(prefix: &str) -> String {
    topic_of(&[prefix, "transaction"])
}

/// The parts that are not empty, with points between them, as a name that Kafka takes.
#[must_use]
pub fn topic_of(parts: &[&str]) -> String {
    let mut out = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts.iter().filter(|part| !part.is_empty()) {
        if !out.is_empty() {
            out.push('.');
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        out.extend(part.chars().map(|c| if allowed(c) { c } else { '_' }));
    }
    out.truncate(TOPIC_LENGTH_MAX);
    // Kafka refuses these two, which are folders everywhere.
    match out.as_str() {
        "." => "_".to_owned(),
        ".." => "__".to_owned(),
        _ => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_what_kafka_refuses() {
        assert_eq!(topic("cdc", &TableId::new("public", "users")), "cdc.public.users");
        assert_eq!(topic("cdc", &TableId::new("Büro", "a b\"c")), "cdc.B_ro.a_b_c");
        assert_eq!(topic("cdc", &TableId::new("", "t")), "cdc.t");
        assert_eq!(topic("p", &TableId::new("n", "x".repeat(300))).len(), 249);
        assert_eq!(topic("", &TableId::new("", "..")), "__");
        assert_eq!(topic(".", &TableId::new("", "")), "_");
        assert_eq!(topic("cdc", &TableId::messages()), "cdc.message");
        assert_eq!(heartbeat_topic("cdc"), "__debezium-heartbeat.cdc");
        assert_eq!(transaction_topic("cdc"), "cdc.transaction");
    }
}
