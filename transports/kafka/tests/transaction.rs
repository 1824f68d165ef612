use crate::{SOON, config, number_of, open, record, records, scope, send, soon};
use bytes::Bytes;
use cdc_core::{Offset, Place, Position, TopicPartition, Transport as _};
use cdc_testkit::services::Kafka;
use cdc_transport_kafka::{Commit, KafkaTransport, Outgoing};
use std::{collections::BTreeMap, time::Duration};

fn kafka() -> Option<&'static Kafka> {
    Kafka::shared_or_skip("transport-kafka").unwrap()
}

async fn transactional(kafka: &Kafka, prefix: &str, id: &str) -> KafkaTransport {
    soon(KafkaTransport::open_transactional(config(kafka), scope(prefix), id)).await.unwrap()
}

fn of(records: impl IntoIterator<Item = (TopicPartition, Vec<Outgoing>)>) -> Commit {
    Commit { records: records.into_iter().collect(), ..Commit::default() }
}

async fn numbers(log: &KafkaTransport, at: &TopicPartition) -> Vec<u64> {
    soon(crate::read_all(log, at)).await.iter().map(number_of).collect()
}

/// Three partitions of a new topic, and the transport that writes them.
async fn prepared(kafka: &Kafka) -> (String, KafkaTransport, [TopicPartition; 3]) {
    let prefix = kafka.name("tx");
    let log = transactional(kafka, &prefix, &prefix).await;
    let mut plan = log.plan(&format!("{prefix}.t"));
    plan.partitions = 3;
    log.provision(&[plan.clone()]).await.unwrap();
    let at = [0, 1, 2].map(|partition| TopicPartition::new(&*plan.name, partition));
    (prefix, log, at)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_several_partitions_and_offsets_come_at_once() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, one, two]) = prepared(kafka).await;
    let tx = log.transactions().unwrap();
    let place = Place { offset: Offset(77), position: Position::new(9, 9) };
    let mut commit = of([(zero.clone(), records(0..100)), (one.clone(), records(100..150))]);
    commit.offsets = BTreeMap::from([(prefix.clone(), BTreeMap::from([(two.clone(), place)]))]);
    let ends = soon(tx.commit(commit)).await.unwrap();
    assert_eq!(ends, BTreeMap::from([(zero.clone(), Offset(100)), (one.clone(), Offset(50))]));
    assert_eq!(numbers(&log, &zero).await, (0..100).collect::<Vec<_>>());
    assert_eq!(numbers(&log, &one).await, (100..150).collect::<Vec<_>>());
    let committed = log.committed(&prefix, std::slice::from_ref(&two)).await.unwrap();
    assert_eq!(committed, BTreeMap::from([(two, place)]));
    // The end is behind the last record, not behind the marker that follows it.
    assert_eq!(log.end(&zero).await.unwrap(), Offset(100));
    assert_eq!(log.newest(&zero).await.unwrap(), Some(record(99).position));
    // Markers take offsets, and readers pass them.
    soon(tx.commit(of([(zero.clone(), records(100..120))]))).await.unwrap();
    assert_eq!(numbers(&log, &zero).await, (0..120).collect::<Vec<_>>());
    // A topic that nobody made is made.
    let fresh = TopicPartition::new(format!("{prefix}.fresh"), 0);
    soon(tx.commit(of([(fresh.clone(), records(0..3))]))).await.unwrap();
    assert_eq!(numbers(&log, &fresh).await, [0, 1, 2]);
    // Nothing to do is done.
    assert_eq!(soon(tx.commit(Commit::default())).await.unwrap(), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_transaction_nothing_is_taken() {
    let Some(kafka) = kafka() else { return };
    let (_, log, [zero, ..]) = prepared(kafka).await;
    assert_eq!(log.send(&zero, records(0..1)).await.unwrap_err().code, "CDC-2107");
    assert!(open(config(kafka), "x").await.transactions().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_fails_leaves_nothing_and_the_next_one_goes_through() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, one, _]) = prepared(kafka).await;
    let tx = log.transactions().unwrap();
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
    let refused = Outgoing { value: Some(Bytes::from(bytes)), ..record(10) };
    let commit = of([(zero.clone(), records(0..10)), (small.clone(), vec![refused])]);
    let error = soon(tx.commit(commit)).await.unwrap_err();
    assert_eq!(error.code, "CDC-2117", "{}", error.chain());
    let ends = soon(tx.commit(of([(zero.clone(), records(10..20)), (one, records(0..1))]))).await;
    assert_eq!(
        ends.unwrap()[&zero].0,
        10 + 10 + 1,
        "rolled back records and a marker take offsets"
    );
    assert_eq!(numbers(&log, &zero).await, (10..20).collect::<Vec<_>>());
    assert_eq!(numbers(&log, &small).await, Vec::<u64>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_commit_is_rolled_back_by_the_next() {
    let Some(kafka) = kafka() else { return };
    let (_, log, [zero, ..]) = prepared(kafka).await;
    let tx = log.transactions().unwrap();
    soon(tx.commit(of([(zero.clone(), records(0..5))]))).await.unwrap();
    for wait in [0, 1, 2, 3, 5, 8, 13] {
        let cut = tx.commit(of([(zero.clone(), records(100..200))]));
        if tokio::time::timeout(Duration::from_millis(wait), cut).await.is_ok() {
            // It was quicker than that.
            break;
        }
    }
    soon(tx.commit(of([(zero.clone(), records(5..10))]))).await.unwrap();
    let found = numbers(&log, &zero).await;
    // A cancelled call may have come to its commit; never in part, and never after what follows.
    assert_eq!(found[..5], [0, 1, 2, 3, 4]);
    assert_eq!(found[found.len() - 5..], [5, 6, 7, 8, 9]);
    assert_eq!((found.len() - 10) % 100, 0, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_producer_shuts_the_earlier_one_out() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, one, _]) = prepared(kafka).await;
    let tx = log.transactions().unwrap();
    soon(tx.commit(of([(zero.clone(), records(0..5))]))).await.unwrap();
    let later = transactional(kafka, &prefix, &prefix).await;
    let mut commit = of([(zero.clone(), records(100..200))]);
    let place = Place { offset: Offset(1), position: Position::default() };
    commit.offsets = BTreeMap::from([("g".to_owned(), BTreeMap::from([(one, place)]))]);
    let error = soon(tx.commit(commit)).await.unwrap_err();
    assert_eq!(error.code, "CDC-2116", "{}", error.chain());
    assert!(error.context.contains(&prefix));
    // It stays out.
    let again = soon(tx.commit(of([(zero.clone(), records(5..6))]))).await.unwrap_err();
    assert_eq!(again.code, "CDC-2116", "{}", again.chain());
    let tx = later.transactions().unwrap();
    soon(tx.commit(of([(zero.clone(), records(5..10))]))).await.unwrap();
    assert_eq!(numbers(&later, &zero).await, (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_producer_left_open_hides_nothing_for_long() {
    let Some(kafka) = kafka() else { return };
    let (prefix, log, [zero, ..]) = prepared(kafka).await;
    soon(log.transactions().unwrap().commit(of([(zero.clone(), records(0..5))]))).await.unwrap();
    // The other process's transaction is cut in the middle and never ended.
    let cut = log.transactions().unwrap();
    let begun = cut.commit(of([(zero.clone(), records(100..5_100))]));
    drop(tokio::time::timeout(Duration::from_millis(3), begun).await);
    std::mem::forget(log);
    let later = transactional(kafka, &prefix, &prefix).await;
    soon(later.transactions().unwrap().commit(of([(zero.clone(), records(5..10))]))).await.unwrap();
    let read = tokio::time::timeout(SOON, numbers(&later, &zero)).await.unwrap();
    assert!(read.starts_with(&[0, 1, 2, 3, 4]) && read.ends_with(&[5, 6, 7, 8, 9]), "{read:?}");
    assert!(matches!(read.len(), 10 | 5_010), "{}", read.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_killed_costs_time_only() {
    let Some(kafka) = Kafka::start_or_skip("transport-kafka", &Default::default()).unwrap() else {
        return;
    };
    let (_, log, [zero, ..]) = prepared(&kafka).await;
    let tx = log.transactions().unwrap();
    let mut expected = Vec::new();
    let mut next = 0;
    let mut killed = false;
    while next < 400 {
        let batch = next..next + 20;
        match tokio::time::timeout(SOON, tx.commit(of([(zero.clone(), records(batch.clone()))])))
            .await
        {
            Ok(Ok(_)) => {
                expected.extend(batch);
                next += 20;
            }
            // What the engine does: the newest record tells whether it had come through.
            Ok(Err(error)) => {
                println!("{}", error.chain());
                assert_eq!(error.code, "CDC-2117", "{}", error.chain());
                let newest =
                    log.newest(&zero).await.unwrap().map(|newest| newest.commit as u64 - 1000);
                if newest == Some(next + 19) {
                    expected.extend(batch);
                    next += 20;
                }
            }
            Err(_) => panic!("a commit waits for ever"),
        }
        if next == 200 && !killed {
            killed = true;
            kafka.kill9(1).unwrap();
            kafka.start_again(1).unwrap();
        }
    }
    assert_eq!(numbers(&log, &zero).await, expected);
    assert_eq!(expected, (0..400).collect::<Vec<_>>());
    let plain = open(config(&kafka), "plain").await;
    let at = TopicPartition::new("plain.t", 0);
    send(&plain, &at, records(0..3)).await;
    assert_eq!(numbers(&plain, &at).await, [0, 1, 2]);
}
