use crate::{config, number_of, open, record};
use cdc_core::{
    Offset, TopicPartition, Transport as _,
    transport::{AppendReceipt, Condition},
};
use cdc_testkit::services::{Kafka, KafkaOptions};
use cdc_transport_kafka::{Config, KafkaTransport};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// Everything heals within this time, on a machine that starts brokers slowly.
const HEALED: Duration = Duration::from_secs(180);

/// The cluster of three that these tests share, one at a time: each leaves it whole.
async fn three() -> Option<tokio::sync::MappedMutexGuard<'static, Kafka>> {
    static CLUSTER: tokio::sync::Mutex<Option<Kafka>> = tokio::sync::Mutex::const_new(None);
    let mut cluster = CLUSTER.lock().await;
    if cluster.is_none() {
        let settings = vec![
            ("leader.imbalance.check.interval.seconds", "2"),
            ("leader.imbalance.per.broker.percentage", "0"),
        ];
        let options = KafkaOptions { brokers: 3, settings, ..KafkaOptions::default() };
        *cluster = Kafka::start_or_skip("transport-kafka", &options).unwrap();
    }
    tokio::sync::MutexGuard::try_map(cluster, Option::as_mut).ok()
}

/// One writer and one reader of a partition, who go on whatever happens to the brokers.
struct Traffic {
    log: Arc<KafkaTransport>,
    at: TopicPartition,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    seen: Arc<AtomicU64>,
    writer: tokio::task::JoinHandle<u64>,
    reader: tokio::task::JoinHandle<()>,
}

