//! Our records beside those of Debezium 3.6.3, field by field: one workload on one PostgreSQL, read by
//! both. `cargo xtask golden` records it anew.

mod accepted;
mod compare;
mod recorded;
mod scenes;

use accepted::ACCEPTED;
use bytes::Bytes;
use cdc_codec::debezium::{Options, Record, Records};
use compare::{Difference, compare};
pub(crate) use recorded::{changes, records};
use scenes::SCENES;
pub(crate) use scenes::options;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

/// What was recorded, with its settings.
pub(crate) fn scenes() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    SCENES.into_iter()
}

/// The tables that Debezium could not read in a scene.
fn left_out(scene: &str, topic: &str) -> bool {
    let tables = ["required", "extremes", "endless"];
    scene == "nanoseconds" && tables.iter().any(|table| topic.ends_with(&format!(".{table}")))
}

/// Is it about the transaction that fills table `large`? Of its row neither side's record is kept.
fn fills_large(record: &Json) -> bool {
    let changes = recorded::changes();
    let update = changes.iter().find(|change| change.schema.table.name == "large").unwrap();
    let id = record["key"]["payload"]["id"].as_str().unwrap();
    let number: Option<u64> = id.split(':').next().unwrap().parse().ok();
    number == Some(update.transaction.id - 1)
}

/// Our records of the workload, by topic, and how many changes were refused.
fn ours(prefix: &str, options: Options) -> (BTreeMap<String, Vec<Json>>, BTreeSet<String>) {
    let mut records = Records::new(prefix, "golden_0", options);
    let mut out: Vec<Record> = Vec::new();
    let mut refused = BTreeSet::new();
    for change in recorded::changes() {
        let at = UNIX_EPOCH + Duration::from_secs(1);
        if let Err(error) = records.of(&change, at, &mut out) {
            let row = change.row().map(|row| format!("{:?}", row[0]));
            refused.insert(format!("{} {} {error}", change.schema.table, row.unwrap_or_default()));
        }
    }
    let mut topics: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for record in out {
        let read = |bytes: Option<&Bytes>| {
            bytes.map_or(Json::Null, |bytes| serde_json::from_slice(bytes).unwrap())
        };
        let headers = record.headers.iter();
        let headers = headers.map(|header| (header.name.to_string(), read(Some(&header.value))));
        let headers: serde_json::Map<String, Json> = headers.collect();
        let json = json!({"key": read(record.key.as_ref()), "value": read(record.value.as_ref()), "headers": headers});
        topics.entry(record.topic.to_string()).or_default().push(json);
    }
    (topics, refused)
}

/// Compares one scene; what is accepted is noted in `used`.
fn check(
    (scene, prefix, text): &(&str, &str, &str),
    used: &mut BTreeSet<&'static str>,
) -> Vec<String> {
    let scene = *scene;
    let (ours, refused) = ours(prefix, options(text));
    let mut theirs = recorded::records(scene);
    theirs.retain(|topic, _| !topic.starts_with("__debezium-heartbeat"));
    if let Some(theirs) = theirs.get_mut("srv.transaction") {
        theirs.retain(|record| !fills_large(record));
    }
    let mut found = Vec::new();
    let topics: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for topic in topics {
        if left_out(scene, topic) {
            continue;
        }
        let none = Vec::new();
        let theirs = theirs.get(topic).unwrap_or(&none);
        let ours = ours.get(topic).unwrap_or(&none);
        let theirs: Vec<&Json> =
            theirs.iter().filter(|record| !accepted::refused_by_us(scene, topic, record)).collect();
        let ours: Vec<&Json> = ours.iter().collect();
        if theirs.len() != ours.len() {
            found.push(format!(
                "{scene} {topic}: {} records, Debezium {}",
                ours.len(),
                theirs.len()
            ));
        }
        for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            for difference in compare(ours, theirs) {
                // These settings reach only values in this scene.
                if scene == "cloudevents-without-schemas" && !difference.path.starts_with(".value")
                {
                    continue;
                }
                let Difference { path, ours, theirs } = &difference;
                match ACCEPTED.iter().find(|rule| (rule.covers)(scene, topic, &difference)) {
                    Some(rule) => {
                        used.insert(rule.name);
                    }
                    None => found
                        .push(format!("{scene} {topic} {index} {path}: {ours}, Debezium {theirs}")),
                }
            }
        }
    }
    for refusal in refused {
        let is_known = |(table, why): &(&str, &str)| {
            refusal.starts_with(&format!("{table} ")) && refusal.contains(why)
        };
        let known = accepted::REFUSED.iter().any(is_known);
        if !known {
            found.push(format!("{scene} refused {refusal}"));
        }
    }
    found
}

#[test]
fn our_records_are_those_of_debezium_but_for_the_accepted_differences() {
    let mut used = BTreeSet::new();
    let found: Vec<String> = SCENES.iter().flat_map(|scene| check(scene, &mut used)).collect();
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    let unused: Vec<_> = ACCEPTED.iter().filter(|rule| !used.contains(rule.name)).collect();
    let unused: Vec<_> = unused.iter().map(|rule| rule.name).collect();
    assert!(unused.is_empty(), "accepted, but never seen: {unused:?}");
}

#[test]
fn the_document_tells_of_every_accepted_difference_and_of_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/debezium-differences.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text
        .split("\n\n")
        .find(|part| part.starts_with("| what | `cdc` | Debezium | why"))
        .unwrap();
    let first = |row: &str| row.trim_start_matches("| ").split(" | ").next().unwrap().to_owned();
    let told: BTreeSet<String> = table.lines().skip(2).map(first).collect();
    let rules = ACCEPTED.iter().flat_map(|rule| rule.told).chain(&accepted::REFUSED_TOLD);
    let accepted: BTreeSet<String> = rules.map(|row| (*row).to_owned()).collect();
    assert_eq!(told, accepted);
}

#[test]
fn a_heartbeat_is_that_of_debezium() {
    let recorded = recorded::records("defaults");
    let theirs = &recorded["__debezium-heartbeat.srv"][0];
    let millis = theirs["value"]["payload"]["ts_ms"].as_u64().unwrap();
    let mut records = Records::new("srv", "golden", options("{}"));
    let beat = records.heartbeat(UNIX_EPOCH + Duration::from_millis(millis)).unwrap();
    assert_eq!(&*beat.topic, "__debezium-heartbeat.srv");
    let read = |bytes: Option<Bytes>| -> Json { serde_json::from_slice(&bytes.unwrap()).unwrap() };
    assert_eq!(compare(&read(beat.key), &theirs["key"]), []);
    assert_eq!(compare(&read(beat.value), &theirs["value"]), []);
}
