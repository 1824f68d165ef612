//! The way out: readers of single partitions, which share a few connections to the cluster.

use crate::{
    client::{Context, Diagnosis, Factory, blocking},
    error,
    newest::{Prober, number, reached},
    record::Incoming,
};
use async_trait::async_trait;
use cdc_core::{
    Header, Offset, PartitionReader, Position, Record, RecordBatch, Result, StoredRecord,
    TopicPartition,
};
use rdkafka::{
    TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer, base_consumer::PartitionQueue},
    error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// How often the thread of a client looks up.
const TICK: Duration = Duration::from_millis(100);
/// A reader looks into its queue at least this often.
const LOOK: Duration = Duration::from_secs(1);
/// Brokers show records a moment after they have confirmed the commit.
const COMMIT_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether they do.
const COMMIT_LOOK: Duration = Duration::from_millis(50);
/// How often a busy reader asks how far the partition reaches.
const END_AGE: Duration = Duration::from_secs(1);

/// Clients that readers share. One client reads each partition once, so there are as many as there
/// are readers of the same partition.
pub(crate) struct Pool {
    factory: Factory,
    clients: Mutex<Vec<Arc<Shared>>>,
}

struct Shared {
    consumer: Arc<BaseConsumer<Context>>,
    heard: Arc<Diagnosis>,
    taken: Mutex<BTreeSet<TopicPartition>>,
    closing: Arc<AtomicBool>,
}

impl Shared {
    fn open(factory: &Factory) -> Result<Self> {
        let context = factory.context();
        let heard = Arc::clone(&context.heard);
        let consumer = BaseConsumer::from_config_and_context(&factory.consumer_settings(), context)
            .map_err(|error| error::client(&error))?;
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(consumer);
        let closing = Arc::new(AtomicBool::new(false));
        let (served, stop) = (Arc::clone(&consumer), Arc::clone(&closing));
        let served = move || {
            while !stop.load(Ordering::Relaxed) {
                // Records come by the partitions' own queues; here is only what the client says.
                drop(served.poll(TICK));
            }
        };
        std::thread::Builder::new().name("cdc-kafka-read".into()).spawn(served).map_err(|_| {
            error::answer("start a thread", Code::Fail).with_remedy("raise the limit of threads")
        })?;
        Ok(Self { consumer, heard, taken: Mutex::default(), closing })
    }

    fn take(&self, of: &TopicPartition) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(of.clone())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

impl Pool {
    pub(crate) fn new(factory: Factory) -> Self {
        Self { factory, clients: Mutex::default() }
    }

    fn client_for(&self, of: &TopicPartition) -> Result<Arc<Shared>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(free) = clients.iter().find(|client| client.take(of)) {
            return Ok(Arc::clone(free));
        }
        let client = Arc::new(Shared::open(&self.factory)?);
        client.take(of);
        clients.push(Arc::clone(&client));
        Ok(client)
    }

    /// Opens a reader. Fails where the offset is not in the partition.
    pub(crate) async fn open(
        &self,
        of: &TopicPartition,
        from: Offset,
        prober: &Arc<Prober>,
    ) -> Result<Reader> {
        let (asked, at) = (Arc::clone(prober), of.clone());
        let mut bounds = blocking(move || asked.bounds(&at)).await?;
        let deadline = Instant::now() + COMMIT_WAIT;
        while from.0 > bounds.end && Instant::now() < deadline {
            tokio::time::sleep(COMMIT_LOOK).await;
            let (asked, at) = (Arc::clone(prober), of.clone());
            bounds = blocking(move || asked.bounds(&at)).await?;
        }
        if from.0 < bounds.start {
            return Err(error::below_start(of, from.0, bounds.start));
        }
        if from.0 > bounds.end {
            return Err(error::beyond_end(of, from.0, bounds.end));
        }
        let share = Share { client: self.client_for(of)?, of: of.clone() };
        let mut queue = share.begin(from)?;
        let filled = Arc::new(Notify::new());
        let wake = Arc::clone(&filled);
        queue.set_nonempty_callback(move || wake.notify_one());
        Ok(Reader {
            queue,
            filled,
            next: from,
            held: None,
            broken: None,
            end: Arc::new(AtomicU64::new(bounds.end)),
            end_asked: Instant::now(),
            prober: Arc::clone(prober),
            foreign: false,
            share,
        })
    }
}

/// A partition that is read by a shared client until this is dropped.
struct Share {
    client: Arc<Shared>,
    of: TopicPartition,
}

impl Share {
    fn begin(&self, from: Offset) -> Result<PartitionQueue<Context>> {
        // Split off before the first fetch, so that nothing goes to the client's own queue.
        let queue = self.client.consumer.split_partition_queue(&self.of.topic, number(&self.of));
        let queue = queue.ok_or_else(|| error::unknown_partition(&self.of))?;
        let begun = self
            .list(rdkafka::Offset::Offset(from.0.cast_signed()))
            .and_then(|list| self.client.consumer.incremental_assign(&list));
        begun.map_err(|error| self.failed(&error))?;
        Ok(queue)
    }

    fn list(&self, at: rdkafka::Offset) -> rdkafka::error::KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.of.topic, number(&self.of), at)?;
        Ok(list)
    }

    fn failed(&self, error: &KafkaError) -> cdc_core::Error {
        error::request(&format!("read {}", self.of), error, &self.client.heard)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let ended = self
            .list(rdkafka::Offset::Invalid)
            .and_then(|list| self.client.consumer.incremental_unassign(&list));
        match ended {
            Ok(()) => {
                let mut taken = self.client.taken.lock().unwrap_or_else(PoisonError::into_inner);
                taken.remove(&self.of);
            }
            // Stays taken, so that nobody gets what this reader had fetched.
            Err(error) => tracing::debug!(partition = %self.of, %error, "a reader was not ended"),
        }
    }
}