impl Traffic {
    async fn begin(kafka: &Kafka, config: Config) -> Self {
        let prefix = kafka.name("faults");
        let log = Arc::new(open(config, &prefix).await);
        let at = TopicPartition::new(format!("{prefix}.t"), 0);
        log.provision(&[log.plan(&at.topic)]).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (acknowledged, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let writer = tokio::spawn(write(
            Arc::clone(&log),
            at.clone(),
            Arc::clone(&stop),
            Arc::clone(&acknowledged),
        ));
        let reader = tokio::spawn(read(Arc::clone(&log), at.clone(), Arc::clone(&seen)));
        Self { log, at, stop, acknowledged, seen, writer, reader }
    }

    /// Waits until something that was written from now on is acknowledged and read.
    async fn flows(&self) {
        let now = || {
            let read = self.seen.load(Ordering::Relaxed);
            (self.acknowledged.load(Ordering::Relaxed), read)
        };
        let (acknowledged, read) = now();
        let wanted = acknowledged.max(read) + 500;
        let flows = async {
            while now().0.min(now().1) < wanted {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let begun = std::time::Instant::now();
        let healed = tokio::time::timeout(HEALED, flows).await;
        assert!(healed.is_ok(), "it does not heal: {:?} and not {wanted}", now());
        println!("flows after {:?}", begun.elapsed());
    }

    /// Stops writing and compares what was written with what is there.
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let written = tokio::time::timeout(HEALED, self.writer).await.unwrap().unwrap();
        assert_eq!(self.acknowledged.load(Ordering::Relaxed), written);
        let rest = async {
            while self.seen.load(Ordering::Relaxed) < written {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(HEALED, rest).await.expect("the reader misses records");
        self.reader.abort();
        // Exactly once each: the producer is idempotent and was never opened anew.
        let all = crate::read_all(&self.log, &self.at).await;
        assert!(all.iter().map(number_of).eq(0..written), "{} of {written}", all.len());
        assert_eq!(self.log.newest(&self.at).await.unwrap(), Some(record(written - 1).position));
        assert_eq!(*self.log.condition().borrow(), Condition::Writable);
        println!("{written} records");
    }
}

async fn write(
    log: Arc<KafkaTransport>,
    at: TopicPartition,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) -> u64 {
    let (sender, mut receipts) = tokio::sync::mpsc::channel::<(u64, AppendReceipt)>(200);
    let settle = tokio::spawn(async move {
        let mut before = Offset(0);
        while let Some((upto, receipt)) = receipts.recv().await {
            let end = receipt.0.await.unwrap().unwrap();
            assert!(end > before, "receipts resolve in order");
            before = end;
            acknowledged.store(upto, Ordering::Relaxed);
        }
    });
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        let batch = (next..next + 20).map(record).collect();
        let receipt = log.send(&at, batch).await.unwrap();
        next += 20;
        sender.send((next, receipt)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(sender);
    settle.await.unwrap();
    next
}

async fn read(log: Arc<KafkaTransport>, at: TopicPartition, seen: Arc<AtomicU64>) {
    let mut next = 0;
    let mut offset = Offset(0);
    loop {
        // What the engine does after an error: it opens a new reader where it was.
        let mut reader = match log.records(&at, offset).await {
            Ok(reader) => reader,
            Err(error) => {
                println!("reader: {}", error.chain());
                assert!(matches!(error.code, "CDC-2102" | "CDC-2113"), "{}", error.chain());
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        loop {
            let batch = match reader.next(50_000).await {
                Ok(batch) => batch,
                Err(error) => {
                    println!("reader: {}", error.chain());
                    break;
                }
            };
            for record in &batch.records {
                assert_eq!(number_of(record), next, "no record is missed or repeated");
                next += 1;
            }
            offset = batch.next;
            seen.store(next, Ordering::Relaxed);
        }
    }
}

fn replicated(kafka: &Kafka) -> Config {
    Config { topic_replication_factor: 3, request_timeout_ms: 5_000, ..config(kafka) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_broker_is_killed_and_comes_back() {
    let options = KafkaOptions::default();
    let Some(kafka) = Kafka::start_or_skip("transport-kafka", &options).unwrap() else { return };
    let config = Config { request_timeout_ms: 5_000, ..config(&kafka) };
    let traffic = Traffic::begin(&kafka, config).await;
    traffic.flows().await;
    let mut condition = traffic.log.condition();
    kafka.kill9(1).unwrap();
    let paused = condition.wait_for(|now| matches!(now, Condition::Paused { .. }));
    let now = tokio::time::timeout(HEALED, paused).await.unwrap().unwrap().clone();
    let Condition::Paused { reason } = now else { panic!("waited for a pause") };
    assert!(reason.contains(&traffic.at.to_string()) && reason.contains("127.0.0.1"), "{reason}");
    kafka.start_again(1).unwrap();
    traffic.flows().await;
    traffic.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn brokers_are_killed_one_after_the_other() {
    let Some(kafka) = three().await else { return };
    let traffic = Traffic::begin(&kafka, replicated(&kafka)).await;
    traffic.flows().await;
    for broker in [1, 2, 3, 1] {
        kafka.kill9(broker).unwrap();
        traffic.flows().await;
        kafka.start_again(broker).unwrap();
        traffic.flows().await;
    }
    traffic.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_moves_away_and_back() {
    let Some(kafka) = three().await else { return };
    let traffic = Traffic::begin(&kafka, replicated(&kafka)).await;
    traffic.flows().await;
    for broker in [1, 2, 3] {
        // An orderly stop hands leadership over; the cluster gives it back once the broker is there.
        kafka.stop(broker).unwrap();
        traffic.flows().await;
        kafka.start_again(broker).unwrap();
        tokio::time::sleep(Duration::from_secs(5)).await;
        traffic.flows().await;
    }
    traffic.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_broker_is_gone_round_and_a_frozen_cluster_is_waited_for() {
    let Some(kafka) = three().await else { return };
    let traffic = Traffic::begin(&kafka, replicated(&kafka)).await;
    traffic.flows().await;
    for broker in [1, 2, 3] {
        kafka.freeze(broker).unwrap();
        traffic.flows().await;
        kafka.thaw(broker).unwrap();
        traffic.flows().await;
    }
    for broker in [1, 2, 3] {
        kafka.freeze(broker).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    for broker in [1, 2, 3] {
        kafka.thaw(broker).unwrap();
    }
    traffic.flows().await;
    traffic.end().await;
}
