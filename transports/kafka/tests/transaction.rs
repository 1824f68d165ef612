use crate::{SOON, config, number_of, open, record, records, scope, send, soon};
use bytes::Bytes;
use cdc_core::{
    Offset, Position, TopicPartition, Transport as _,
    transport::{AppendReceipt, Writing},
};
use cdc_testkit::services::Kafka;
use cdc_transport_kafka::{KafkaTransport, Outgoing, Scope};
use std::time::Duration;

const WRITER: &str = "capture/place";

fn kafka() -> Option<&'static Kafka> {
    Kafka::shared_or_skip("transport-kafka").unwrap()
}

fn of_pipeline(prefix: &str) -> Scope {
    Scope { pipeline: format!("{prefix}-pipeline"), ..scope(prefix) }
}

/// A process of the pipeline that is called after its topics.
async fn transactional(kafka: &Kafka, prefix: &str) -> KafkaTransport {
    soon(KafkaTransport::open_transactional(config(kafka), of_pipeline(prefix))).await.unwrap()
}

async fn begin(log: &KafkaTransport) -> Writing {
    let writing = soon(log.begin(WRITER)).await.unwrap();
    assert!(writing.in_transactions);
    writing
}

async fn numbers(log: &KafkaTransport, at: &TopicPartition) -> Vec<u64> {
    soon(crate::read_all(log, at)).await.iter().map(number_of).collect()
}

/// Three partitions of a new topic, and the transport that writes them.
async fn prepared(kafka: &Kafka) -> (String, KafkaTransport, [TopicPartition; 3]) {
    let prefix = kafka.name("tx");
    let log = transactional(kafka, &prefix).await;
    let mut plan = log.plan(&format!("{prefix}.t"));
    plan.partitions = 3;
    log.provision(&[plan.clone()]).await.unwrap();
    let at = [0, 1, 2].map(|partition| TopicPartition::new(&*plan.name, partition));
    assert_eq!(begin(&log).await.place, None);
    (prefix, log, at)
}

async fn durable(receipt: AppendReceipt) -> cdc_core::Result<Offset> {
    soon(receipt.0).await.unwrap()
}

