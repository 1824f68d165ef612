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
    error::KafkaError,
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
use tokio::sync::{oneshot, watch};

/// How often the thread looks up from waiting for records.
const TICK: Duration = Duration::from_millis(100);
/// A topic that is read from its start must show a record at least this often.
const PROGRESS_WAIT: Duration = Duration::from_secs(60);

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
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&of.topic, number(of), rdkafka::Offset::Beginning)
            .and_then(|()| consumer.assign(&list))
            .map_err(|error| error::request(&format!("read {of}"), &error, &context.heard))?;
        let shared = Arc::new(Shared {
            view: Mutex::default(),
            waiting: Mutex::default(),
            progress: watch::Sender::new(Progress::Reading { next: 0 }),
        });
        let closing = Arc::new(AtomicBool::new(false));
        let (kept, stop) = (Arc::clone(&shared), Arc::clone(&closing));
        std::thread::Builder::new()
            .name("cdc-kafka-state".into())
            .spawn(move || read(&consumer, &kept, &stop))
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

fn read(consumer: &BaseConsumer<Context>, shared: &Shared, closing: &AtomicBool) {
    while !closing.load(Ordering::Relaxed) {
        match consumer.poll(TICK) {
            None => {}
            Some(Ok(message)) => shared.take(&message),
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
                if cut {
                    shared.end("it does not have the records any more that this process has read");
                    return;
                }
                // What connections report comes here too, and heals.
                tracing::debug!(%error, "the state topic");
            }
        }
    }
    shared.end("it is closed");
}
