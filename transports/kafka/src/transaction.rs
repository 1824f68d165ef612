//! The way in by transactions: records, and how far their writer has got with them, become visible at
//! once or not at all.
//!
//! ```text
//! append ─▶ order ─▶ ┌ begin ─▶ records ─▶ brokers   ┐ one at a time; what comes
//! seal   ─▶ order ─▶ └ place ─▶ commit  ─▶ receipts  ┘ meanwhile shares the next
//! ```

use crate::{
    append::{Appender, Inner},
    client::{Factory, blocking},
    error, group,
    record::Outgoing,
};
use cdc_core::{
    Error, Offset, Place, Position, Result, TopicPartition,
    transport::{AppendReceipt, Condition},
};
use rdkafka::{
    consumer::ConsumerGroupMetadata, error::KafkaError, producer::Producer,
    types::RDKafkaErrorCode as Code,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedMutexGuard, OwnedSemaphorePermit, mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Brokers roll back what is open for longer. Whoever begins next does so at once.
const OPEN_MAX: Duration = Duration::from_secs(300);
/// Records that no broker takes for so long are given up with their transaction.
const SEND_MAX: Duration = Duration::from_secs(60);
/// What is sealed meanwhile joins a transaction for so long.
const GATHER_MAX: Duration = Duration::from_millis(200);
/// Appends that wait for the transaction before theirs. Their bytes have a limit of their own.
const ORDERS_MAX: usize = 1024;

/// Where partitions end after the last commits. Brokers confirm a commit a moment before they show its
/// records.
type Ends = Arc<Mutex<BTreeMap<TopicPartition, Offset>>>;

/// The transactions of one process: of the writer that began last.
#[derive(Default)]
pub(crate) struct Transactions {
    writer: Arc<tokio::sync::Mutex<Option<Arc<Writer>>>>,
    ends: Ends,
    condition: watch::Sender<Condition>,
}

impl Transactions {
    /// Begins a writer: every other one with this id is shut out, and what it left open is settled. The
    /// id is also the name of the group that keeps the writer's place, in the partition `at`.
    pub(crate) async fn begin(
        &self,
        factory: &Factory,
        id: &str,
        at: TopicPartition,
    ) -> Result<(CancellationToken, Option<Position>)> {
        // Held until a cancelled call is through too, so that none comes after the next.
        let current = Arc::clone(&self.writer).lock_owned().await;
        let new = New {
            factory: factory.clone(),
            id: Arc::from(id),
            at,
            condition: self.condition.clone(),
        };
        let (mut current, begun) = blocking(move || Ok(new.begin(current))).await?;
        let begun = begun?;
        let place = begun.place;
        let writer = Arc::new(Writer::start(begun, Arc::clone(&self.ends)));
        let deposed = writer.standing.deposed.clone();
        *current = Some(writer);
        Ok((deposed, place))
    }

    /// The writer that began last; `None` before the first.
    pub(crate) async fn writer(&self) -> Option<Arc<Writer>> {
        self.writer.lock().await.clone()
    }

    pub(crate) fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Where the last commit in a partition ended.
    pub(crate) fn end(&self, of: &TopicPartition) -> Option<Offset> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).get(of).copied()
    }
}

/// What a producer begins with.
struct New {
    factory: Factory,
    id: Arc<str>,
    at: TopicPartition,
    condition: watch::Sender<Condition>,
}

/// A producer that is the only one with its id.
struct Begun {
    new: New,
    appender: Arc<Appender>,
    group: Arc<ConsumerGroupMetadata>,
    place: Option<Position>,
}

type Current = OwnedMutexGuard<Option<Arc<Writer>>>;

impl New {
    /// Blocks; ends the writer before.
    fn begin(self, mut current: Current) -> (Current, Result<Begun>) {
        drop(current.take());
        (current, self.init())
    }

    fn init(self) -> Result<Begun> {
        let Self { factory, id, at, condition } = &self;
        let mut settings = factory.producer_settings();
        settings
            .set("transactional.id", &**id)
            .set("transaction.timeout.ms", OPEN_MAX.as_millis().to_string())
            // A transaction that fails is rolled back as a whole, so a gap cannot stay.
            .set("enable.gapless.guarantee", "false")
            .set("message.timeout.ms", SEND_MAX.as_millis().to_string());
        let appender = Arc::new(Appender::with(factory, &settings, condition.clone())?);
        let begun = appender.producer.init_transactions(wait(factory));
        begun.map_err(|error| refused(id, &error, &appender))?;
        let group = Arc::new(group::name_of(factory, id)?);
        // From here on nobody else moves it.
        let place = group::committed(factory, id, std::slice::from_ref(at))?;
        let place = place.get(at).map(|place| place.position);
        let place = place.filter(|place| *place != Position::default());
        tracing::info!(id = &**id, ?place, "a writer begins");
        Ok(Begun { new: self, appender, group, place })
    }
}

