//! Debezium and `cdc` beside each other: one PostgreSQL, one workload, one Kafka, and the records of
//! both compared field by field.

mod accepted;
mod contender;
mod form;
mod topics;
mod workload;
mod world;

// One list of what may differ, for the golden files and for this suite.
#[path = "../../crates/codec/tests/golden_records/compare.rs"]
mod compare;
#[path = "../../crates/codec/tests/golden_records/accepted.rs"]
#[allow(dead_code, reason = "the golden files have changes that are refused, too")]
mod listed;

use std::collections::{BTreeMap, BTreeSet};

use cdc_codec::connect::avro::Reader;
use cdc_codec::connect::unframe;
use cdc_codec::debezium::{Decoded, Decoder, Options};
use cdc_core::{Operation, Position};
use serde_json::Value;

use self::compare::compare;
use self::contender::{Contender, Written};
use self::world::{Topics, World};

/// Every difference between what two wrote that nothing accepts, and which of the accepted were seen.
fn differences(
    one: &Topics,
    other: &Topics,
    both_debezium: bool,
) -> (Vec<String>, BTreeSet<&'static str>) {
    let (mut found, mut used) = (Vec::new(), BTreeSet::new());
    let none = Vec::new();
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for topic in names {
        let ours = one.get(topic).unwrap_or(&none);
        let theirs = other.get(topic).unwrap_or(&none);
        let kept = |record: &&Value| both_debezium || !accepted::is_refused(topic, record);
        let theirs: Vec<&Value> = theirs.iter().filter(kept).collect();
        if ours.len() != theirs.len() {
            let tell =
                |records: &[&Value]| records.iter().map(|one| signature(one)).collect::<Vec<_>>();
            let ours: Vec<&Value> = ours.iter().collect();
            found.push(format!(
                "{topic}: these records\n  {}\nbeside these\n  {}",
                tell(&ours).join("\n  "),
                tell(&theirs).join("\n  ")
            ));
            continue;
        }
        for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            for difference in compare(ours, theirs) {
                match accepted::rule(topic, ours, &difference, both_debezium) {
                    Some(name) => {
                        used.insert(name);
                    }
                    None => found.push(format!(
                        "{topic} {index} {}: {} beside {}",
                        difference.path, difference.ours, difference.theirs
                    )),
                }
            }
        }
    }
    (found, used)
}

/// What tells a record from its neighbours.
fn signature(record: &Value) -> String {
    let payload = &record["value"]["payload"];
    let of = |part: &str| payload[part].to_string();
    let key = record["key"]["payload"].to_string();
    format!(
        "{key} op {} lsn {} status {} id {}",
        of("op"),
        payload["source"]["lsn"],
        of("status"),
        of("id")
    )
}

#[track_caller]
fn assert_none(found: &[String]) {
    let shown: Vec<&str> = found.iter().map(String::as_str).take(200).collect();
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), shown.join("\n"));
}

/// The changes in a contender's topics as our decoder reads them.
async fn decoded(world: &World, contender: &Contender) -> BTreeMap<String, Vec<Decoded>> {
    let registry = form::Registered::at(&world.registry).unwrap();
    let mut all = BTreeMap::new();
    for (topic, records) in world.stored(contender).unwrap() {
        let mut decoder = Decoder::new(&Options::default().placeholder);
        let mut changes = Vec::new();
        for (ordinal, record) in records.iter().enumerate() {
            let (key, value) = match contender.written {
                Written::Avro => (
                    as_json(&registry, record.key.as_deref()).await,
                    as_json(&registry, record.value.as_deref()).await,
                ),
                Written::Json | Written::Plain => (record.key.clone(), record.value.clone()),
            };
            let at = Position::new(1, ordinal as u64);
            let decoded = decoder.decode(key.as_deref(), value.as_deref(), at);
            changes.push(decoded.unwrap_or_else(|error| panic!("{topic}: {error}")));
        }
        all.insert(topic, changes);
    }
    all
}

async fn as_json(registry: &form::Registered, bytes: Option<&[u8]>) -> Option<Vec<u8>> {
    let framed = unframe(bytes?).unwrap();
    let reader = Reader::new(&registry.text(framed.schema).await.unwrap()).unwrap();
    let mut json = Vec::new();
    reader.json(framed.record, &mut json).unwrap();
    Some(json)
}

/// Rows that are there after all changes, as many as the source has.
async fn check_rows(world: &World, topics: &BTreeMap<String, Vec<Decoded>>, table: &str) {
    let mut rows: BTreeMap<String, u32> = BTreeMap::new();
    for decoded in &topics[table] {
        let Decoded::Change(change) = decoded else { continue };
        let key = |row: &Option<cdc_core::Row>| {
            let row = row.as_ref().unwrap();
            change
                .schema
                .key
                .iter()
                .map(|column| format!("{:?} ", row[usize::from(*column)]))
                .collect::<String>()
        };
        match change.operation {
            Operation::Truncate => rows.clear(),
            Operation::Delete => assert_eq!(rows.remove(&key(&change.before)), Some(1), "{table}"),
            Operation::Update => assert!(rows.contains_key(&key(&change.after)), "{table}"),
            _ => assert_eq!(rows.insert(key(&change.after), 1), None, "{table}"),
        }
    }
    let sql = format!("SELECT count(*) FROM {table}");
    let count: i64 = world.client.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(rows.len() as i64, count, "{table}");
}

const ONE: Contender = Contender::new("beside_one", Written::Json, 1);
const OTHER: Contender = Contender::new("beside_other", Written::Json, 1);
const PLAIN: Contender = Contender::new("beside_plain", Written::Plain, 3);
const AVRO: Contender = Contender::new("beside_avro", Written::Avro, 1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_debezium_writes_twice_is_the_same_and_our_decoder_reads_it() {
    let Some(mut world) = World::start("Debezium beside itself").await.unwrap() else { return };
    let all = [&ONE, &OTHER, &PLAIN, &AVRO];
    for contender in all {
        world.start_debezium(contender).await.unwrap();
    }
    world.work(&all).await.unwrap();
    let (one, other) = (world.told(&ONE).await.unwrap(), world.told(&OTHER).await.unwrap());
    assert!(one.len() > 15, "{:?}", one.keys());
    let (found, _) = differences(&one, &other, true);
    assert_none(&found);
    let (json, avro) = (decoded(&world, &ONE).await, decoded(&world, &AVRO).await);
    for topics in [&json, &avro] {
        for table in ["types", "arrays", "whole", "evolving", "changing", "finish"] {
            check_rows(&world, topics, &format!("public.{table}")).await;
        }
    }
}
