//! Kafka's transactions, as a consumer of somebody else's sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cdc_testkit::services::Kafka;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::process::eventually;
use crate::scene::{Scene, any_server};

/// One record: where it is, and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) topic: String,
    pub(crate) position: String,
    pub(crate) key: Vec<u8>,
    pub(crate) tombstone: bool,
    /// Partition and offset.
    at: (i32, i64),
    /// Number of the source's transaction, where its rows have one.
    transaction: Option<i64>,
}

impl Seen {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers();
        let position = headers.into_iter().flat_map(|headers| headers.iter());
        let position = position.filter(|header| header.key == "cdc.position");
        let position = position.filter_map(|header| header.value).next().unwrap();
        let value: Option<Value> =
            message.payload().map(|value| serde_json::from_slice(value).unwrap());
        Self {
            topic: message.topic().to_owned(),
            position: String::from_utf8(position.to_vec()).unwrap(),
            key: message.key().unwrap_or_default().to_vec(),
            tombstone: message.payload().is_none(),
            at: (message.partition(), message.offset()),
            transaction: value.and_then(|value| value["after"]["tx"].as_i64()),
        }
    }
}

/// Everything that a consumer with `isolation.level=read_committed` sees now of a pipeline's topics.
pub(crate) fn committed(kafka: &Kafka, scene: &Scene) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("group.id", kafka.name("reading"))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    let wait = Duration::from_secs(30);
    let prefix = format!("{}.", scene.pipeline["topic_prefix"].as_str().unwrap());
    let found = consumer.fetch_metadata(None, wait).unwrap();
    for topic in found.topics().iter().filter(|topic| topic.name().starts_with(&prefix)) {
        for partition in topic.partitions() {
            list.add_partition_offset(topic.name(), partition.id(), Offset::Beginning).unwrap();
        }
    }
    let mut open = list.count();
    consumer.assign(&list).unwrap();
    let mut seen = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while open > 0 {
        assert!(Instant::now() < deadline, "{prefix}* cannot be read to the ends");
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => seen.push(Seen::of(&message)),
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => eprintln!("reading: {error}"),
            None => {}
        }
    }
    seen
}

/// No two records are of the same change.
pub(crate) fn each_once(seen: &[Seen], what: &str) {
    let mut distinct = BTreeMap::new();
    for record in seen {
        let Seen { topic, position, key, tombstone, .. } = record;
        let before = distinct.insert((topic, position, key, tombstone), record.at);
        assert_eq!(before, None, "{what}: {position} is in {topic} twice, again {:?}", record.at);
    }
}

const TABLES: [&str; 2] = ["debits", "credits"];

/// Transactions of one to many rows in both tables, until it is cancelled; how many there were.
async fn load(scene: &Scene, random: &mut ChaCha8Rng, from: i64, stop: CancellationToken) -> i64 {
    let mut next = from;
    while !stop.is_cancelled() {
        let rows = match random.random_range(0..40) {
            0 => 4_000,
            _ => random.random_range(1..30),
        };
        let sql = format!(
            "INSERT INTO debits (tx) SELECT {next} FROM generate_series(1, {rows});
             INSERT INTO credits (tx) SELECT {next} FROM generate_series(1, {rows});"
        );
        scene.source.batch_execute(&sql).await.unwrap();
        next += 1;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
    }
    next
}

/// How many rows each transaction has in each table.
fn counts(seen: &[Seen]) -> BTreeMap<i64, BTreeMap<&str, u64>> {
    let mut counts = BTreeMap::<i64, BTreeMap<&str, u64>>::new();
    for record in seen {
        let Some(transaction) = record.transaction else { continue };
        *counts.entry(transaction).or_default().entry(&record.topic).or_default() += 1;
    }
    counts
}

fn are_whole(seen: &[Seen], what: &str) {
    for (transaction, tables) in counts(seen) {
        let rows: BTreeSet<&u64> = tables.values().collect();
        assert!(tables.len() == 2 && rows.len() == 1, "{what}: half of {transaction}: {tables:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_consumer_sees_every_change_once_and_whole_transactions_whatever_dies() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let mut scene = Scene::on(server).await.with_file().on_kafka(kafka);
    scene.platform["kafka"]["transactional"] = json!(true);
    scene.platform["kafka"]["topic_num_partitions"] = json!(2);
    // Until the partitions of a sink that was killed are given to the next.
    scene.platform["kafka"]["session_timeout_ms"] = json!(6000);
    scene.platform["format"] = json!({ "key": "json", "value": "json" });
    let create = TABLES.map(|table| {
        format!("CREATE TABLE {table} (id bigserial PRIMARY KEY, tx bigint NOT NULL);")
    });
    scene.source.batch_execute(&create.concat()).await.unwrap();
    // Rows that are copied come one by one, so the tables are copied while they are empty.
    scene.cdc_within(Duration::from_secs(60), &["run", "--until-current"]).await.exits_with(0);
    let mut random = ChaCha8Rng::seed_from_u64(rand::rng().random());
    let (mut next, mut before) = (0, 0);
    for round in 0..6 {
        let mut running = scene.start();
        let stop = CancellationToken::new();
        let life = Duration::from_millis(random.random_range(100..2_500));
        let disturbed = async {
            running.follows().await;
            tokio::time::sleep(life).await;
            assert!(running.is_running(), "{}", running.log());
            running.kill9();
            stop.cancel();
        };
        let mut dice = ChaCha8Rng::seed_from_u64(random.random());
        let loaded = load(&scene, &mut dice, next, stop.clone());
        ((), next) = tokio::join!(disturbed, loaded);
        // A commit that was under way shows itself a moment later.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let seen = committed(kafka, &scene);
        let log = std::fs::read_to_string(scene.directory().join("cdc.log")).unwrap_or_default();
        let what = format!("{log}\nround {round}");
        each_once(&seen, &what);
        are_whole(&seen, &what);
        assert!(seen.len() >= before, "{what}: what was committed stays");
        before = seen.len();
        eprintln!("round {round}: {before} changes");
    }
    let mut running = scene.start();
    let rows = "SELECT (SELECT count(*) FROM debits) + (SELECT count(*) FROM credits)";
    let rows: i64 = scene.source.query_one(rows, &[]).await.unwrap().get(0);
    running.follows().await;
    eventually("every change is on its topic", async || {
        committed(kafka, &scene).len() >= rows as usize
    })
    .await;
    eventually("nothing is left for the sink", async || {
        let body: Value = serde_json::from_str(&running.answers("/healthz", 200).await).unwrap();
        let lags = body["consumer_lag"].as_array().unwrap();
        !lags.is_empty() && lags.iter().all(|lag| lag["lag"] == 0)
    })
    .await;
    running.stop().await.exits_with(0);
    scene.cdc_within(Duration::from_secs(60), &["run", "--until-current"]).await.exits_with(0);
    let seen = committed(kafka, &scene);
    each_once(&seen, "at the end");
    are_whole(&seen, "at the end");
    assert_eq!(seen.len(), rows as usize);
    assert_eq!(counts(&seen).len(), next as usize, "every transaction is there");
    eprintln!("{next} transactions with {rows} rows, 6 kills");
}