/// One producer's transactions, one after the other.
pub(crate) struct Writer {
    appender: Arc<Appender>,
    orders: mpsc::Sender<Order>,
    standing: Arc<Standing>,
    _work: JoinSet<()>,
}

enum Order {
    Append {
        to: TopicPartition,
        records: Vec<Outgoing>,
        room: OwnedSemaphorePermit,
        receipt: oneshot::Sender<Result<Offset>>,
    },
    Seal(Position),
}

/// How the writer stands.
struct Standing {
    id: Arc<str>,
    failed: OnceLock<Failure>,
    deposed: CancellationToken,
    /// How many seals are among the orders.
    sealed: AtomicUsize,
    ends: Ends,
}

impl Standing {
    fn refusal(&self) -> Error {
        match self.failed.get() {
            Some(failure) => failure.error(&self.id),
            None => error::aborted(&self.id, "its writer has ended"),
        }
    }
}

impl Writer {
    fn start(begun: Begun, ends: Ends) -> Self {
        let Begun { new: New { factory, id, at, .. }, appender, group, .. } = begun;
        let standing = Arc::new(Standing {
            id,
            failed: OnceLock::new(),
            deposed: CancellationToken::new(),
            sealed: AtomicUsize::new(0),
            ends,
        });
        let (orders, incoming) = mpsc::channel(ORDERS_MAX);
        let work = Work {
            factory,
            appender: Arc::clone(&appender),
            group,
            at,
            standing: Arc::clone(&standing),
            waiting: Vec::new(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(work.run(incoming));
        Self { appender, orders, standing, _work: tasks }
    }

    /// Takes records; the receipt resolves once they are committed.
    pub(crate) async fn append(
        &self,
        to: &TopicPartition,
        records: Vec<Outgoing>,
    ) -> Result<AppendReceipt> {
        let room = self.appender.room(to, &records).await?;
        let slot = self.orders.reserve().await.map_err(|_| self.standing.refusal())?;
        let (receipt, received) = oneshot::channel();
        slot.send(Order::Append { to: to.clone(), records, room, receipt });
        Ok(AppendReceipt(received))
    }

    /// What was appended may be committed now.
    pub(crate) async fn seal(&self, place: Position) -> Result<()> {
        let slot = self.orders.reserve().await.map_err(|_| self.standing.refusal())?;
        self.standing.sealed.fetch_add(1, Ordering::Relaxed);
        slot.send(Order::Seal(place));
        Ok(())
    }
}

/// Records that are in the open transaction.
struct Waiting {
    to: TopicPartition,
    sent: AppendReceipt,
    receipt: oneshot::Sender<Result<Offset>>,
}

struct Work {
    factory: Factory,
    appender: Arc<Appender>,
    group: Arc<ConsumerGroupMetadata>,
    at: TopicPartition,
    standing: Arc<Standing>,
    waiting: Vec<Waiting>,
}

impl Work {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let failure = loop {
            match self.transaction(&mut orders).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => break failure,
            }
        };
        let failure = self.reason(failure);
        tracing::warn!(id = &*self.standing.id, why = failure.why, "a transaction has failed");
        if failure.fenced {
            self.standing.deposed.cancel();
        }
        let failure = self.standing.failed.get_or_init(|| failure);
        orders.close();
        // Whoever waits for room gets it, and then hears why there is no use for it.
        self.appender.fail(&failure.why);
        for Waiting { receipt, .. } in self.waiting {
            drop(receipt.send(Err(failure.error(&self.standing.id))));
        }
        while let Some(order) = orders.recv().await {
            if let Order::Append { receipt, .. } = order {
                drop(receipt.send(Err(failure.error(&self.standing.id))));
            }
        }
    }

