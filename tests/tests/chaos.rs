//! Three processes of one pipeline on three brokers, with everything that can die dying.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cdc_testkit::services::{Kafka, KafkaOptions, Port, Postgres};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustix::process::Signal;
use serde_json::json;

use crate::compare;
use crate::load::{self, Load};
use crate::process::Running;
use crate::scene::{Scene, any_server};
use crate::transactions;

const PROCESSES: usize = 3;
const BROKERS: u16 = 3;
/// How long the machines are disturbed, where nothing else is said.
const SECONDS: u64 = 40;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The processes of one pipeline, each with files and a port of its own.
struct Crew<'a> {
    scene: &'a Scene,
    places: Vec<(PathBuf, Port)>,
    running: Vec<Option<Running>>,
}

impl<'a> Crew<'a> {
    fn new(scene: &'a Scene) -> Self {
        let place = |index: usize| {
            let directory = scene.directory().join(format!("process-{index}"));
            std::fs::create_dir(&directory).unwrap();
            let port = Port::reserve().unwrap();
            let mut platform = scene.platform.clone();
            platform["rest"]["health_port"] = json!(port.number());
            let write = |name: &str, content: &serde_json::Value| {
                std::fs::write(directory.join(name), content.to_string()).unwrap();
            };
            write("pipeline.yaml", &scene.pipeline);
            write("platform.yaml", &platform);
            (directory, port)
        };
        let places = (0..PROCESSES).map(place).collect();
        Self { scene, places, running: (0..PROCESSES).map(|_| None).collect() }
    }

    fn start(&mut self, index: usize) {
        let (directory, port) = &self.places[index];
        let arguments = ["run", "pipeline.yaml", "--platform-config", "platform.yaml"];
        self.running[index] = Some(Running::start(directory, &arguments, port.number()));
    }

    fn start_all(&mut self) {
        (0..PROCESSES).for_each(|index| self.start(index));
    }

    fn kill(&mut self, index: usize) {
        let mut running = self.running[index].take().unwrap();
        assert!(running.is_running(), "process {index} ended by itself:\n{}", running.log());
        running.kill9();
    }

    async fn stop(&mut self, index: usize) {
        let mut running = self.running[index].take().unwrap();
        // Before it has begun, a signal ends it as it ends everything.
        running.answers("/healthz", 200).await;
        running.stop().await.exits_with(0);
    }

    /// What the processes have said, for a failed comparison.
    fn said(&self) -> String {
        let log = |index: usize| {
            let log = std::fs::read_to_string(self.places[index].0.join("cdc.log"));
            let log = log.unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(25).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            format!("process {index}:\n{}", tail.join("\n"))
        };
        (0..PROCESSES).map(log).collect::<Vec<_>>().join("\n")
    }

