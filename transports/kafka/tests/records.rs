use crate::{config, number_of, open, read_all, record, records, scope, send, soon};
use bytes::Bytes;
use cdc_core::{Offset, Position, TopicPartition, Transport as _};
use cdc_testkit::services::Kafka;
use cdc_transport_kafka::{Config, KafkaTransport, Outgoing, TopicPlan};
use rdkafka::{
    ClientConfig, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    message::Header,
    message::OwnedHeaders,
    producer::{FutureProducer, FutureRecord},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

fn kafka() -> Option<&'static Kafka> {
    Kafka::shared_or_skip("transport-kafka").unwrap()
}

async fn with_topic(
    kafka: &Kafka,
    with: impl Fn(&mut TopicPlan),
) -> (KafkaTransport, TopicPartition) {
    let prefix = kafka.name("records");
    let log = open(config(kafka), &prefix).await;
    let mut plan = log.plan(&format!("{prefix}.t"));
    with(&mut plan);
    assert_eq!(log.provision(std::slice::from_ref(&plan)).await.unwrap().len(), 1);
    let partition = TopicPartition::new(plan.name, 0);
    (log, partition)
}

fn foreign_producer(kafka: &Kafka) -> FutureProducer {
    ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("partitioner", "murmur2_random")
        .create()
        .unwrap()
}

#[tokio::test]
async fn headers_tombstones_and_records_without_key_come_back() {
    let Some(kafka) = kafka() else { return };
    let (log, at) = with_topic(kafka, |_| ()).await;
    let position = |ordinal| Position::new(7, ordinal);
    let sent = vec![
        Outgoing {
            headers: vec![
                (Arc::from("dlq.error.type"), Bytes::from("refused")),
                (Arc::from("empty"), Bytes::new()),
                (Arc::from("dlq.error.type"), Bytes::from("again")),
            ],
            position: position(1),
            ..record(1)
        },
        Outgoing { value: None, position: position(2), ..record(2) },
        Outgoing { key: None, position: position(3), ..record(3) },
        Outgoing { value: Some(Bytes::new()), position: position(4), ..record(4) },
    ];
    send(&log, &at, sent.clone()).await;
    let read = read_all(&log, &at).await;
    for (sent, read) in sent.iter().zip(&read) {
        assert_eq!((&sent.key, &sent.value), (&read.key, &read.value));
        assert_eq!((&sent.headers, Some(sent.position)), (&read.headers, read.position));
        assert!(read.timestamp.is_some_and(|time| time > 1_500_000_000_000));
    }
    assert_eq!(read.len(), sent.len());
    // The same by the trait: an empty payload stands for a tombstone.
    let mut reader = log.read(&at, Offset(0)).await.unwrap();
    let batch = soon(reader.next(1 << 20)).await.unwrap();
    assert!(batch.records[1].record.payload.is_empty() && batch.records[2].record.key.is_empty());
}

#[tokio::test]
async fn keys_go_where_other_clients_put_them() {
    let Some(kafka) = kafka() else { return };
    let (log, at) = with_topic(kafka, |plan| plan.partitions = 7).await;
    let theirs = foreign_producer(kafka);
    let mut used = std::collections::BTreeSet::new();
    for number in 0..100 {
        let key = format!("key-{number}-{}", "x".repeat(number % 11));
        let to = FutureRecord::to(&at.topic).key(&key).payload("p");
        let delivered = theirs.send(to, Duration::from_secs(30)).await.unwrap();
        let ours = log.partition_of(&at.topic, key.as_bytes());
        assert_eq!(i32::try_from(ours.partition).unwrap(), delivered.partition, "{key}");
        used.insert(ours.partition);
    }
    assert_eq!(used.len(), 7);
}

#[tokio::test]
async fn a_topic_is_made_by_the_first_append_and_keeps_its_partitions() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("made");
    let config = Config { topic_num_partitions: 3, ..config(kafka) };
    let log = open(config.clone(), &prefix).await;
    let topic = format!("{prefix}.public.orders");
    let at = log.partition_of(&topic, b"key-5");
    assert_eq!(log.newest(&at).await.unwrap(), None);
    assert_eq!(log.end(&at).await.unwrap(), Offset(0));
    send(&log, &at, records(5..6)).await;
    assert_eq!(log.topics().await.unwrap(), BTreeMap::from([(topic.clone(), 3)]));
    assert_eq!(log.newest(&at).await.unwrap(), Some(record(5).position));
    // Another process that is configured otherwise takes the topic as it is.
    let other = open(Config { topic_num_partitions: 64, ..config }, &prefix).await;
    assert_eq!(other.partition_of(&topic, b"key-5"), at);
    let beyond = TopicPartition::new(topic, 3);
    assert_eq!(other.send(&beyond, records(6..7)).await.unwrap_err().code, "CDC-2111");
    assert!(other.read(&beyond, Offset(0)).await.is_err());
}

