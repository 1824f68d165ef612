//! Simulated destinations. What they hold outlives the processes that write to them.

use async_trait::async_trait;
use cdc_core::{
    Change, Checkpoint, Error, Finding, LogId, Operation, Origin, Position, Result, Retry, Sink,
    SinkBatch, TableId, TableSchema, TopicPartition, Value, WriteError,
    catalog::{CapturedTable, SinkConnector, SinkContext},
    checkpoint::Places,
    sink::{CommitBoundary, Delivery, ParkScope},
};
use cdc_testkit::faults::{Dice, injected};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

/// Rows by key, each a map of column to value.
type Rows = BTreeMap<i64, BTreeMap<String, Value>>;

/// Replica tables, and how changes alter them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tables(BTreeMap<TableId, (Vec<String>, Rows)>);

impl Tables {
    pub(crate) fn evolve(&mut self, schema: &TableSchema) {
        if schema.table.is_messages() {
            return;
        }
        let (names, rows) = self.0.entry(schema.table.clone()).or_default();
        *names = schema.columns.iter().map(|column| column.name.clone()).collect();
        for row in rows.values_mut() {
            row.retain(|name, _| names.contains(name));
            for name in names.iter() {
                row.entry(name.clone()).or_insert(Value::Null);
            }
        }
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        if change.operation == Operation::Message {
            return;
        }
        let (_, rows) = self.0.entry(change.schema.table.clone()).or_default();
        let old_key = change.before.as_ref().map(|row| key_of(&change.schema, row));
        match change.operation {
            Operation::Message => {}
            Operation::Truncate => rows.clear(),
            Operation::Delete => {
                rows.remove(&old_key.unwrap());
            }
            Operation::Insert | Operation::Update | Operation::Snapshot => {
                let after = change.after.as_ref().unwrap();
                let key = key_of(&change.schema, after);
                let moved = old_key.and_then(|old| rows.remove(&old));
                let base = rows.remove(&key).or(moved).unwrap_or_default();
                let mut row = BTreeMap::new();
                for (column, value) in change.schema.columns.iter().zip(after) {
                    let value = match value {
                        Value::Unchanged => base.get(&column.name).unwrap_or(&Value::Null),
                        value => value,
                    };
                    row.insert(column.name.clone(), value.clone());
                }
                rows.insert(key, row);
            }
        }
    }
}

fn key_of(schema: &TableSchema, row: &[Value]) -> i64 {
    match &row[usize::from(schema.key[0])] {
        Value::Int(key) => *key,
        other => panic!("not a key: {other:?}"),
    }
}

/// How a destination behaves.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) delivery: Delivery,
    pub(crate) boundary: CommitBoundary,
    /// It refuses these for good until an operator mends it.
    pub(crate) poison: BTreeSet<Position>,
    pub(crate) park_scope: ParkScope,
    /// Planted bugs.
    pub(crate) checkpoint_in_a_second_step: bool,
    pub(crate) ignores_epochs: bool,
}

impl Manner {
    pub(crate) fn replica() -> Self {
        Self {
            delivery: Delivery::ExactlyOnce,
            boundary: CommitBoundary::Transaction,
            poison: BTreeSet::new(),
            park_scope: ParkScope::Table,
            checkpoint_in_a_second_step: false,
            ignores_epochs: false,
        }
    }

    pub(crate) fn events() -> Self {
        Self {
            boundary: CommitBoundary::AnyChange,
            park_scope: ParkScope::Change,
            ..Self::replica()
        }
    }

    pub(crate) fn webhook() -> Self {
        Self { delivery: Delivery::AtLeastOnce, ..Self::events() }
    }
}

/// One destination.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) manner: Mutex<Manner>,
    pub(crate) held: Mutex<Held>,
}

/// What it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    pub(crate) tables: Tables,
    pub(crate) applied: Vec<Change>,
    pub(crate) checkpoint: Checkpoint,
    /// How often each partition was claimed, where processes share them.
    claims: BTreeMap<TopicPartition, u64>,
    pub(crate) half_transactions: u64,
}

impl Ledger {
    pub(crate) fn new(manner: Manner) -> Arc<Self> {
        Arc::new(Self { manner: Mutex::new(manner), held: Mutex::default() })
    }
}

pub(crate) struct LedgerConnector {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) dice: Dice,
}

#[async_trait]
impl SinkConnector for LedgerConnector {
    fn kind(&self) -> &'static str {
        "ledger"
    }
    async fn check(&self, _: &SinkContext, _: &[CapturedTable]) -> Vec<Finding> {
        Vec::new()
    }
    async fn open(&self, _: &SinkContext) -> Result<Box<dyn Sink>> {
        self.dice.pause().await;
        self.dice.maybe_fail(3, "sink is down")?;
        let manner = self.ledger.manner.lock().unwrap().clone();
        let (ledger, dice) = (self.ledger.clone(), self.dice.clone());
        let (staged, claims) = (Vec::new(), BTreeMap::new());
        Ok(Box::new(LedgerSink { ledger, manner, staged, claims, dice }))
    }
}

enum Staged {
    Schema(Arc<TableSchema>),
    Change(Box<Change>),
}

struct LedgerSink {
    ledger: Arc<Ledger>,
    manner: Manner,
    staged: Vec<Staged>,
    /// The partitions of this session; empty where it has the whole log.
    claims: BTreeMap<TopicPartition, u64>,
    dice: Dice,
}

