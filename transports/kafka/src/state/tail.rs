//! The state topic, read from its start to its end and on.

use super::{key::Write, view::Verdict, view::View};
use crate::{
    client::{Context, Factory},
    error,
    newest::number,
};
use bytes::Bytes;
use cdc_core::{Offset, Result, TopicPartition};
use rdkafka::{
    Message, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode as Code,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

/// How often the thread looks up from waiting for records.
const TICK: Duration = Duration::from_millis(100);
/// A topic that is read from its start must show a record at least this often.
const PROGRESS_WAIT: Duration = Duration::from_secs(60);

/// How long a broker may take to say where the log ends.
const LOOK_WAIT: Duration = Duration::from_secs(5);
/// A log that ends before what was read of it, for so long, has lost records.
const BEHIND_MAX: Duration = Duration::from_secs(60);

/// How far reading has got.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    /// Not yet at what was the end when reading began.
    Reading { next: i64 },
    /// Everything that was there at the beginning is read.
    Ready,
    /// Nothing more comes, and why.
    Broken(Arc<str>),
}

/// A thread that reads, and the view that it keeps.
pub(super) struct Tail {
    of: TopicPartition,
    shared: Arc<Shared>,
    closing: Arc<AtomicBool>,
    context: Context,
}

struct Shared {
    view: Mutex<View>,
    waiting: Mutex<BTreeMap<Write, Vec<oneshot::Sender<Verdict>>>>,
    progress: watch::Sender<Progress>,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Write, Vec<oneshot::Sender<Verdict>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, message: &impl Message) {
        let at = Offset(u64::try_from(message.offset()).unwrap_or_default());
        let key = Bytes::copy_from_slice(message.key().unwrap_or_default());
        let value = message.payload().map(Bytes::copy_from_slice);
        let read = self.view().apply(at, &key, value.as_ref());
        if let Some((write, verdict)) = read {
            let waiting = self.waiting().remove(&write);
            for one in waiting.into_iter().flatten() {
                // Nobody may be waiting any more.
                drop(one.send(verdict.clone()));
            }
        }
        self.progress.send_if_modified(|progress| match progress {
            Progress::Reading { next } => {
                *next = message.offset() + 1;
                true
            }
            Progress::Ready | Progress::Broken(_) => false,
        });
    }

    fn end(&self, why: &str) {
        self.progress.send_replace(Progress::Broken(why.into()));
        self.waiting().clear();
    }
}

/// Waits for one write to be read back.
pub(super) struct Waiting {
    shared: Arc<Shared>,
    write: Write,
    verdict: oneshot::Receiver<Verdict>,
}

impl Waiting {
    /// What became of it; `None` when nothing more is read.
    pub(super) async fn verdict(mut self) -> Option<Verdict> {
        (&mut self.verdict).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.verdict.close();
        let mut waiting = self.shared.waiting();
        if let Some(others) = waiting.get_mut(&self.write) {
            others.retain(|other| !other.is_closed());
            if others.is_empty() {
                waiting.remove(&self.write);
            }
        }
    }
}

impl Tail {
    /// Begins to read a partition from its start.
    pub(super) fn start(factory: &Factory, of: &TopicPartition) -> Result<Self> {
        let context = factory.context();
        let mut settings = factory.consumer_settings();
        settings.set("enable.partition.eof", "true");
        let consumer = BaseConsumer::from_config_and_context(&settings, context.clone())
            .map_err(|error| error::client(&error))?;
        go_on(&consumer, of, 0)
            .map_err(|error| error::request(&format!("read {of}"), &error, &context.heard))?;
        let shared = Arc::new(Shared {
            view: Mutex::default(),
            waiting: Mutex::default(),
            progress: watch::Sender::new(Progress::Reading { next: 0 }),
        });
        let closing = Arc::new(AtomicBool::new(false));
        let (kept, stop, from) = (Arc::clone(&shared), Arc::clone(&closing), of.clone());
        std::thread::Builder::new()
            .name("cdc-kafka-state".into())
            .spawn(move || read(&consumer, &from, &kept, &stop))
            .map_err(|_| {
                error::answer("start a thread", Code::Fail)
                    .with_remedy("raise the limit of threads")
            })?;
        Ok(Self { of: of.clone(), shared, closing, context })
    }

    /// Waits until everything is read that is there now.
    pub(super) async fn ready(&self) -> Result<()> {
        let mut progress = self.shared.progress.subscribe();
        loop {
            match &*progress.borrow_and_update() {
                Progress::Ready => return Ok(()),
                Progress::Broken(why) => return Err(self.broken(why)),
                Progress::Reading { .. } => {}
            }
            if tokio::time::timeout(PROGRESS_WAIT, progress.changed()).await.is_err() {
                return Err(self.silent());
            }
        }
    }