/// One transaction in one partition, with the place of its last record.
async fn commit(
    log: &KafkaTransport,
    at: &TopicPartition,
    records: Vec<Outgoing>,
) -> cdc_core::Result<Offset> {
    let place = records.last().unwrap().position;
    let receipt = soon(log.send(at, records)).await?;
    soon(log.seal(place)).await?;
    durable(receipt).await
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_several_partitions_and_their_place_come_at_once() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, one, two]) = prepared(kafka).await;
    let mut first = log.send(&zero, records(0..100)).await.unwrap();
    let second = log.send(&one, records(100..150)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(first.0.try_recv().is_err(), "nothing is durable before it is sealed");
    assert_eq!(log.end(&zero).await.unwrap(), Offset(0));
    let place = Position::new(9, 9);
    soon(log.seal(place)).await.unwrap();
    assert_eq!(durable(first).await.unwrap(), Offset(100));
    assert_eq!(durable(second).await.unwrap(), Offset(50));
    assert_eq!(numbers(&log, &zero).await, (0..100).collect::<Vec<_>>());
    assert_eq!(numbers(&log, &one).await, (100..150).collect::<Vec<_>>());
    assert_eq!(numbers(&log, &two).await, Vec::<u64>::new());
    // The end is behind the last record, not behind the marker that follows it.
    assert_eq!(log.end(&zero).await.unwrap(), Offset(100));
    assert_eq!(log.newest(&zero).await.unwrap(), Some(record(99).position));
    // Markers take offsets, and readers pass them.
    assert_eq!(commit(&log, &zero, records(100..120)).await.unwrap(), Offset(121));
    assert_eq!(numbers(&log, &zero).await, (0..120).collect::<Vec<_>>());
    // A topic that nobody made is made.
    let fresh = TopicPartition::new(format!("{prefix}.fresh"), 0);
    commit(&log, &fresh, records(0..3)).await.unwrap();
    assert_eq!(numbers(&log, &fresh).await, [0, 1, 2]);
    // Whoever begins next finds the place; it is one group's, in the partition of the leases.
    drop(log);
    let later = transactional(kafka, &prefix).await;
    assert_eq!(begin(&later).await.place, Some(record(2).position));
    assert_eq!(soon(later.begin("another")).await.unwrap().place, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_during_a_commit_shares_the_next_transaction() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, ..]) = prepared(kafka).await;
    let mut receipts = Vec::new();
    for number in 0..500 {
        receipts.push(log.send(&zero, records(number..number + 1)).await.unwrap());
        log.seal(record(number).position).await.unwrap();
    }
    let mut before = Offset(0);
    for receipt in receipts {
        let end = durable(receipt).await.unwrap();
        assert!(before < end, "in the order of appends");
        before = end;
    }
    let markers = before.0 - 500;
    println!("500 seals in {} transactions", markers + 1);
    assert!(markers < 400, "{markers} transactions of one record each");
    assert_eq!(numbers(&log, &zero).await, (0..500).collect::<Vec<_>>());
    let later = transactional(kafka, &prefix).await;
    assert_eq!(begin(&later).await.place, Some(record(499).position));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_writer_nothing_is_taken() {
    let Some(kafka) = kafka() else { return };
    let log = transactional(kafka, &kafka.name("tx")).await;
    let at = TopicPartition::new(format!("{}.t", kafka.name("tx")), 0);
    assert_eq!(log.send(&at, records(0..1)).await.unwrap_err().code, "CDC-2107");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_without_transactions_takes_the_place_back() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, ..]) = prepared(kafka).await;
    commit(&log, &zero, records(0..5)).await.unwrap();
    drop(log);
    let plain = KafkaTransport::open(config(kafka), of_pipeline(&prefix)).await.unwrap();
    let writing = soon(plain.begin(WRITER)).await.unwrap();
    assert!(!writing.in_transactions && writing.place.is_none());
    send(&plain, &zero, records(5..10)).await;
    drop(plain);
    let later = transactional(kafka, &prefix).await;
    assert_eq!(begin(&later).await.place, None, "what came since is not in the place");
    assert_eq!(later.newest(&zero).await.unwrap(), Some(record(9).position));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_fails_leaves_nothing_and_the_next_writer_goes_on() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, ..]) = prepared(kafka).await;
    let mut small = log.plan(&format!("{prefix}.small"));
    small.configs.insert("max.message.bytes".to_owned(), "1000".to_owned());
    log.provision(&[small.clone()]).await.unwrap();
    let small = TopicPartition::new(small.name, 0);
    let mut noise = 1_u32;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    })
    .take(50_000)
    .collect();
    commit(&log, &zero, records(0..5)).await.unwrap();
    let refused = Outgoing { value: Some(Bytes::from(bytes)), ..record(10) };
    let other = log.send(&zero, records(5..10)).await.unwrap();
    let error = commit(&log, &small, vec![refused]).await.unwrap_err();
    assert_eq!(error.code, "CDC-2117", "{}", error.chain());
    assert!(error.context.contains("size"), "{}", error.context);
    assert_eq!(durable(other).await.unwrap_err().code, "CDC-2117");
    assert_eq!(log.send(&zero, records(5..6)).await.unwrap_err().code, "CDC-2117");
    let writing = begin(&log).await;
    assert_eq!(writing.place, Some(record(4).position));
    commit(&log, &zero, records(5..10)).await.unwrap();
    assert_eq!(numbers(&log, &zero).await, (0..10).collect::<Vec<_>>());
    assert_eq!(numbers(&log, &small).await, Vec::<u64>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_writer_shuts_the_earlier_one_out() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, one, _]) = prepared(kafka).await;
    let earlier = begin(&log).await;
    commit(&log, &zero, records(0..5)).await.unwrap();
    // It stands still in the middle of a transaction, and wakes up after the other has begun.
    let begun = log.send(&zero, records(100..200)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let later = transactional(kafka, &prefix).await;
    let writing = begin(&later).await;
    assert_eq!(writing.place, Some(record(4).position));
    assert!(!earlier.deposed.is_cancelled());
    log.seal(record(199).position).await.unwrap();
    let error = durable(begun).await.unwrap_err();
    assert_eq!(error.code, "CDC-2116", "{}", error.chain());
    assert!(error.context.contains(&prefix), "{}", error.context);
    soon(earlier.deposed.cancelled()).await;
    // It stays out.
    assert_eq!(log.send(&one, records(5..6)).await.unwrap_err().code, "CDC-2116");
    commit(&later, &zero, records(5..10)).await.unwrap();
    assert_eq!(numbers(&later, &zero).await, (0..10).collect::<Vec<_>>());
    assert!(!writing.deposed.is_cancelled());
    // Until it begins again, which shuts the other one out.
    assert_eq!(begin(&log).await.place, Some(record(9).position));
    commit(&log, &zero, records(10..15)).await.unwrap();
    let error = commit(&later, &zero, records(10..15)).await.unwrap_err();
    assert_eq!(error.code, "CDC-2116", "{}", error.chain());
    assert_eq!(numbers(&log, &zero).await, (0..15).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_writer_left_open_hides_nothing_for_long() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, ..]) = prepared(kafka).await;
    commit(&log, &zero, records(0..5)).await.unwrap();
    // The other process's transaction is cut in the middle and never ended.
    let _cut = log.send(&zero, records(100..5_100)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    std::mem::forget(log);
    let later = transactional(kafka, &prefix).await;
    assert_eq!(begin(&later).await.place, Some(record(4).position));
    commit(&later, &zero, records(5..10)).await.unwrap();
    let read = tokio::time::timeout(SOON, numbers(&later, &zero)).await.unwrap();
    assert_eq!(read, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_at_the_end_is_behind_the_marker_and_nothing_is_behind_it() {
    let Some(kafka) = kafka() else { return };
    let (_, log, [zero, one, two]) = prepared(kafka).await;
    commit(&log, &zero, records(0..5)).await.unwrap();
    assert_eq!(log.end(&zero).await.unwrap(), Offset(5));
    let mut reader = log.records(&zero, Offset(0)).await.unwrap();
    let mut next = Offset(0);
    let mut seen = 0;
    while seen < 5 {
        let batch = soon(reader.next(1 << 20)).await.unwrap();
        seen += batch.records.len();
        next = batch.next;
    }
    assert_eq!(next, Offset(6));
    // Rolled back records are no lag either, wherever a group stands.
    let _cut = log.send(&zero, records(5..50)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    begin(&log).await;
    for at in [4, 5, 6] {
        let place = cdc_core::Place { offset: Offset(at), position: Position::default() };
        let places = [(zero.clone(), place)].into_iter().collect();
        soon(log.commit("reading", &places)).await.unwrap();
        let lags = soon(log.lag("reading")).await.unwrap();
        let lag = lags.iter().find(|lag| lag.partition == zero).unwrap();
        assert_eq!(lag.records, 5_u64.saturating_sub(at), "{lag:?}");
        for none in [&one, &two] {
            let lag = lags.iter().find(|lag| lag.partition == *none).unwrap();
            assert_eq!(lag.records, 0, "{lag:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_killed_costs_time_only() {
    let Some(kafka) = Kafka::start_or_skip("transport-kafka", &Default::default()).unwrap() else {
        return;
    };
    let (_, log, [zero, ..]) = prepared(&kafka).await;
    let mut next = 0;
    let mut killed = false;
    while next < 400 {
        match commit(&log, &zero, records(next..next + 20)).await {
            Ok(_) => next += 20,
            // What the engine does: the place tells whether it had come through.
            Err(error) => {
                println!("{}", error.chain());
                assert!(matches!(error.code, "CDC-2116" | "CDC-2117"), "{}", error.chain());
                let place = loop {
                    match soon(log.begin(WRITER)).await {
                        Ok(writing) => break writing.place,
                        Err(error) => println!("{}", error.chain()),
                    }
                };
                let place = place.map_or(0, |place| place.commit as u64 - 1000 + 1);
                assert!(place == next || place == next + 20, "{place} {next}");
                next = place;
            }
        }
        if next == 200 && !killed {
            killed = true;
            kafka.kill9(1).unwrap();
            kafka.start_again(1).unwrap();
        }
    }
    assert_eq!(numbers(&log, &zero).await, (0..400).collect::<Vec<_>>());
    let plain = open(config(&kafka), "plain").await;
    let at = TopicPartition::new("plain.t", 0);
    send(&plain, &at, records(0..3)).await;
    assert_eq!(numbers(&plain, &at).await, [0, 1, 2]);
}