#[tokio::test]
async fn a_topic_that_appears_with_other_partitions_is_not_written_to_by_guess() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("appears");
    let log = open(config(kafka), &prefix).await;
    let topic = format!("{prefix}.t");
    let guessed = log.partition_of(&topic, b"key-3");
    let other = open(Config { topic_num_partitions: 5, ..config(kafka) }, &prefix).await;
    other.provision(&[other.plan(&topic)]).await.unwrap();
    assert_eq!(log.send(&guessed, records(3..4)).await.unwrap_err().code, "CDC-2114");
    let right = log.partition_of(&topic, b"key-3");
    assert_eq!(right, other.partition_of(&topic, b"key-3"));
    send(&log, &right, records(3..4)).await;
}

#[tokio::test]
async fn what_cannot_be_made_says_what_to_type() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("refused");
    let log = open(Config { topic_replication_factor: 3, ..config(kafka) }, &prefix).await;
    let plan = log.plan(&format!("{prefix}.t"));
    let error = log.provision(&[plan]).await.unwrap_err();
    assert_eq!(error.code, "CDC-2106");
    assert!(error.remedy.unwrap().contains("kafka-topics.sh --bootstrap-server"));
}

#[tokio::test]
async fn a_record_that_is_too_large_is_refused_before_anything_is_sent() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("large");
    let log = open(Config { max_record_bytes: 10_000, ..config(kafka) }, &prefix).await;
    let at = TopicPartition::new(format!("{prefix}.t"), 0);
    let large = Outgoing { value: Some(Bytes::from(vec![b'x'; 20_000])), ..record(2) };
    let error = log.send(&at, vec![record(1), large]).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-2108", cdc_core::Retry::Never));
    send(&log, &at, records(1..3)).await;
    assert_eq!(read_all(&log, &at).await.len(), 2);
}

