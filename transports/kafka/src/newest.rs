//! The newest record of a partition, found by reading it.

use crate::{
    append::Appender,
    client::{Context, Factory},
    error,
    record::Incoming,
};
use cdc_core::{Offset, Position, Result, TopicPartition};
use rdkafka::{
    Message, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How many offsets before the end are looked at first, and by how much more each time: markers of
/// transactions and records of other programs take offsets too.
const STEPS: [i64; 5] = [1, 16, 1 << 10, 1 << 16, i64::MAX];
/// A new leader learns a moment after its election how far it may let readers read.
const LEADER_WAIT: Duration = Duration::from_secs(5);
/// One look into the consumer's queue.
const POLL: Duration = Duration::from_millis(100);

/// The oldest and the end offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What the newest record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Newest {
    /// Offset after the newest record.
    pub(crate) after: Option<Offset>,
    /// The newest position.
    pub(crate) position: Option<Position>,
}

/// Looks at the ends of partitions, one at a time.
pub(crate) struct Prober {
    appender: Arc<Appender>,
    consumer: Mutex<BaseConsumer<Context>>,
    context: Context,
    timeout: Duration,
}

impl Prober {
    pub(crate) fn new(factory: &Factory, appender: Arc<Appender>) -> Result<Self> {
        let context = factory.context();
        let mut settings = factory.consumer_settings();
        settings.set("enable.partition.eof", "true").set("fetch.wait.max.ms", "50");
        let consumer = BaseConsumer::from_config_and_context(&settings, context.clone())
            .map_err(|error| error::client(&error))?;
        let timeout = factory.config.request_timeout();
        Ok(Self { appender, consumer: Mutex::new(consumer), context, timeout })
    }

    /// Asks the partition's leader for its bounds. Blocks.
    pub(crate) fn bounds(&self, of: &TopicPartition) -> Result<Bounds> {
        let deadline = Instant::now() + LEADER_WAIT;
        let (start, end) = loop {
            let asked =
                self.appender.client().fetch_watermarks(&of.topic, number(of), self.timeout);
            match asked {
                Ok(bounds) => break bounds,
                // The client asks where the leader is now.
                Err(error) if is_electing(&error) && Instant::now() < deadline => pause(),
                Err(error) => {
                    let doing = format!("ask for the end of {of}");
                    return Err(error::request(&doing, &error, &self.appender.heard));
                }
            }
        };
        let bound = |offset: i64| u64::try_from(offset).unwrap_or_default();
        Ok(Bounds { start: bound(start), end: bound(end) })
    }

    /// Offset after the newest record: what follows it in the partition are markers of transactions, and
    /// records that were rolled back. Blocks.
    pub(crate) fn end(&self, of: &TopicPartition) -> Result<Offset> {
        match self.newest(of)?.after {
            Some(after) => Ok(after),
            None => Ok(Offset(self.bounds(of)?.start)),
        }
    }

    /// Reads the newest record. Blocks.
    pub(crate) fn newest(&self, of: &TopicPartition) -> Result<Newest> {
        let bounds = self.bounds(of)?;
        let consumer = self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, end) = (bounds.start.cast_signed(), bounds.end.cast_signed());
        let mut newest = Newest::default();
        for step in STEPS {
            if start >= end || newest.position.is_some() {
                break;
            }
            let from = end.saturating_sub(step).max(start);
            newest = self.scan(&consumer, of, from, end)?;
            if from == start {
                break;
            }
        }
        consumer.unassign().map_err(|error| self.failed(of, &error))?;
        Ok(newest)
    }

    fn scan(
        &self,
        by: &BaseConsumer<Context>,
        of: &TopicPartition,
        from: i64,
        end: i64,
    ) -> Result<Newest> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&of.topic, number(of), rdkafka::Offset::Offset(from))
            .and_then(|()| by.assign(&list))
            .map_err(|error| self.failed(of, &error))?;
        let mut newest = Newest::default();
        let mut deadline = Instant::now() + self.timeout;
        let mut at_end = false;
        while Instant::now() < deadline {
            match by.poll(POLL) {
                None if at_end && reached(by, of) >= Some(end) => return Ok(newest),
                None => {}
                Some(Ok(message)) => {
                    let ours = message.topic() == &*of.topic && message.partition() == number(of);
                    if !ours || message.offset() < from {
                        continue;
                    }
                    let record = Incoming::from_message(&message);
                    newest.after = Some(Offset(record.offset.0 + 1));
                    newest.position = record.position.or(newest.position);
                    if message.offset() >= end - 1 {
                        return Ok(newest);
                    }
                }
                // What follows the last record are markers of transactions, or it is not shown yet.
                Some(Err(KafkaError::PartitionEOF(_))) if reached(by, of) >= Some(end) => {
                    return Ok(newest);
                }
                Some(Err(KafkaError::PartitionEOF(_))) if !at_end => {
                    at_end = true;
                    deadline = deadline.min(Instant::now() + LEADER_WAIT.min(self.timeout));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                // What connections report comes here too, and heals.
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(self.failed(of, &error)),
            }
        }
        if at_end {
            return Ok(newest);
        }
        Err(self.failed(of, &KafkaError::MetadataFetch(Code::OperationTimedOut)))
    }

    fn failed(&self, of: &TopicPartition, error: &KafkaError) -> cdc_core::Error {
        error::request(&format!("look at the end of {of}"), error, &self.context.heard)
    }
}

/// Where a client goes on with a partition that it reads, behind markers of transactions too.
pub(crate) fn reached(by: &BaseConsumer<Context>, of: &TopicPartition) -> Option<i64> {
    let places = by.position().ok()?;
    match places.find_partition(&of.topic, number(of))?.offset() {
        rdkafka::Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

fn is_electing(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(Code::NotLeaderForPartition | Code::LeaderNotAvailable | Code::OffsetNotAvailable)
    )
}

#[expect(clippy::disallowed_methods, reason = "on a thread that may block")]
fn pause() {
    std::thread::sleep(POLL);
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::MessageTimedOut
                | Code::UnknownTopicOrPartition
                | Code::NotLeaderForPartition
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::NotCoordinator
        )
    )
}

pub(crate) fn number(of: &TopicPartition) -> i32 {
    i32::try_from(of.partition).unwrap_or(i32::MAX)
}
