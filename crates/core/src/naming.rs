//! Topic names, as the Debezium connectors build them.

use crate::TableId;

/// Longest topic name that Kafka takes.
const TOPIC_LENGTH_MAX: usize = 249;

/// The topic of a table: `{prefix}.{namespace}.{table}`, with every character outside
/// `[A-Za-z0-9._-]` replaced by `_`, and cut at 249 characters.
#[must_use]
pub fn topic(prefix: &str, table: &TableId) -> String {
    let mut out =
        String::with_capacity(prefix.len() + table.namespace.len() + table.name.len() + 2);
    for part in [prefix, &table.namespace, &table.name] {
        if part.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('.');
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        out.extend(part.chars().map(|c| if allowed(c) { c } else { '_' }));
    }
    out.truncate(TOPIC_LENGTH_MAX);
    out
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
    }
}