    /// Fills a transaction and commits it; false once nothing can come any more. A transaction that
    /// fails stays open: the next writer settles it.
    async fn transaction(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<bool, Failure> {
        let Some(mut order) = orders.recv().await else { return Ok(false) };
        self.call("begin", |producer, _| producer.begin_transaction()).await?;
        let began = Instant::now();
        loop {
            match order {
                Order::Append { to, records, room, receipt } => {
                    let sent = self.appender.send_all(&to, &records, room);
                    let sent = sent.map_err(|error| Failure::new(&error.context))?;
                    if self.waiting.len() == self.waiting.capacity() {
                        // Nobody waits for what a later append of the same partition tells too.
                        self.waiting.retain(|waiting| !waiting.receipt.is_closed());
                    }
                    self.waiting.push(Waiting { to, sent, receipt });
                }
                Order::Seal(place) => {
                    let more = self.standing.sealed.fetch_sub(1, Ordering::Relaxed) > 1;
                    if !more || began.elapsed() > GATHER_MAX {
                        self.commit(place).await?;
                        return Ok(true);
                    }
                }
            }
            match orders.recv().await {
                Some(next) => order = next,
                None => return Ok(false),
            }
        }
    }

    async fn commit(&mut self, place: Position) -> Result<(), Failure> {
        let place =
            BTreeMap::from([(self.at.clone(), Place { offset: Offset(0), position: place })]);
        let group = Arc::clone(&self.group);
        self.call("add the place to", move |producer, wait| {
            let places = group::list_of(&place)?;
            producer.send_offsets_to_transaction(&places, &group, wait)
        })
        .await?;
        self.call("commit", Producer::commit_transaction).await?;
        for Waiting { to, sent, receipt } in self.waiting.drain(..) {
            let end = sent.0.await.unwrap_or_else(|_| Err(self.standing.refusal()));
            if let Ok(end) = end {
                let mut ends = self.standing.ends.lock().unwrap_or_else(PoisonError::into_inner);
                ends.insert(to, end);
            }
            // Nobody may be waiting any more.
            drop(receipt.send(end));
        }
        Ok(())
    }

    /// What the brokers said of a record tells more than that the transaction cannot go on.
    fn reason(&mut self, failure: Failure) -> Failure {
        let said = self.waiting.iter_mut().find_map(|waiting| match waiting.sent.0.try_recv() {
            Ok(Err(error)) => Some(error.context),
            _ => None,
        });
        match said {
            Some(said) if !failure.fenced && !failure.why.contains(&said) => {
                Failure { why: format!("{}: {said}", failure.why), ..failure }
            }
            _ => failure,
        }
    }

    async fn call(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Inner, Duration) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), Failure> {
        let (appender, wait) = (Arc::clone(&self.appender), wait(&self.factory));
        let called = tokio::task::spawn_blocking(move || {
            work(&appender.producer, wait).map_err(|error| Failure::of(doing, &error, &appender))
        });
        called.await.unwrap_or_else(|_| Err(Failure::new("its task was stopped")))
    }
}

/// Why a writer takes nothing more.
struct Failure {
    why: String,
    /// Has another writer begun?
    fenced: bool,
}

impl Failure {
    fn new(why: &str) -> Self {
        Self { why: why.to_owned(), fenced: false }
    }

    fn of(doing: &str, error: &KafkaError, appender: &Appender) -> Self {
        let why = format!("cannot {doing} a transaction: {error}");
        Self { why, fenced: is_fenced(error, appender) }
    }

    fn error(&self, id: &str) -> Error {
        if self.fenced { error::fenced(id, &self.why) } else { error::aborted(id, &self.why) }
    }
}

fn is_fenced(error: &KafkaError, appender: &Appender) -> bool {
    let code = match error.rdkafka_error_code() {
        Some(Code::Fatal) => appender.client().fatal_error().map(|(code, _)| code),
        code => code,
    };
    matches!(code, Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch))
}

/// Why a writer cannot begin.
fn refused(id: &str, error: &KafkaError, appender: &Appender) -> Error {
    let doing = format!("begin transactions as {id}");
    match error.rdkafka_error_code() {
        _ if is_fenced(error, appender) => error::fenced(id, &error.to_string()),
        Some(Code::InvalidTransactionTimeout) => error::open_for_too_long(OPEN_MAX),
        _ => error::request(&doing, error, &appender.heard),
    }
}

/// Transactions wait for records, and so for longer than one request.
fn wait(factory: &Factory) -> Duration {
    factory.config.request_timeout().saturating_mul(3)
}
