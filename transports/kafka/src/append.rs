//! The way in: one idempotent producer, and a thread that serves its reports.

use crate::{
    client::{Diagnosis, Factory, With},
    error,
    lane::Lane,
    record::Outgoing,
};
use cdc_core::{
    Offset, Result, TopicPartition,
    transport::{AppendReceipt, Condition},
};
use rdkafka::{
    ClientConfig, Message,
    client::Client,
    config::FromClientConfigAndContext,
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseProducer, BaseRecord, NoCustomPartitioner, Producer, ProducerContext},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// How often the thread looks up from its reports.
const TICK: Duration = Duration::from_millis(50);
/// A log whose oldest record waits longer than this counts as paused.
const STALL: Duration = Duration::from_secs(10);

/// Reports go to lanes.
pub(crate) struct Reports;

impl ProducerContext<NoCustomPartitioner> for With<Reports> {
    type DeliveryOpaque = Arc<Lane>;

    fn delivery(&self, report: &DeliveryResult<'_>, lane: Arc<Lane>) {
        match report {
            Ok(message) => lane.acknowledged(u64::try_from(message.offset()).ok()),
            Err((error, _)) => {
                let heard = self.client.heard.last().map(|(_, reason)| format!(" ({reason})"));
                lane.fail(&format!("{error}{}", heard.unwrap_or_default()));
            }
        }
    }
}

pub(crate) type Inner = BaseProducer<With<Reports>>;

/// The producer with its thread.
pub(crate) struct Appender {
    pub(crate) producer: Arc<Inner>,
    pub(crate) heard: Arc<Diagnosis>,
    lanes: Arc<Lanes>,
    room: Arc<Semaphore>,
    room_bytes: u32,
    record_bytes_max: u32,
    condition: watch::Sender<Condition>,
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

type Lanes = Mutex<BTreeMap<TopicPartition, Arc<Lane>>>;

fn snapshot(lanes: &Lanes) -> Vec<Arc<Lane>> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
}

impl Appender {
    pub(crate) fn start(factory: &Factory) -> Result<Self> {
        Self::with(factory, &factory.producer_settings(), watch::Sender::default())
    }

    /// The same, with settings that go beyond a producer's own, and somebody to tell how it stands.
    pub(crate) fn with(
        factory: &Factory,
        settings: &ClientConfig,
        condition: watch::Sender<Condition>,
    ) -> Result<Self> {
        let context = factory.context();
        let heard = Arc::clone(&context.heard);
        let producer =
            BaseProducer::from_config_and_context(settings, With { client: context, own: Reports })
                .map_err(|error| error::client(&error))?;
        let producer = Arc::new(producer);
        let (lanes, closing) = (Arc::<Lanes>::default(), Arc::new(AtomicBool::new(false)));
        let service = Service {
            producer: Arc::clone(&producer),
            heard: Arc::clone(&heard),
            lanes: Arc::clone(&lanes),
            condition: condition.clone(),
            closing: Arc::clone(&closing),
            timeout: factory.config.request_timeout(),
        };
        let thread = std::thread::Builder::new()
            .name("cdc-kafka-append".into())
            .spawn(move || service.run())
            .map_err(|_| {
                error::answer("start a thread", rdkafka::types::RDKafkaErrorCode::Fail)
                    .with_remedy("raise the limit of threads")
            })?;
        let room_bytes = factory.config.buffer_bytes;
        Ok(Self {
            producer,
            heard,
            lanes,
            room: Arc::new(Semaphore::new(room_bytes as usize)),
            room_bytes,
            record_bytes_max: factory.config.max_record_bytes,
            condition,
            closing,
            thread: Some(thread),
        })
    }

    pub(crate) fn client(&self) -> &Client<With<Reports>> {
        self.producer.client()
    }

    pub(crate) fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Takes records in the given order. Once there is room nothing is waited for, so a cancelled call
    /// has sent all or nothing.
    pub(crate) async fn append(
        &self,
        to: &TopicPartition,
        records: Vec<Outgoing>,
    ) -> Result<AppendReceipt> {
        let room = self.room(to, &records).await?;
        self.send_all(to, &records, room)
    }