impl LedgerSink {
    fn exactly_once(&self) -> bool {
        self.manner.delivery == Delivery::ExactlyOnce
    }

    /// Is any of these partitions another session's by now?
    fn is_overtaken(&self, held: &Held, checkpoint: &Checkpoint) -> bool {
        let lost = |at: &TopicPartition| self.claims.get(at) != held.claims.get(at);
        !self.claims.is_empty() && checkpoint.partitions.keys().any(lost)
    }

    fn apply_staged(&mut self, held: &mut Held) {
        for step in self.staged.drain(..) {
            match step {
                Staged::Schema(schema) => held.tables.evolve(&schema),
                Staged::Change(change) => {
                    held.tables.apply(&change);
                    held.applied.push(*change);
                }
            }
        }
    }
}

/// Stores a checkpoint: as it is, or the places of a session that has some of the partitions.
fn store(held: &mut Held, checkpoint: &Checkpoint) {
    if held.claims.is_empty() {
        held.checkpoint = checkpoint.clone();
    } else {
        held.checkpoint.log = checkpoint.log;
        held.checkpoint.partitions.extend(checkpoint.partitions.clone());
    }
}

#[async_trait]
impl Sink for LedgerSink {
    fn delivery(&self) -> Delivery {
        self.manner.delivery
    }

    fn commit_boundary(&self) -> CommitBoundary {
        self.manner.boundary
    }

    fn park_scope(&self) -> ParkScope {
        self.manner.park_scope
    }

    async fn claim(&mut self, epoch: u64) -> Result<Option<Checkpoint>> {
        self.dice.pause().await;
        if !self.exactly_once() {
            return Ok(None);
        }
        let mut held = self.ledger.held.lock().unwrap();
        if !self.manner.ignores_epochs && held.checkpoint.epoch <= epoch {
            held.checkpoint.epoch = epoch;
        }
        Ok(Some(held.checkpoint.clone()))
    }

    async fn claim_partitions(
        &mut self,
        _: LogId,
        partitions: &[TopicPartition],
    ) -> Result<Option<Places>> {
        self.dice.pause().await;
        if !self.exactly_once() {
            return Ok(None);
        }
        assert!(self.staged.is_empty(), "claimed with changes uncommitted");
        self.dice.maybe_fail(1, "claim refused")?;
        let mut held = self.ledger.held.lock().unwrap();
        let mut places = Places::new();
        for at in partitions {
            let claims = held.claims.entry(at.clone()).or_default();
            *claims += 1;
            self.claims.insert(at.clone(), *claims);
            places.extend(held.checkpoint.partitions.get(at).map(|place| (at.clone(), *place)));
        }
        Ok(Some(places))
    }

    async fn prepare(&mut self, old: Option<&TableSchema>, new: &Arc<TableSchema>) -> Result<()> {
        assert!(old.is_none_or(|old| old.table == new.table));
        self.staged.push(Staged::Schema(new.clone()));
        Ok(())
    }

    async fn write(&mut self, batch: &SinkBatch) -> Result<(), WriteError> {
        self.dice.pause().await;
        self.dice.maybe_fail(1, "write refused")?;
        for (index, delivered) in batch.changes.iter().enumerate() {
            let change = &delivered.change;
            let accepted = if self.exactly_once() { 0 } else { index };
            if self.manner.poison.contains(&change.position) {
                let error =
                    Error::new("CDC-3103", Origin::Sink, Retry::Never, "injected: poison change");
                return Err(WriteError { error, accepted, rejected: Some(index) });
            }
            if !self.exactly_once() && self.dice.percent(1) {
                return Err(WriteError {
                    error: injected("half a batch"),
                    accepted,
                    rejected: None,
                });
            }
            self.staged.push(Staged::Change(Box::new(change.clone())));
            if !self.exactly_once() {
                let ledger = self.ledger.clone();
                self.apply_staged(&mut ledger.held.lock().unwrap());
            }
        }
        if !self.exactly_once() && self.dice.percent(1) {
            return Err(injected("write answer lost").into());
        }
        Ok(())
    }

    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.dice.pause().await;
        self.dice.maybe_fail(2, "commit refused")?;
        if !self.exactly_once() {
            return Ok(());
        }
        let ledger = self.ledger.clone();
        {
            let mut held = ledger.held.lock().unwrap();
            if held.checkpoint.epoch > checkpoint.epoch && !self.manner.ignores_epochs {
                let context = "a newer epoch has committed";
                return Err(Error::new("CDC-4001", Origin::Sink, Retry::AfterOperator, context));
            }
            if self.is_overtaken(&held, checkpoint) && !self.manner.ignores_epochs {
                let context = "another session has claimed a partition";
                return Err(Error::new("CDC-3005", Origin::Sink, Retry::Backoff, context));
            }
            self.apply_staged(&mut held);
            if held.applied.last().is_some_and(|change| !change.ends_transaction) {
                held.half_transactions += 1;
            }
            if !self.manner.checkpoint_in_a_second_step {
                store(&mut held, checkpoint);
            }
        }
        if self.manner.checkpoint_in_a_second_step {
            self.dice.pause().await;
            store(&mut ledger.held.lock().unwrap(), checkpoint);
        }
        if self.dice.percent(2) { Err(injected("commit answer lost")) } else { Ok(()) }
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