    /// Must be called before the write is sent.
    pub(super) fn wait_for(&self, write: Write) -> Waiting {
        let (sender, verdict) = oneshot::channel();
        self.shared.waiting().entry(write).or_default().push(sender);
        Waiting { shared: Arc::clone(&self.shared), write, verdict }
    }

    /// Looks at the state as far as it is read.
    pub(super) fn look<T>(&self, look: impl FnOnce(&View) -> T) -> Result<T> {
        if let Progress::Broken(why) = &*self.shared.progress.borrow() {
            return Err(self.broken(why));
        }
        let view = self.shared.view();
        match view.unreadable() {
            Some(offset) => Err(error::state_record(&self.of.topic, offset.0)),
            None => Ok(look(&view)),
        }
    }

    /// Why a write that was sent is not read back.
    pub(super) fn why_silent(&self) -> cdc_core::Error {
        match &*self.shared.progress.borrow() {
            Progress::Broken(why) => self.broken(why),
            Progress::Reading { .. } | Progress::Ready => self.silent(),
        }
    }

    fn silent(&self) -> cdc_core::Error {
        let error = KafkaError::MessageConsumption(Code::OperationTimedOut);
        error::request(
            &format!("read the state topic {}", self.of.topic),
            &error,
            &self.context.heard,
        )
    }

    fn broken(&self, why: &str) -> cdc_core::Error {
        error::state_topic(
            &self.of.topic,
            why,
            "find out who deleted the topic or its records, and start the pipeline again; its state \
             is then what the topic still has",
        )
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Relaxed);
    }
}

/// Reads from this offset on, 0 for the oldest record.
fn go_on(consumer: &BaseConsumer<Context>, of: &TopicPartition, next: i64) -> KafkaResult<()> {
    let from = if next == 0 { rdkafka::Offset::Beginning } else { rdkafka::Offset::Offset(next) };
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&of.topic, number(of), from)?;
    consumer.assign(&list)
}

/// What became of the records after the library has given up a place in the log. It does so as well when
/// a leader could not say where the log begins, as one that has just been elected cannot.
enum Place {
    Unknown,
    /// A leader that has just been elected may not know yet how far its followers are.
    Behind,
    Gone,
    There,
}

fn look_for(consumer: &BaseConsumer<Context>, of: &TopicPartition, next: i64) -> Place {
    match consumer.fetch_watermarks(&of.topic, number(of), LOOK_WAIT) {
        Err(_) => Place::Unknown,
        Ok((low, _)) if next > 0 && low > next => Place::Gone,
        Ok((_, high)) if high < next => Place::Behind,
        Ok(_) => Place::There,
    }
}

fn read(
    consumer: &BaseConsumer<Context>,
    of: &TopicPartition,
    shared: &Shared,
    closing: &AtomicBool,
) {
    let mut next = 0;
    while !closing.load(Ordering::Relaxed) {
        match consumer.poll(TICK) {
            None => {}
            Some(Ok(message)) => {
                next = message.offset() + 1;
                shared.take(&message);
            }
            // Told after everything that was there when it was asked.
            Some(Err(KafkaError::PartitionEOF(_))) => {
                shared.progress.send_if_modified(|progress| {
                    let reading = matches!(progress, Progress::Reading { .. });
                    if reading {
                        *progress = Progress::Ready;
                    }
                    reading
                });
            }
            Some(Err(error)) => {
                let cut = matches!(
                    error.rdkafka_error_code(),
                    Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation)
                );
                // What connections report comes here too, and heals.
                tracing::debug!(%error, "the state topic");
                if cut && !found_again(consumer, of, next, closing) {
                    shared.end("it does not have the records any more that this process has read");
                    return;
                }
            }
        }
    }
    shared.end("it is closed");
}

/// Goes on after the last record that was read, once a broker says that it is still there.
fn found_again(
    consumer: &BaseConsumer<Context>,
    of: &TopicPartition,
    next: i64,
    closing: &AtomicBool,
) -> bool {
    let mut behind = None;
    // What is left of the old place must not come again.
    drop(consumer.unassign());
    while !closing.load(Ordering::Relaxed) {
        match look_for(consumer, of, next) {
            Place::Gone => return false,
            Place::Behind if behind.get_or_insert_with(Instant::now).elapsed() > BEHIND_MAX => {
                return false;
            }
            Place::There if go_on(consumer, of, next).is_ok() => return true,
            // Nothing comes without an assignment but what connections report.
            Place::There | Place::Behind | Place::Unknown => drop(consumer.poll(TICK)),
        }
    }
    true
}
