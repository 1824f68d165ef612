//! One simulated world: a database, a log, state, destinations, and processes that come and go.

use crate::avro;
use crate::{
    history::{History, ScriptedConnector, Shape},
    ledger::{Held, Ledger, LedgerConnector, Manner, Tables},
};
use cdc_core::{
    Change, Result, Transport, clock::Clock, format::Format, retry::RetryPolicy, sink::Delivery,
    store::CheckpointStore, transport::Ordering,
};
use cdc_engine::{OnRejected, PipelineSpec, PipelineStatus, RowFormat, SinkSpec, Until};
use cdc_testkit::{
    faults::{Dice, FaultyStores, FaultyTransport},
    memory::{MemoryLog, MemoryRegistry, MemoryStores, MemoryTransport},
};
use futures::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Wraps the transport of one process: where planted bugs sit.
pub(crate) type Wrap = fn(Arc<dyn Transport>, Dice) -> Arc<dyn Transport>;

/// What a world is made of.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    pub(crate) partitions: u32,
    /// So many run at once; with more than one they share a partitioned log.
    pub(crate) processes: usize,
    pub(crate) sinks: Vec<Manner>,
    /// Of a hundred starts, how many happen while the process before still runs.
    pub(crate) overlap_percent: u64,
    pub(crate) wrap: Option<Wrap>,
    /// Are records Debezium's in Avro, in place of our own rows?
    pub(crate) avro: bool,
    /// Do records become visible in transactions?
    pub(crate) in_transactions: bool,
}

/// More starts than this mean that nothing moves any more.
const STARTS_MAX: u32 = 900;

/// What a run came to.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) starts: u32,
    pub(crate) log_records: usize,
    pub(crate) changes: usize,
    pub(crate) digest: Vec<Vec<String>>,
}

struct SimulatedClock;

impl Clock for SimulatedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

pub(crate) struct World {
    dice: Dice,
    plan: Plan,
    pub(crate) history: Arc<History>,
    log: Arc<MemoryLog>,
    pub(crate) stores: Arc<MemoryStores>,
    registry: Arc<MemoryRegistry>,
    pub(crate) ledgers: Vec<Arc<Ledger>>,
    /// The longest wait after a failure.
    pub(crate) patience: Duration,
    /// Do the log and the state fail now and then?
    pub(crate) faulty: bool,
    starts: u32,
}

type Process = Pin<Box<dyn Future<Output = Result<()>>>>;

