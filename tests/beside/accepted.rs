//! What may differ, beside what `docs/debezium-differences.md` lists for one source.

use serde_json::Value;

use super::compare::Difference;
use super::contender::Written;
use super::listed::{ACCEPTED, refused_by_us};

/// Its name, and what it covers.
type Mask = (&'static str, fn(&str, &Value, &Difference) -> bool);

/// Masks between any two readers of one database, be they the same program.
const READERS: [Mask; 9] = [
    ("when it was written", |topic, _, d| {
        let starts = [".value.payload.ts_", ".value.ts_"];
        starts.iter().any(|start| d.path.starts_with(start)) && !topic.ends_with("transaction")
    }),
    ("where the end of a transaction is", |topic, _, d| {
        topic == "transaction" && d.path == ".partition"
    }),
    ("which run wrote it", |_, _, d| d.path.contains("__debezium.context.runId")),
    ("where and when a first copy was made", |_, record, d| {
        let source = ["lsn", "txId", "sequence", "ts_ms", "ts_us", "ts_ns", "xmin"];
        let starts = [".value.payload.source.", ".value.source."];
        let end = starts.iter().find_map(|start| d.path.strip_prefix(start));
        is_of_a_copy(record) && end.is_some_and(|end| source.contains(&end))
    }),
    ("dates before Christ in a first copy", |_, record, d| {
        is_of_a_copy(record) && d.path.ends_with(".after.d") && d.ours.as_i64() < Some(-719_162)
    }),
    ("in which order tables were copied", |_, record, d| {
        is_of_a_copy(record) && d.path.ends_with(".source.snapshot")
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
    envelope(record)["op"] == "r"
}

/// The envelope of a record, with or without its schema.
fn envelope(record: &Value) -> &Value {
    let value = &record["value"];
    value.get("payload").unwrap_or(value)
}

/// Is this a record that belongs to how the comparison is made: marks between its steps, and what
/// `cdc` tells itself through the source? `began` is where the source was when both had made their copies.
pub(super) fn is_scaffold(topic: &str, record: &Value, began: u64) -> bool {
    let envelope = envelope(record);
    let address = |json: &Value| json.as_str()?.rsplit(':').next()?.parse::<u64>().ok();
    match topic {
        "public.marks" => true,
        "message" => {
            let prefix = envelope["message"]["prefix"].as_str();
            prefix.is_some_and(|prefix| prefix.starts_with("cdc."))
        }
        "transaction" => address(&envelope["id"]).is_some_and(|at| at <= began),
        _ => false,
    }
}

/// The transaction that a record begins or ends, and whether it ends it: ids of ends are not the same,
/// and so they may be in another partition.
pub(super) fn transaction(record: &Value) -> (Option<u64>, bool) {
    let envelope = envelope(record);
    let number = envelope["id"].as_str().and_then(|id| id.split(':').next()?.parse().ok());
    (number, envelope["status"] == "END")
}

/// Is this the truncate by which we tell of a table that was empty when it was copied?
pub(super) fn is_ours_alone(record: &Value) -> bool {
    let envelope = envelope(record);
    envelope["op"] == "t" && envelope["source"]["txId"].is_null()
}

/// Is this a record of Debezium's whose change we refuse?
pub(super) fn is_refused(written: Written, topic: &str, record: &Value) -> bool {
    envelope(record)["op"] != "t" && refused_by_us(scene(written), topic, record)
}

/// The golden files with records in this form.
fn scene(written: Written) -> &'static str {
    match written {
        Written::Plain => "without-schemas",
        _ => "defaults",
    }
}

/// The name of what accepts a difference.
pub(super) fn rule(
    written: Written,
    topic: &str,
    record: &Value,
    difference: &Difference,
    both_debezium: bool,
) -> Option<&'static str> {
    let mask = READERS.iter().find(|(_, covers)| covers(topic, record, difference));
    if let Some((name, _)) = mask {
        return Some(name);
    }
    let topic = format!("PREFIX.{topic}");
    let listed = ACCEPTED.iter().find(|rule| (rule.covers)(scene(written), &topic, difference));
    listed.filter(|_| !both_debezium).map(|rule| rule.name)
}