    async fn until_equal(&self, limit: Duration, what: &str) {
        let deadline = Instant::now() + limit;
        let (source, target) = (&self.scene.source, &self.scene.target);
        while let Some(difference) = compare::difference(source, target, &load::tables()).await {
            let said = || self.said();
            assert!(Instant::now() < deadline, "{what}: {difference}\n{}", said());
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

/// One thing that goes wrong.
async fn disturb(crew: &mut Crew<'_>, kafka: &Arc<Kafka>, random: &mut ChaCha8Rng) {
    let process = random.random_range(0..PROCESSES);
    let broker = random.random_range(1..=BROKERS);
    match random.random_range(0..10) {
        0..4 => {
            crew.kill(process);
            wait(random, 0..1500).await;
            crew.start(process);
        }
        4..6 => {
            crew.stop(process).await;
            wait(random, 0..1500).await;
            crew.start(process);
        }
        6 => {
            // Longer than a lease lasts: another process captures by the time this one wakes up.
            let frozen = crew.running[process].as_ref().unwrap();
            frozen.signal(Signal::STOP);
            wait(random, 7_000..9_000).await;
            frozen.signal(Signal::CONT);
        }
        7 => {
            let broken = Arc::clone(kafka);
            let pause = Duration::from_millis(random.random_range(0..2_000));
            tokio::task::spawn_blocking(move || {
                broken.kill9(broker).unwrap();
                std::thread::sleep(pause);
                broken.start_again(broker).unwrap();
            })
            .await
            .unwrap();
        }
        8 => {
            kafka.freeze(broker).unwrap();
            wait(random, 1_000..6_000).await;
            kafka.thaw(broker).unwrap();
        }
        _ => wait(random, 500..2_000).await,
    }
}

async fn wait(random: &mut ChaCha8Rng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(milliseconds))).await;
}

/// A cluster of three brokers, and a pipeline on it with a replica and a table of events.
async fn scene(source: &Postgres, target: &Postgres, kafka: &Kafka) -> Scene {
    let mut scene = Scene::between(source, target).await.with_replica(target).with_events(target);
    scene.pipeline["topic_prefix"] = json!(kafka.name("shop"));
    scene.platform["transport_mode"] = json!("kafka");
    scene.platform["kafka"] = json!({
        "bootstrap_servers": kafka.bootstrap(),
        "group_id": kafka.name("cdc-test"),
        "topic_replication_factor": BROKERS,
        "topic_configs": { "min.insync.replicas": "2" },
        "session_timeout_ms": 6000,
    });
    scene.platform["format"] =
        json!({ "key": "json", "value": "json", "skipped_operations": "none" });
    load::create(&scene.source).await;
    scene
}

async fn survives(seconds: u64, transactional: bool, target: &Postgres, kafka: Kafka) {
    let seed = number("CDC_CHAOS_SEED").unwrap_or_else(|| rand::rng().random());
    let kafka = Arc::new(kafka);
    let major = Postgres::available()[0];
    let options = cdc_testkit::services::Options { major, ..Default::default() };
    let source = Arc::new(Postgres::start(options).unwrap());
    let mut scene = scene(&source, target, &kafka).await;
    scene.platform["kafka"]["transactional"] = json!(transactional);
    let mut crew = Crew::new(&scene);
    crew.start_all();
    let load = Load::start(&source, &scene.source_database, seed);
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 1);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut disturbances = 0;
    while Instant::now() < end {
        disturb(&mut crew, &kafka, &mut random).await;
        wait(&mut random, 200..2_500).await;
        disturbances += 1;
    }
    let transactions = load.stop().await;
    let what = format!("CDC_CHAOS_SEED={seed}");
    crew.until_equal(Duration::from_secs(180), &what).await;
    for index in 0..PROCESSES {
        crew.stop(index).await;
    }
    compare_events(&scene, &what).await;
    if transactional {
        let seen = transactions::committed(&kafka, &scene);
        transactions::each_once(&seen, &what);
        assert!(seen.len() > 1000, "{what}: only {} records: no test at all", seen.len());
    }
    eprintln!(
        "chaos: {disturbances} disturbances, {transactions} transactions, CDC_CHAOS_SEED={seed}"
    );
}

/// Every event is there once: no two come from the same place of the source's log.
async fn compare_events(scene: &Scene, what: &str) {
    let places = "SELECT count(*), count(DISTINCT (source_topic, event_key::text,
                         event_value::jsonb #>> '{source,lsn}', event_value::jsonb ->> 'op'))
                    FROM public.events WHERE event_value IS NOT NULL";
    let row = scene.target.query_one(places, &[]).await.unwrap();
    let (all, distinct): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(all, distinct, "{what}: events came twice");
    assert!(all > 1000, "{what}: only {all} events: no test at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_and_events_equal_the_source_after_everything_died() {
    let Some(target) = any_server() else { return };
    let options = KafkaOptions { brokers: BROKERS, ..KafkaOptions::default() };
    let Some(kafka) = Kafka::start_or_skip("chaos on Kafka", &options).unwrap() else { return };
    let transactional = number("CDC_CHAOS_TRANSACTIONAL").is_some();
    survives(number("CDC_CHAOS_SECONDS").unwrap_or(SECONDS), transactional, target, kafka).await;
}

/// Frozen for a minute, a broker is neither dead nor alive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_a_broker_that_stands_still_for_a_minute_loses_and_doubles_nothing() {
    let Some(target) = any_server() else { return };
    let options = KafkaOptions { brokers: BROKERS, ..KafkaOptions::default() };
    let Some(kafka) = Kafka::start_or_skip("chaos on Kafka", &options).unwrap() else { return };
    let major = Postgres::available()[0];
    let options = cdc_testkit::services::Options { major, ..Default::default() };
    let source = Arc::new(Postgres::start(options).unwrap());
    let scene = scene(&source, target, &kafka).await;
    let mut crew = Crew::new(&scene);
    crew.start_all();
    let load = Load::start(&source, &scene.source_database, 7);
    tokio::time::sleep(Duration::from_secs(5)).await;
    kafka.freeze(2).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    kafka.thaw(2).unwrap();
    load.stop().await;
    crew.until_equal(Duration::from_secs(120), "a frozen broker").await;
    for index in 0..PROCESSES {
        crew.stop(index).await;
    }
    compare_events(&scene, "a frozen broker").await;
}
