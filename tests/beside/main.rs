//! Debezium and `cdc` beside each other: one PostgreSQL, one workload, one Kafka, and the records of
//! both compared field by field; and other programs' consumers of these topics.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "tests, in real time and with the environment of their runner"
)]

mod accepted;
mod consumers;
mod contender;
mod fed;
mod form;
mod ours;
mod topics;
mod workload;
mod world;

// The binary as a process.
#[path = "../tests/process.rs"]
#[allow(dead_code, reason = "the other suites do more with it")]
mod process;
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
use cdc_testkit::services::Apicurio;
use serde_json::Value;

use self::compare::compare;
use self::consumers::Language;
use self::contender::{Contender, Written};
use self::world::{Topics, World};

/// Every difference between what two wrote that nothing accepts, and which of the accepted were seen.
fn differences(
    written: Written,
    one: &Topics,
    other: &Topics,
    both_debezium: bool,
) -> (Vec<String>, BTreeSet<&'static str>) {
    let (mut found, mut used) = (Vec::new(), BTreeSet::new());
    let none = Vec::new();
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    for topic in names {
        let ours = one.get(topic).unwrap_or(&none).iter();
        let ours: Vec<&Value> = ours.filter(|record| !accepted::is_ours_alone(record)).collect();
        let theirs = other.get(topic).unwrap_or(&none);
        let kept = |record: &&Value| both_debezium || !accepted::is_refused(written, topic, record);
        let theirs: Vec<&Value> = theirs.iter().filter(kept).collect();
        if ours.len() != theirs.len() {
            let tell =
                |records: &[&Value]| records.iter().map(|one| signature(one)).collect::<Vec<_>>();
            found.push(format!(
                "{topic}: these records\n  {}\nbeside these\n  {}",
                tell(&ours).join("\n  "),
                tell(&theirs).join("\n  ")
            ));
            continue;
        }
        for (index, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            for difference in compare(ours, theirs) {
                match accepted::rule(written, topic, ours, &difference, both_debezium) {
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
                _ => (record.key.clone(), record.value.clone()),
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

const ONE: Contender = Contender::new("debezium_json", Written::Json, 1);
const OTHER: Contender = Contender::new("debezium_again", Written::Json, 1);
const DEBEZIUM_PLAIN: Contender = Contender::new("debezium_plain", Written::Plain, 3);
const DEBEZIUM_AVRO: Contender = Contender::new("debezium_avro", Written::Avro, 1);
const OUR_JSON: Contender = Contender::new("cdc_json", Written::Json, 1);
const OUR_PLAIN: Contender = Contender::new("cdc_plain", Written::Plain, 3);
const OUR_AVRO: Contender = Contender::new("cdc_avro", Written::Avro, 1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_debezium_writes_twice_is_the_same_and_our_decoder_reads_it() {
    let Some(mut world) = World::start("Debezium beside itself").await.unwrap() else { return };
    workload::fill(&world.client).await.unwrap();
    let all = [&ONE, &OTHER, &DEBEZIUM_AVRO];
    for contender in all {
        world.start_debezium(contender).await.unwrap();
    }
    world.work(&all).await.unwrap();
    let (one, other) = (world.told(&ONE).await.unwrap(), world.told(&OTHER).await.unwrap());
    assert!(one.len() > 15, "{:?}", one.keys());
    let (found, _) = differences(Written::Json, &one, &other, true);
    assert_none(&found);
    let (json, avro) = (decoded(&world, &ONE).await, decoded(&world, &DEBEZIUM_AVRO).await);
    for topics in [&json, &avro] {
        // Not `changing` and `evolving`: rows cannot be told apart by a key that becomes another.
        for table in ["types", "arrays", "whole", "finish"] {
            check_rows(&world, topics, &format!("public.{table}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]

async fn our_topics_are_those_of_debezium_but_for_the_accepted_differences() {
    let Some(mut world) = World::start("Debezium beside cdc").await.unwrap() else { return };
    workload::fill(&world.client).await.unwrap();
    let registry = world.registry.clone();
    let pairs = [(&OUR_JSON, &ONE), (&OUR_PLAIN, &DEBEZIUM_PLAIN), (&OUR_AVRO, &DEBEZIUM_AVRO)];
    for (ours, theirs) in pairs {
        world.start_debezium(theirs).await.unwrap();
        world.start_ours(ours, &registry).await.unwrap();
    }
    let all: Vec<&Contender> = pairs.iter().flat_map(|(ours, theirs)| [*ours, *theirs]).collect();
    world.work(&all).await.unwrap();
    let mut found = Vec::new();
    for (ours, theirs) in pairs {
        let (one, other) = (world.told(ours).await.unwrap(), world.told(theirs).await.unwrap());
        let (different, _) = differences(ours.written, &one, &other, false);
        found.extend(different.into_iter().map(|line| format!("{} {line}", ours.prefix)));
    }
    let versions = (world.versions(&OUR_AVRO).await, world.versions(&DEBEZIUM_AVRO).await);
    let (ours, theirs) = (versions.0.unwrap(), versions.1.unwrap());
    for subject in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let (ours, theirs) = (ours.get(subject), theirs.get(subject));
        // A table with no record but a truncate: we register both its schemas.
        let is_early = theirs.is_none() && subject.ends_with("-key");
        if ours != theirs && !is_early {
            found.push(format!("versions of {subject}: {ours:?} beside {theirs:?}"));
        }
    }
    assert_none(&found);
}

/// A topic with the rows that consumers of others look for.
async fn consumed(world: &mut World, contenders: &[&Contender]) {
    world.mark(contenders).await.unwrap();
    for statement in consumers::CHANGES {
        world.client.batch_execute(statement).await.unwrap();
    }
    world.mark(contenders).await.unwrap();
    world.quiet(contenders).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_of_others_read_what_debezium_writes_with_the_embedded_registry() {
    let Some(mut world) = World::start("consumers of Debezium's topics").await.unwrap() else {
        return;
    };
    world.client.batch_execute(consumers::TABLE).await.unwrap();
    world.start_debezium(&DEBEZIUM_AVRO).await.unwrap();
    consumed(&mut world, &[&DEBEZIUM_AVRO]).await;
    let registry = world.registry.clone();
    consumers::java(&world, &registry, DEBEZIUM_AVRO.prefix).await;
    consumers::python(&world, &registry, DEBEZIUM_AVRO.prefix, Language::Avro).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_are_fed_by_what_debezium_writes_in_json() {
    let Some(world) = World::start("sinks fed by Debezium, JSON").await.unwrap() else { return };
    fed::deliver(&world, "json_with_schemas").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sinks_are_fed_by_what_debezium_writes_in_avro() {
    let Some(world) = World::start("sinks fed by Debezium, Avro").await.unwrap() else { return };
    fed::deliver(&world, "avro").await;
}

/// What is written with the embedded registry and with Apicurio, and how it is read.
const LANGUAGES: [([&str; 2], Written, Language); 3] = [
    (["cdc_avro", "cdc_avro_apicurio"], Written::Avro, Language::Avro),
    (["cdc_schema", "cdc_schema_apicurio"], Written::JsonSchema, Language::Json),
    (["cdc_protobuf", "cdc_protobuf_apicurio"], Written::Protobuf, Language::Protobuf),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_of_others_read_what_we_write() {
    let Some(mut world) = World::start("consumers of our topics").await.unwrap() else { return };
    let apicurio = tokio::task::spawn_blocking(Apicurio::start).await.unwrap().unwrap();
    world.client.batch_execute(consumers::TABLE).await.unwrap();
    let registries = [world.registry.clone(), apicurio.url()];
    let mut all = Vec::new();
    for (prefixes, written, language) in LANGUAGES {
        for (prefix, registry) in prefixes.into_iter().zip(&registries) {
            all.push((Contender::new(prefix, written, 3), language, registry));
        }
    }
    for (contender, _, registry) in &all {
        world.start_ours(contender, registry).await.unwrap();
    }
    consumed(&mut world, &all.iter().map(|(contender, ..)| contender).collect::<Vec<_>>()).await;
    for (contender, language, registry) in &all {
        // Confluent's client for Python asks for Protobuf that is compiled, and Apicurio has its text.
        if *language != Language::Protobuf || **registry == world.registry {
            consumers::python(&world, registry, contender.prefix, *language).await;
        }
        if *language == Language::Avro {
            consumers::java(&world, registry, contender.prefix).await;
        }
    }
}