#[tokio::test]
async fn after_a_failed_receipt_the_partition_takes_nothing_and_a_new_transport_goes_on() {
    let Some(kafka) = kafka() else { return };
    let (log, at) = with_topic(kafka, |plan| {
        plan.configs.insert("max.message.bytes".to_owned(), "20000".to_owned());
    })
    .await;
    send(&log, &at, records(0..3)).await;
    // Larger than the topic allows, and not compressible.
    let mut noise = 1_u32;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    })
    .take(100_000)
    .collect();
    let large = Outgoing { value: Some(bytes.into()), ..record(3) };
    let refused = soon(log.send(&at, vec![large])).await.unwrap();
    let error = soon(refused.0).await.unwrap().unwrap_err();
    assert_eq!(error.code, "CDC-2107", "{}", error.chain());
    for _ in 0..3 {
        assert_eq!(log.send(&at, records(4..5)).await.unwrap_err().code, "CDC-2107");
    }
    drop(log);
    let log = open(config(kafka), "none").await;
    assert_eq!(log.newest(&at).await.unwrap(), Some(record(2).position));
    send(&log, &at, records(3..5)).await;
    let numbers: Vec<u64> = read_all(&log, &at).await.iter().map(number_of).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn what_retention_removed_is_an_error() {
    let Some(kafka) = kafka() else { return };
    let (log, at) = with_topic(kafka, |plan| {
        plan.configs.insert("segment.bytes".to_owned(), "1048576".to_owned());
        plan.configs.insert("retention.bytes".to_owned(), "1048576".to_owned());
        plan.configs.insert("file.delete.delay.ms".to_owned(), "0".to_owned());
        plan.configs.insert("compression.type".to_owned(), "uncompressed".to_owned());
    })
    .await;
    let bytes = Bytes::from(vec![b'x'; 100_000]);
    let mut end = Offset(0);
    for number in 0..60 {
        let large = Outgoing { value: Some(bytes.clone()), ..record(number) };
        end = send(&log, &at, vec![large]).await;
    }
    let gone = async {
        while log.start(&at).await.unwrap() == Offset(0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon(gone).await;
    let error = log.read(&at, Offset(0)).await.err().unwrap();
    assert_eq!(error.code, "CDC-2109", "{}", error.chain());
    let error = log.read(&at, Offset(end.0 + 1)).await.err().unwrap();
    assert_eq!(error.code, "CDC-2110", "{}", error.chain());
    let start = log.start(&at).await.unwrap();
    let mut reader = log.read(&at, start).await.unwrap();
    assert_eq!(soon(reader.next(1)).await.unwrap().records[0].offset, start);
}

#[tokio::test]
async fn a_reader_that_retention_overtakes_ends_and_skips_nothing() {
    let Some(kafka) = kafka() else { return };
    // As large on the way to the reader as it looks.
    let (log, at) = with_topic(kafka, |plan| {
        plan.configs.insert("compression.type".to_owned(), "uncompressed".to_owned());
    })
    .await;
    let bytes = Bytes::from(vec![b'x'; 100_000]);
    let large = |number| Outgoing { value: Some(bytes.clone()), ..record(number) };
    send(&log, &at, (0..100).map(large).collect()).await;
    let config = Config { fetch_buffer_bytes: 1 << 16, ..config(kafka) };
    let slow = open(config, "none").await;
    let mut reader = slow.read(&at, Offset(0)).await.unwrap();
    assert_eq!(soon(reader.next(1)).await.unwrap().next, Offset(1));
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&at.topic, 0, rdkafka::Offset::Offset(90)).unwrap();
    admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    assert_eq!(slow.start(&at).await.unwrap(), Offset(90));
    // What was fetched before comes without a hole; then the error, as often as it is asked for.
    let mut next = 1;
    let error = soon(async {
        loop {
            match reader.next(1).await {
                Ok(batch) => {
                    assert_eq!(batch.records[0].offset, Offset(next), "nothing is skipped");
                    next += 1;
                }
                Err(error) => return error,
            }
        }
    })
    .await;
    assert!(next < 90, "the reader was quicker than that");
    assert_eq!(error.code, "CDC-2109", "{}", error.chain());
    assert_eq!(soon(reader.next(1)).await.unwrap_err().code, "CDC-2109");
}

#[tokio::test]
async fn records_of_other_programs_are_told_apart() {
    let Some(kafka) = kafka() else { return };
    let (log, at) = with_topic(kafka, |_| ()).await;
    send(&log, &at, records(0..2)).await;
    let theirs = foreign_producer(kafka);
    let strange = OwnedHeaders::new()
        .insert(Header { key: "cdc.position", value: Some(&b"\xff not one"[..]) })
        .insert(Header { key: "null", value: None::<&[u8]> });
    let record = FutureRecord::to(&at.topic).key("k").payload("{}").headers(strange);
    theirs.send(record, Duration::from_secs(30)).await.unwrap();
    // The newest position is that of the newest record of ours.
    assert_eq!(log.newest(&at).await.unwrap(), Some(crate::record(1).position));
    let all = read_all(&log, &at).await;
    assert_eq!(all.last().unwrap().position, None);
    let mut reader = log.read(&at, Offset(0)).await.unwrap();
    let error = soon(async {
        loop {
            if let Err(error) = reader.next(1).await {
                return error;
            }
        }
    })
    .await;
    assert_eq!(error.code, "CDC-2112");
    assert!(error.context.contains("offset 2"), "{}", error.context);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_of_many_partitions_share_clients() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("many");
    let log = open(Config { topic_num_partitions: 20, ..config(kafka) }, &prefix).await;
    let topic = format!("{prefix}.t");
    let mut expected = BTreeMap::<TopicPartition, Vec<u64>>::new();
    for number in 0..2000 {
        let at = log.partition_of(&topic, record(number).key.as_ref().unwrap());
        expected.entry(at).or_default().push(number);
    }
    for (at, numbers) in &expected {
        send(&log, at, numbers.iter().map(|number| record(*number)).collect()).await;
    }
    assert_eq!(expected.len(), 20);
    // Three times the same partitions at once, then again with the clients that are there.
    for _ in 0..2 {
        let reads = (0..3).flat_map(|_| expected.iter()).map(|(at, numbers)| {
            let log = &log;
            async move {
                let read: Vec<u64> = read_all(log, at).await.iter().map(number_of).collect();
                assert_eq!(&read, numbers, "{at}");
            }
        });
        futures::future::join_all(reads).await;
    }
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads < 200, "{threads} threads");
}

#[tokio::test]
async fn the_cluster_is_the_identity_of_the_log() {
    let Some(kafka) = kafka() else { return };
    let one = open(config(kafka), "one").await;
    let other = KafkaTransport::open(config(kafka), scope("other")).await.unwrap();
    assert_eq!(one.log(), other.log());
}
