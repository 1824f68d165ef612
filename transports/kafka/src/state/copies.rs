//! Dead letters as Kafka's users expect them: a topic beside the one that the change came from.

use crate::{
    append::Appender,
    client::Factory,
    error, murmur2,
    record::Outgoing,
    topics::{TopicPlan, Topics},
};
use bytes::Bytes;
use cdc_codec::{debezium::Encoder, row};
use cdc_core::{
    Change, Result, TopicPartition,
    dead_letter::{DeadLetter, DeadLetterInfo},
    transport::AppendReceipt,
};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// How long copies may take until every one is acknowledged.
const SEND_WAIT: Duration = Duration::from_secs(60);
/// Longest topic name that Kafka takes.
const TOPIC_LENGTH_MAX: usize = 249;

/// Where copies of dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTopics {
    /// Last part of the topics' names: `{topic}.{suffix}`.
    pub suffix: String,
    /// The source's name in envelopes: the pipeline's `topic_prefix`.
    pub topic_prefix: String,
}

impl DeadLetterTopics {
    /// The topic for what was refused of a topic.
    #[must_use]
    pub fn topic(&self, of: &str) -> String {
        let room = TOPIC_LENGTH_MAX.saturating_sub(self.suffix.len() + 1);
        let kept: String = of.chars().take(room).collect();
        format!("{kept}.{}", self.suffix)
    }
}

pub(super) struct Copies {
    to: DeadLetterTopics,
    factory: Factory,
    sender: Mutex<Option<Sender>>,
}

#[derive(Clone)]
struct Sender {
    appender: Arc<Appender>,
    topics: Arc<Topics>,
}

impl Copies {
    pub(super) fn new(to: DeadLetterTopics, factory: Factory) -> Self {
        Self { to, factory, sender: Mutex::default() }
    }

    /// Sends copies and waits until every one is acknowledged.
    pub(super) async fn send(&self, letters: &[DeadLetter]) -> Result<()> {
        let sender = self.sender()?;
        let sent = tokio::time::timeout(SEND_WAIT, self.send_by(&sender, letters)).await;
        let sent = sent.unwrap_or_else(|_| {
            let error = KafkaError::MessageProduction(Code::OperationTimedOut);
            Err(error::request(
                "write to the topics of dead letters",
                &error,
                &sender.appender.heard,
            ))
        });
        if sent.as_ref().is_err_and(error::stops_appends) {
            let failed = self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Dropping it waits for its thread.
            drop(tokio::task::spawn_blocking(move || drop((failed, sender))));
        }
        sent
    }

    async fn send_by(&self, sender: &Sender, letters: &[DeadLetter]) -> Result<()> {
        let mut encoder = Encoder::new(&self.to.topic_prefix);
        let mut receipts: Vec<(TopicPartition, AppendReceipt)> = Vec::with_capacity(letters.len());
        for letter in letters {
            let topic = self.to.topic(&letter.info.topic);
            sender.topics.ensure(&TopicPlan::of_changes(&topic, &self.factory.config)).await?;
            let partitions = sender.topics.known(&topic).unwrap_or(1);
            let copy = copy(&mut encoder, letter, self.factory.config.max_record_bytes);
            let partition = murmur2::partition(copy.key.as_deref().unwrap_or_default(), partitions);
            let to = TopicPartition::new(topic, partition);
            receipts.push((to.clone(), sender.appender.append(&to, vec![copy]).await?));
        }
        for (to, receipt) in receipts {
            let closed = |_| error::append_failed(&to, "the transport is closed");
            receipt.0.await.map_err(closed)??;
        }
        Ok(())
    }

    fn sender(&self) -> Result<Sender> {
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender {
            return Ok(sender.clone());
        }
        let appender = Arc::new(Appender::start(&self.factory)?);
        let topics = Arc::new(Topics::new(self.factory.clone(), Arc::clone(&appender)));
        Ok(sender.insert(Sender { appender, topics }).clone())
    }
}

/// The record: key and value as Debezium's, in JSON without schemas. A change that has no such form is
/// sent as the pipeline keeps it, and one that is too large without its value: the letter itself is kept
/// whole.
fn copy(encoder: &mut Encoder, letter: &DeadLetter, bytes_max: u32) -> Outgoing {
    let told = row::decode_letter(&letter.payload, letter.info.position)
        .ok()
        .and_then(|change| told(encoder, &change, parked_at(&letter.info)));
    let (key, value) = told.unwrap_or_else(|| (None, letter.payload.clone()));
    let mut copy = Outgoing {
        key,
        value: Some(value),
        headers: headers(&letter.info),
        position: letter.info.position,
    };
    if copy.bytes() > bytes_max as usize {
        copy.value = None;
    }
    copy
}

fn told(encoder: &mut Encoder, change: &Change, at: SystemTime) -> Option<(Option<Bytes>, Bytes)> {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    encoder.value(change, at, &mut value).ok()?;
    let keyed = encoder.key(change, &mut key).unwrap_or(false);
    Some((keyed.then(|| key.into()), value.into()))
}

fn parked_at(info: &DeadLetterInfo) -> SystemTime {
    let since = Duration::from_millis(info.parked_at_ms);
    SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What the reference platform's users look for.
fn headers(info: &DeadLetterInfo) -> Vec<(Arc<str>, Bytes)> {
    let chain = match info.error_code.as_str() {
        "" => info.error.clone(),
        code => format!("{code}: {}", info.error),
    };
    [
        ("dlq.source.topic", info.topic.clone()),
        ("dlq.source.partition", info.partition.to_string()),
        ("dlq.source.offset", info.offset.to_string()),
        ("dlq.error.type", info.error_code.clone()),
        ("dlq.error.message", info.error.clone()),
        ("dlq.error.stacktrace", chain),
        ("dlq.timestamp", info.parked_at_ms.to_string()),
        ("dlq.sink_id", info.sink_id.clone()),
    ]
    .into_iter()
    .map(|(name, text)| (name.into(), text.into()))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_too_large_goes_without_its_value() {
        let letter = cdc_testkit::conformance::store::letter("s", 1);
        let mut encoder = Encoder::new("shop");
        assert_eq!(copy(&mut encoder, &letter, 1 << 20).value, Some(letter.payload.clone()));
        let large = copy(&mut encoder, &letter, 300);
        assert_eq!((large.value, large.headers.len()), (None, 8));
    }

    #[test]
    fn names_stay_within_what_kafka_takes() {
        let to = DeadLetterTopics { suffix: "dlq".into(), topic_prefix: "shop".into() };
        assert_eq!(to.topic("shop.public.orders"), "shop.public.orders.dlq");
        let longest = to.topic(&"x".repeat(249));
        assert_eq!((longest.len(), longest.ends_with(".dlq")), (249, true));
    }
}