impl World {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let dice = Dice::new(seed);
        let history = History::generate(plan.shape, &dice);
        let ledgers = plan.sinks.iter().cloned().map(Ledger::new).collect();
        let id = u128::from(seed) + 1;
        let log = match plan.in_transactions {
            true => MemoryLog::in_transactions(id, plan.partitions),
            false => MemoryLog::new(id, plan.partitions),
        };
        let (stores, registry) = (MemoryStores::new(), MemoryRegistry::new());
        let patience = Duration::from_millis(50);
        Self {
            dice,
            plan,
            history,
            log,
            stores,
            registry,
            ledgers,
            patience,
            faulty: true,
            starts: 0,
        }
    }

    fn format(&self, ordering: Ordering) -> Arc<dyn Format> {
        if self.plan.avro {
            return avro::format(&self.registry, &self.stores);
        }
        Arc::new(RowFormat::new(self.stores.clone(), "cdc", ordering))
    }

    fn start(&mut self, until: Until, cancel: &CancellationToken) -> Process {
        self.starts += 1;
        let dice = self.dice.clone();
        let mut transport: Arc<dyn Transport> = Arc::new(MemoryTransport::open(&self.log));
        if let Some(wrap) = self.plan.wrap {
            transport = wrap(transport, dice.clone());
        }
        let mut checkpoints: Arc<dyn CheckpointStore> = self.stores.clone();
        if self.faulty {
            transport = Arc::new(FaultyTransport::new(transport, dice.clone()));
            checkpoints = Arc::new(FaultyStores::new(self.stores.clone(), dice.clone()));
        }
        let ordering = transport.ordering();
        let sinks = self.ledgers.iter().enumerate().map(|(index, ledger)| SinkSpec {
            sink_id: format!("s{index}"),
            connector: Arc::new(LedgerConnector { ledger: ledger.clone(), dice: dice.clone() }),
            retry: quick_retries(),
            on_rejected: OnRejected::Park,
        });
        let spec = PipelineSpec {
            pipeline_id: "simulated".into(),
            topic_prefix: "cdc".into(),
            database: "simulated".into(),
            source: Arc::new(ScriptedConnector {
                history: self.history.clone(),
                dice: dice.clone(),
            }),
            sinks: sinks.collect(),
            transport,
            checkpoints,
            format: self.format(ordering),
            schemas: self.stores.clone(),
            dead_letters: self.stores.clone(),
            clock: Arc::new(SimulatedClock),
            seed: u64::from(self.starts),
            memory_budget_bytes: 64 * 1024,
            retry: RetryPolicy { max_wait: self.patience, ..quick_retries() },
            until,
            hold: None,
        };
        let status = watch::Sender::new(PipelineStatus::default());
        Box::pin(cdc_engine::run(spec, status, cancel.clone()))
    }

    /// Starts and crashes processes until every destination has everything.
    pub(crate) async fn run_to_the_end(&mut self) {
        match self.plan.processes {
            1 => self.run_alone().await,
            count => self.run_together(count).await,
        }
    }

    async fn run_alone(&mut self) {
        let mut before: Option<Process> = None;
        while !self.complete() {
            assert!(self.starts < STARTS_MAX, "no progress: {}", self.standing());
            let cancel = CancellationToken::new();
            let mut processes: FuturesUnordered<Process> = FuturesUnordered::new();
            processes.extend(before.take());
            processes.push(self.start(Until::Cancelled, &cancel));
            let life = Duration::from_millis(self.dice.pick(20..700));
            let stops_in_order = self.dice.percent(20);
            let finished = async {
                while !self.complete() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! { biased;
                () = drain(&mut processes) => {}
                () = tokio::time::sleep(life) => {}
                () = finished => {}
            }
            self.verify_transactions();
            if !self.plan.in_transactions {
                self.log.drop_released();
            }
            if stops_in_order && processes.len() == 1 {
                cancel.cancel();
                let limit = Duration::from_secs(20);
                tokio::time::timeout(limit, drain(&mut processes)).await.expect("stops in time");
            } else if self.dice.percent(self.plan.overlap_percent) {
                before = processes.into_iter().next();
            }
            // Everything else is dropped here: a crash.
        }
    }

    /// Starts, stops, crashes and expels processes that share the pipeline until every destination has
    /// everything.
    async fn run_together(&mut self, count: usize) {
        let mut processes: Vec<Option<(Process, CancellationToken)>> = Vec::new();
        processes.resize_with(count, || None);
        while !self.complete() {
            assert!(self.starts < STARTS_MAX, "no progress: {}", self.standing());
            for slot in &mut processes {
                if slot.is_none() {
                    let cancel = CancellationToken::new();
                    *slot = Some((self.start(Until::Cancelled, &cancel), cancel));
                }
            }
            let life = Duration::from_millis(self.dice.pick(20..900));
            let deposed = if self.dice.percent(30) {
                let number = usize::try_from(self.dice.pick(0..8)).unwrap();
                futures::future::Either::Left(self.log.expel(number))
            } else {
                futures::future::Either::Right(std::future::ready(()))
            };
            let deposed = async {
                deposed.await;
                std::future::pending::<()>().await;
            };
            let finished = async {
                while !self.complete() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! { biased;
                () = any_ends(&mut processes) => {}
                () = tokio::time::sleep(life) => {}
                () = finished => {}
                () = deposed => {}
            }
            self.verify_transactions();
            let victim = usize::try_from(self.dice.pick(0..count as u64)).unwrap();
            if self.dice.percent(50) {
                // Dropped: a crash.
                processes[victim] = None;
            } else if let Some((_, cancel)) = &processes[victim] {
                cancel.cancel();
            }
        }
    }

    /// Runs several processes until each is current.
    pub(crate) async fn run_together_until_current(&mut self) {
        let mut left = self.plan.processes;
        while left > 0 {
            assert!(self.starts < STARTS_MAX, "no progress: {}", self.standing());
            let cancel = CancellationToken::new();
            let mut processes: FuturesUnordered<Process> = FuturesUnordered::new();
            for _ in 0..left {
                processes.push(self.start(Until::Current, &cancel));
            }
            while let Some(ended) = processes.next().await {
                if ended.is_ok() {
                    left -= 1;
                }
            }
        }
    }

    /// Runs to the end of the history in one process, again after each failure.
    pub(crate) async fn run_until_current(&mut self) {
        loop {
            assert!(self.starts < STARTS_MAX, "no progress");
            let cancel = CancellationToken::new();
            if self.start(Until::Current, &cancel).await.is_ok() {
                break;
            }
        }
    }

    /// How far everything is, for a failed assertion.
    fn standing(&self) -> String {
        let held = |ledger: &Arc<Ledger>| {
            let held = ledger.held.lock().unwrap();
            let distinct: BTreeSet<_> = held.applied.iter().map(|change| change.position).collect();
            format!("{} of {}, {:?}", distinct.len(), self.history.changes.len(), held.checkpoint)
        };
        let ledgers: Vec<String> = self.ledgers.iter().map(held).collect();
        format!("{} log records; sinks: {ledgers:#?}", self.log.len())
    }

    /// Runs one process while others begin epochs that they do not keep. Says how long it took.
    pub(crate) async fn run_beside_others_that_begin_epochs(&mut self, times: u32) -> Duration {
        const LIMIT: Duration = Duration::from_secs(600);
        let began = tokio::time::Instant::now();
        let mut process = self.start(Until::Cancelled, &CancellationToken::new());
        let mut begun = 0;
        while !self.complete() && began.elapsed() < LIMIT {
            tokio::select! { biased;
                ended = &mut process => panic!("it ends instead of standing by: {ended:?}"),
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            if begun < times {
                self.stores.begin_epoch(0).await.unwrap();
                begun += 1;
            }
        }
        began.elapsed()
    }

    /// Runs one process for a while and crashes it.
    pub(crate) async fn run_for(&mut self, life: Duration) {
        assert!(self.starts < STARTS_MAX, "no progress");
        let process = self.start(Until::Cancelled, &CancellationToken::new());
        drop(tokio::time::timeout(life, process).await);
    }

    pub(crate) fn complete(&self) -> bool {
        let everything = self.history.changes.len();
        self.ledgers.iter().zip(0..).all(|(ledger, index)| {
            let held = ledger.held.lock().unwrap();
            let distinct: BTreeSet<_> = held.applied.iter().map(|change| change.position).collect();
            distinct.len() + self.letters(index).len() >= everything
        })
    }

    /// Positions of a sink's dead letters.
    pub(crate) fn letters(&self, index: u32) -> Vec<cdc_core::Position> {
        use cdc_core::dead_letter::DeadLetterStore;
        let sink_id = format!("s{index}");
        let letters = self.stores.list(Some(&sink_id), 0, usize::MAX);
        let letters = futures::FutureExt::now_or_never(letters).unwrap().unwrap();
        letters.into_iter().map(|letter| letter.info.position).collect()
    }

    /// What every destination must hold: the whole history, once, in order.
    pub(crate) fn verify(&self) -> Outcome {
        let mut digest = Vec::new();
        for ledger in &self.ledgers {
            let held = ledger.held.lock().unwrap().clone();
            let manner = ledger.manner.lock().unwrap().clone();
            self.verify_order(&held, &manner);
            self.verify_tables(&held, &manner);
            digest.push(held.applied.iter().map(|change| change.position.to_string()).collect());
        }
        Outcome {
            starts: self.starts,
            log_records: self.log.len(),
            changes: self.history.changes.len(),
            digest,
        }
    }

    /// After refused changes came through at last: nothing is missing and nothing was applied twice.
    pub(crate) fn verify_after_letters(&self) -> Outcome {
        let all: BTreeSet<_> = self.history.changes.iter().map(|change| change.position).collect();
        for ledger in &self.ledgers {
            let held = ledger.held.lock().unwrap();
            let distinct: BTreeSet<_> = held.applied.iter().map(|change| change.position).collect();
            assert_eq!(distinct, all, "a change is missing");
            if ledger.manner.lock().unwrap().delivery == Delivery::ExactlyOnce {
                assert_eq!(held.applied.len(), distinct.len(), "applied twice");
            }
        }
        let (log_records, changes) = (self.log.len(), self.history.changes.len());
        Outcome { starts: self.starts, log_records, changes, digest: Vec::new() }
    }

    /// What whoever reads the log itself must see at any time: every record once, and transactions of the
    /// source as a whole.
    fn verify_transactions(&self) {
        if !self.plan.in_transactions {
            return;
        }
        let mut seen = BTreeSet::new();
        let mut positions = BTreeSet::new();
        for (at, record) in self.log.records() {
            let position = record.position;
            positions.insert(position);
            assert!(seen.insert((at, position, record.payload)), "{position} is there twice");
        }
        let mut whole = std::collections::BTreeMap::new();
        for change in &self.history.changes {
            let commit = change.position.commit;
            let there = positions.contains(&change.position);
            let all = *whole.entry(commit).or_insert(there) == there;
            assert!(all, "half of transaction {commit} is there");
        }
    }

    fn verify_order(&self, held: &Held, manner: &Manner) {
        if manner.delivery == Delivery::ExactlyOnce {
            let mut seen = BTreeSet::new();
            for change in &held.applied {
                assert!(seen.insert(change.position), "applied twice: {}", change.position);
            }
        }
        if self.plan.partitions == 1
            && manner.boundary == cdc_core::sink::CommitBoundary::Transaction
        {
            assert_eq!(held.half_transactions, 0, "half a transaction was visible");
        }
        if !manner.poison.is_empty() {
            return;
        }
        let mut newest = BTreeSet::new();
        let first_times = held.applied.iter().filter(|change| newest.insert(change.position));
        let total = self.plan.partitions == 1;
        let mut last = std::collections::BTreeMap::new();
        for change in first_times {
            let key = (!total).then(|| (change.schema.table.clone(), key(change)));
            let before = last.insert(key, change.position);
            assert!(before < Some(change.position), "out of order: {}", change.position);
        }
    }

    fn verify_tables(&self, held: &Held, manner: &Manner) {
        if !manner.poison.is_empty() {
            return;
        }
        let distinct: BTreeSet<_> = held.applied.iter().map(|change| change.position).collect();
        let all: BTreeSet<_> = self.history.changes.iter().map(|change| change.position).collect();
        assert_eq!(distinct, all, "a change is missing");
        let contents =
            |change: &Change| (change.position, change.before.clone(), change.after.clone());
        let mut delivered: Vec<_> = held.applied.iter().map(contents).collect();
        delivered.sort_by_key(|(position, ..)| *position);
        delivered.dedup_by_key(|(position, ..)| *position);
        let written: Vec<_> = self.history.changes.iter().map(contents).collect();
        assert!(delivered == written, "a change was altered");
        if manner.delivery == Delivery::ExactlyOnce && self.plan.partitions == 1 {
            assert!(
                held.tables == expected_tables(&self.history.changes),
                "replica differs from source"
            );
        }
    }
}

fn key(change: &Change) -> String {
    let row = change.row().unwrap();
    format!("{:?}", row[usize::from(change.schema.key[0])])
}

fn expected_tables(changes: &[Change]) -> Tables {
    let mut tables = Tables::default();
    for change in changes {
        tables.evolve(&change.schema);
        tables.apply(change);
    }
    tables
}

/// Ends when one of the processes has, which then is none any more.
async fn any_ends(processes: &mut [Option<(Process, CancellationToken)>]) {
    std::future::poll_fn(|context| {
        let mut ended = std::task::Poll::Pending;
        for slot in &mut *processes {
            if let Some((process, _)) = slot
                && process.as_mut().poll(context).is_ready()
            {
                *slot = None;
                ended = std::task::Poll::Ready(());
            }
        }
        ended
    })
    .await;
}

async fn drain(processes: &mut FuturesUnordered<Process>) {
    while let Some(ended) = processes.next().await {
        if let Err(error) = ended {
            // A process that ended with an error is started again by its supervisor.
            drop(error);
        }
    }
}

fn quick_retries() -> RetryPolicy {
    RetryPolicy {
        max_attempts: 5,
        initial_wait: Duration::from_millis(5),
        max_wait: Duration::from_millis(50),
        multiplier: 2.0,
        jitter: true,
    }
}

/// Runs a world to its end on paused time and checks it.
pub(crate) fn simulate(seed: u64, plan: &Plan) -> Outcome {
    in_paused_time(async {
        let mut world = World::new(seed, plan.clone());
        world.run_to_the_end().await;
        world.verify()
    })
}

pub(crate) fn in_paused_time<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}