/// Reads one partition in order.
pub(crate) struct Reader {
    // Dropped before the share that it belongs to.
    queue: PartitionQueue<Context>,
    filled: Arc<Notify>,
    next: Offset,
    /// Read and kept for the next call, because it would have made a batch too large.
    held: Option<Incoming>,
    /// Why nothing more comes.
    broken: Option<KafkaError>,
    end: Arc<AtomicU64>,
    end_asked: Instant,
    prober: Arc<Prober>,
    /// Does another program write the topic?
    foreign: bool,
    share: Share,
}

/// Records with their headers, in offset order.
#[derive(Clone, Debug)]
pub struct IncomingBatch {
    /// At least one.
    pub records: Vec<Incoming>,
    /// Where the next read starts.
    pub next: Offset,
    /// Offset after the newest record, as far as is known.
    pub end: Offset,
}

impl Reader {
    /// The same for a topic that another program writes.
    pub(crate) fn of_others(self, foreign: bool) -> Self {
        Self { foreign, ..self }
    }

    /// Waits for at least one record. Cancel-safe: nothing is waited for once a record was taken.
    pub(crate) async fn next_records(&mut self, bytes_max: usize) -> Result<IncomingBatch> {
        loop {
            let records = self.drain(bytes_max);
            if let Some(last) = records.last() {
                self.next = Offset(last.offset.0 + 1);
                self.pass_markers();
                let end = self.end.fetch_max(self.next.0, Ordering::Relaxed).max(self.next.0);
                self.ask_for_end();
                return Ok(IncomingBatch { records, next: self.next, end: Offset(end) });
            }
            if let Some(error) = &self.broken {
                return Err(self.failed(error).await);
            }
            // The client wakes once for each time that the queue fills; the time-out is for safety.
            drop(tokio::time::timeout(LOOK, self.filled.notified()).await);
        }
    }

    // The place behind the marker of a transaction is the one that tools compare with the end.
    fn pass_markers(&mut self) {
        if self.held.is_none()
            && let Some(reached) = reached(&self.share.client.consumer, &self.share.of)
        {
            self.next = self.next.max(Offset(u64::try_from(reached).unwrap_or_default()));
        }
    }

    /// What is there now; an error waits for the call after the records before it.
    fn drain(&mut self, bytes_max: usize) -> Vec<Incoming> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while bytes < bytes_max.max(1) {
            let Some(record) = self.held.take().or_else(|| self.poll()) else { break };
            let more = record.bytes();
            if !records.is_empty() && bytes + more > bytes_max {
                self.held = Some(record);
                break;
            }
            bytes += more.max(1);
            records.push(record);
        }
        records
    }

    fn poll(&mut self) -> Option<Incoming> {
        while self.broken.is_none() {
            match self.queue.poll(Duration::ZERO)? {
                Ok(message) => {
                    let record = Incoming::from_message(&message);
                    if record.offset >= self.next {
                        return Some(record);
                    }
                }
                Err(KafkaError::PartitionEOF(_)) => {}
                Err(error) => self.broken = Some(error),
            }
        }
        None
    }

    async fn failed(&self, error: &KafkaError) -> cdc_core::Error {
        let reset = matches!(
            error.rdkafka_error_code(),
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation)
        );
        if !reset {
            return self.share.failed(error);
        }
        let (prober, of, next) = (Arc::clone(&self.prober), self.share.of.clone(), self.next.0);
        let outside = blocking(move || {
            let bounds = prober.bounds(&of)?;
            Ok(if next > bounds.end {
                Some(error::beyond_end(&of, next, bounds.end))
            } else if next < bounds.start {
                Some(error::below_start(&of, next, bounds.start))
            } else {
                None
            })
        });
        // A leader that has just been elected cannot always say where a log begins: it is there again soon.
        let outside = outside.await.unwrap_or_else(Some);
        outside.unwrap_or_else(|| self.share.failed(error))
    }

    // Lag is for people: an answer that comes a moment later will do.
    fn ask_for_end(&mut self) {
        if self.end_asked.elapsed() < END_AGE {
            return;
        }
        self.end_asked = Instant::now();
        let (prober, of, end) =
            (Arc::clone(&self.prober), self.share.of.clone(), Arc::clone(&self.end));
        drop(tokio::task::spawn_blocking(move || {
            if let Ok(bounds) = prober.bounds(&of) {
                end.fetch_max(bounds.end, Ordering::Relaxed);
            }
        }));
    }
}

#[async_trait]
impl PartitionReader for Reader {
    async fn next(&mut self, bytes_max: usize) -> Result<RecordBatch> {
        let batch = self.next_records(bytes_max).await?;
        let of = self.share.of.clone();
        let records: Result<Vec<_>> =
            batch.records.into_iter().map(|record| stored(&of, self.foreign, record)).collect();
        Ok(RecordBatch { records: records?, next: batch.next, end: batch.end })
    }
}

fn stored(of: &TopicPartition, foreign: bool, record: Incoming) -> Result<StoredRecord> {
    let offset = record.offset.0;
    let position = match (record.position, foreign) {
        (Some(position), false) => position,
        (None, false) => return Err(error::foreign_record(of, offset)),
        (Some(_), true) => return Err(error::own_record(of, offset)),
        // Commits of a source begin at 1, so the two kinds are told apart.
        (None, true) => Position::new(0, offset.saturating_add(1)),
    };
    let (key, payload) = (record.key.unwrap_or_default(), record.value.unwrap_or_default());
    let record_headers = record.headers.into_iter();
    let headers = record_headers.map(|(name, value)| Header { name, value }).collect();
    Ok(StoredRecord { offset: record.offset, record: Record { key, payload, headers, position } })
}