    /// Waits until there is room for records that are not acknowledged.
    pub(crate) async fn room(
        &self,
        to: &TopicPartition,
        records: &[Outgoing],
    ) -> Result<OwnedSemaphorePermit> {
        let mut total = 0;
        for record in records {
            let bytes = record.bytes();
            if bytes > self.record_bytes_max as usize {
                return Err(error::record_too_large(to, bytes, self.record_bytes_max));
            }
            total += bytes;
        }
        let wanted = u32::try_from(total).unwrap_or(u32::MAX).min(self.room_bytes);
        let room = Arc::clone(&self.room).acquire_many_owned(wanted).await;
        room.map_err(|_| error::append_failed(to, "the transport is closed"))
    }

    /// Sends records for which there is room.
    pub(crate) fn send_all(
        &self,
        to: &TopicPartition,
        records: &[Outgoing],
        room: OwnedSemaphorePermit,
    ) -> Result<AppendReceipt> {
        let lane = self.lane(to);
        let (sender, receipt) = oneshot::channel();
        let mut state = lane.state();
        if let Some(refusal) = lane.refusal(&state) {
            return Err(refusal);
        }
        state.push(records.len(), room, sender);
        let mut failure = None;
        for record in records {
            if let Err(error) = self.send(to, &lane, record) {
                failure = Some(error);
                break;
            }
        }
        drop(state);
        if let Some(error) = failure {
            let why = self.producer.client().fatal_error().map(|(_, why)| why);
            lane.fail(&why.unwrap_or_else(|| error.to_string()));
        }
        Ok(AppendReceipt(receipt))
    }

    fn send(
        &self,
        to: &TopicPartition,
        lane: &Arc<Lane>,
        record: &Outgoing,
    ) -> std::result::Result<(), KafkaError> {
        let mut outgoing: BaseRecord<'_, [u8], [u8], Arc<Lane>> =
            BaseRecord::with_opaque_to(&to.topic, Arc::clone(lane))
                .partition(i32::try_from(to.partition).unwrap_or(i32::MAX))
                .headers(record.kafka_headers());
        if let Some(key) = &record.key {
            outgoing = outgoing.key(key);
        }
        if let Some(value) = &record.value {
            outgoing = outgoing.payload(value);
        }
        self.producer.send(outgoing).map_err(|(error, _)| error)
    }

    fn lane(&self, to: &TopicPartition) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(to.clone()).or_insert_with(|| Arc::new(Lane::new(to.clone())));
        Arc::clone(lane)
    }

    /// Fails every batch that waits, and all that come.
    pub(crate) fn fail(&self, why: &str) {
        for lane in snapshot(&self.lanes) {
            lane.fail(why);
        }
    }
}

impl Drop for Appender {
    /// Waits for the thread, which looks up every tick; what was not acknowledged fails.
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        if ended.is_some_and(|ended| ended.is_err()) {
            tracing::error!("the thread of the kafka producer panicked");
        }
        self.fail("the transport is closed");
    }
}

struct Service {
    producer: Arc<Inner>,
    heard: Arc<Diagnosis>,
    lanes: Arc<Lanes>,
    condition: watch::Sender<Condition>,
    closing: Arc<AtomicBool>,
    timeout: Duration,
}

impl Service {
    fn run(self) {
        while !self.closing.load(Ordering::Relaxed) {
            self.producer.poll(TICK);
            let lanes = snapshot(&self.lanes);
            for lane in lanes.iter().filter(|lane| lane.wants_end()) {
                self.settle(lane);
            }
            self.watch(&lanes);
        }
    }

    fn settle(&self, lane: &Lane) {
        let of = &lane.partition;
        let number = i32::try_from(of.partition).unwrap_or(i32::MAX);
        match self.producer.client().fetch_watermarks(&of.topic, number, self.timeout) {
            Ok((_, end)) => lane.settle(Offset(u64::try_from(end).unwrap_or_default())),
            Err(error) => tracing::warn!(partition = %of, %error, "the end is not known yet"),
        }
    }

    fn watch(&self, lanes: &[Arc<Lane>]) {
        let oldest =
            lanes.iter().filter_map(|lane| Some((lane.oldest()?, lane))).min_by_key(|o| o.0);
        let stalled = oldest.filter(|(since, _)| since.elapsed() > STALL);
        let now = match stalled {
            None => Condition::Writable,
            Some((_, lane)) => {
                let heard = self.heard.last().map(|(_, reason)| format!(": {reason}"));
                let reason = format!(
                    "Kafka acknowledges nothing in {}{}",
                    lane.partition,
                    heard.unwrap_or_default()
                );
                Condition::Paused { reason }
            }
        };
        self.condition.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }
}
