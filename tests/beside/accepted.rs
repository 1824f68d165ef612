//! What may differ, beside what `docs/debezium-differences.md` lists for one source.

use serde_json::Value;

use super::compare::Difference;
use super::listed::{ACCEPTED, refused_by_us};

/// Its name, and what it covers.
type Mask = (&'static str, fn(&str, &Value, &Difference) -> bool);

/// Masks between any two readers of one database, be they the same program.
const READERS: [Mask; 6] = [
    ("when it was written", |topic, _, d| {
        d.path.starts_with(".value.payload.ts_") && !topic.ends_with("transaction")
    }),
    ("which run wrote it", |_, _, d| d.path.contains("__debezium.context.runId")),
    ("where and when a first copy was made", |_, record, d| {
        let source = ["lsn", "txId", "sequence", "ts_ms", "ts_us", "ts_ns", "xmin"];
        let end = d.path.strip_prefix(".value.payload.source.");
        is_of_a_copy(record) && end.is_some_and(|end| source.contains(&end))
    }),
    ("names of Java objects", |_, _, d| {
        let (ours, theirs) = (d.ours.to_string(), d.theirs.to_string());
        ours.contains('@') && without_addresses(&ours) == without_addresses(&theirs)
    }),
    ("the tables of a transaction, in any order", |_, _, d| {
        d.path.ends_with(".data_collections") && tables(&d.ours) == tables(&d.theirs)
    }),
    ("what the reader had seen before", |_, _, d| d.path.ends_with(".source.sequence")),
];

/// The text without what follows each `@`: Java ends the names of objects with an address.
fn without_addresses(text: &str) -> String {
    let parts =
        text.split('@').map(|part| part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    parts.collect()
}

fn tables(json: &Value) -> Vec<String> {
    let tables = json.as_array().into_iter().flatten();
    let mut tables: Vec<String> = tables.map(|one| without_addresses(&one.to_string())).collect();
    tables.sort();
    tables
}

fn is_of_a_copy(record: &Value) -> bool {
    record["value"]["payload"]["op"] == "r"
}

/// Is this a record of Debezium's whose change we refuse?
pub(super) fn is_refused(topic: &str, record: &Value) -> bool {
    refused_by_us("defaults", topic, record)
}

/// The name of what accepts a difference.
pub(super) fn rule(
    topic: &str,
    record: &Value,
    difference: &Difference,
    both_debezium: bool,
) -> Option<&'static str> {
    let mask = READERS.iter().find(|(_, covers)| covers(topic, record, difference));
    if let Some((name, _)) = mask {
        return Some(name);
    }
    let listed = ACCEPTED.iter().find(|rule| (rule.covers)("defaults", topic, difference));
    listed.filter(|_| !both_debezium).map(|rule| rule.name)
}
