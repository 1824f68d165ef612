//! What lies in the topics, read with Kafka's own library and no code of ours.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const WAIT_MAX: Duration = Duration::from_secs(60);
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// One record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) partition: i32,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

fn consumer(bootstrap: &str) -> anyhow::Result<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "beside")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .context("make a consumer")
}

/// Every topic that is not Kafka's own, with its count of partitions.
pub(super) fn names(bootstrap: &str) -> anyhow::Result<BTreeMap<String, i32>> {
    let consumer = consumer(bootstrap)?;
    let metadata = consumer.fetch_metadata(None, ANSWER_MAX).context("ask for the topics")?;
    let topics = metadata.topics().iter();
    let counted =
        topics.map(|topic| Ok((topic.name().to_owned(), topic.partitions().len().try_into()?)));
    counted
        .filter(|topic| !matches!(topic, Ok((name, _)) if name.starts_with("__consumer")))
        .collect()
}

/// How many records were ever written to a topic.
pub(super) fn end(bootstrap: &str, topic: &str) -> anyhow::Result<i64> {
    let consumer = consumer(bootstrap)?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_MAX)?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions().iter());
    let mut sum = 0;
    for partition in partitions {
        sum += consumer.fetch_watermarks(topic, partition.id(), ANSWER_MAX)?.1;
    }
    Ok(sum)
}

/// The records of one topic, by partition and in order.
pub(super) fn read(bootstrap: &str, topic: &str, partitions: i32) -> anyhow::Result<Vec<Stored>> {
    let consumer = consumer(bootstrap)?;
    let mut assigned = TopicPartitionList::new();
    for partition in 0..partitions {
        assigned.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assigned)?;
    let mut records = Vec::new();
    let (mut ended, deadline) = (0, Instant::now() + WAIT_MAX);
    while ended < partitions {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let headers = message.headers().into_iter().flat_map(|all| all.iter());
                let bytes = |value: Option<&[u8]>| value.unwrap_or_default().to_vec();
                records.push(Stored {
                    partition: message.partition(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: headers.map(|one| (one.key.to_owned(), bytes(one.value))).collect(),
                });
            }
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => bail!("read {topic}: {error}"),
            None if Instant::now() > deadline => bail!("{topic} does not come to its end"),
            None => {}
        }
    }
    records.sort_by_key(|record| record.partition);
    Ok(records)
}
