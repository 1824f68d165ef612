//! The engine's side of the contract, as small as it can be, with crashes.

#![expect(clippy::panic, reason = "a suite fails by panicking")]

use super::Destination;
use super::changes::checkpoint;
use crate::generate;
use cdc_core::sink::{CommitBoundary, Delivery as Promise};
use cdc_core::{
    Checkpoint, Delivered, Error, Position, Result, Sink, TableId, TableSchema, WriteError,
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

/// More sessions than this for one delivery mean that it makes no progress.
const SESSIONS_MAX: usize = 500;

/// When sessions are dropped.
#[derive(Debug)]
pub(super) struct Crash {
    rng: ChaCha8Rng,
}

impl Crash {
    pub(super) fn from_seed(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn now(&mut self) -> bool {
        self.rng.random_bool(0.12)
    }
}

/// One delivery of changes to a destination, over as many sessions as it takes.
pub(super) struct Delivery<'a, D> {
    destination: &'a D,
    changes: Vec<Delivered>,
    /// Changes in one write.
    pub(super) batch: usize,
    pub(super) crash: Option<Crash>,
    /// Does every third session lose the answer of a write or commit?
    pub(super) lose_answers: bool,
    /// What the engine keeps for a sink that cannot.
    stored: Checkpoint,
    epoch: u64,
}

/// How a session ended.
enum End {
    Done,
    Dropped,
}

impl<'a, D: Destination> Delivery<'a, D> {
    pub(super) fn new(destination: &'a D, changes: Vec<Delivered>) -> Self {
        let stored = Checkpoint::default();
        Self { destination, changes, batch: 10, crash: None, lose_answers: false, stored, epoch: 0 }
    }

    /// Runs sessions until everything is committed. Says what the sink promises.
    pub(super) async fn finish(mut self) -> Promise {
        for number in 1..=SESSIONS_MAX {
            if self.lose_answers && number % 3 != 0 {
                self.lose_answers = self.destination.lose_next_answer().await;
            }
            self.epoch += 1;
            let mut sink = match self.destination.open().await {
                Ok(sink) => sink,
                Err(error) if self.lose_answers => {
                    assert_eq!(error.retry, cdc_core::Retry::Backoff, "{}", error.chain());
                    continue;
                }
                Err(error) => panic!("the destination does not open: {}", error.chain()),
            };
            let delivery = sink.delivery();
            if let End::Done = self.session(&mut *sink).await {
                sink.close().await.expect("close");
                return delivery;
            }
        }
        panic!("{SESSIONS_MAX} sessions were not enough");
    }

    async fn session(&mut self, sink: &mut dyn Sink) -> End {
        let kept = match claim(sink, &mut self.epoch).await {
            Ok(kept) => kept,
            Err(error) => return self.failed(&error),
        };
        let keeps = kept.is_some();
        let resumed = kept.unwrap_or_else(|| self.stored.clone());
        let newest = resumed.partitions.values().map(|place| place.position).max();
        let todo: Vec<Delivered> = self.above(newest);
        let mut prepared: BTreeMap<TableId, Arc<TableSchema>> = BTreeMap::new();
        let mut written = Vec::new();
        for batch in todo.chunks(self.batch.max(1)) {
            for run in batch.chunk_by(|a, b| a.change.schema == b.change.schema) {
                if let Err(error) = prepare(sink, &mut prepared, run).await {
                    return self.failed(&error);
                }
                if let Err(failed) = try_write(sink, run).await {
                    self.accept(sink, &written, run, &failed, keeps).await;
                    return self.failed(&failed.error);
                }
                written.extend_from_slice(run);
            }
            if self.crashes() {
                return End::Dropped;
            }
            if at_boundary(sink, &written) {
                let reached = checkpoint(self.epoch, &written);
                if let Err(error) = sink.commit(&reached).await {
                    return self.failed(&error);
                }
                // A crash here is the answer that never came.
                if self.crashes() {
                    return End::Dropped;
                }
                self.stored = reached;
            }
        }
        End::Done
    }

    /// Keeps the front of a batch that a failed write says it has taken.
    async fn accept(
        &mut self,
        sink: &mut dyn Sink,
        written: &[Delivered],
        run: &[Delivered],
        failed: &WriteError,
        keeps: bool,
    ) {
        let taken = run.get(..failed.accepted).unwrap_or_default();
        if taken.is_empty() || keeps {
            return;
        }
        let reached = checkpoint(self.epoch, &[written, taken].concat());
        if sink.commit(&reached).await.is_ok() {
            self.stored = reached;
        }
    }

    fn above(&self, newest: Option<Position>) -> Vec<Delivered> {
        let fresh = |d: &&Delivered| newest.is_none_or(|newest| d.change.position > newest);
        self.changes.iter().filter(fresh).cloned().collect()
    }

    fn crashes(&mut self) -> bool {
        self.crash.as_mut().is_some_and(Crash::now)
    }

    /// Only a lost answer may fail a call.
    fn failed(&self, error: &Error) -> End {
        assert!(self.lose_answers, "a call failed without a fault: {}", error.chain());
        End::Dropped
    }
}

/// Claims the session with this epoch, or one above the stored one where that is newer.
async fn claim(sink: &mut dyn Sink, epoch: &mut u64) -> Result<Option<Checkpoint>> {
    let kept = sink.claim(*epoch).await?;
    let newer = kept.as_ref().map_or(0, |kept| kept.epoch);
    if newer <= *epoch {
        return Ok(kept);
    }
    *epoch = newer + 1;
    sink.claim(*epoch).await
}

fn at_boundary(sink: &dyn Sink, written: &[Delivered]) -> bool {
    match sink.commit_boundary() {
        CommitBoundary::AnyChange => true,
        CommitBoundary::Transaction => {
            written.last().is_some_and(|last| last.change.ends_transaction)
        }
    }
}

async fn prepare(
    sink: &mut dyn Sink,
    prepared: &mut BTreeMap<TableId, Arc<TableSchema>>,
    run: &[Delivered],
) -> Result<()> {
    let Some(first) = run.first() else { return Ok(()) };
    let new = &first.change.schema;
    let old = prepared.get(&new.table);
    if old != Some(new) {
        sink.prepare(old.map(|schema| &**schema), new).await?;
        prepared.insert(new.table.clone(), Arc::clone(new));
    }
    Ok(())
}

/// Writes changes and says what came of it.
pub(super) async fn try_write(
    sink: &mut dyn Sink,
    changes: &[Delivered],
) -> Result<(), WriteError> {
    sink.write(&generate::batch(changes.to_vec())).await
}

/// Prepares and writes changes of one table schema.
pub(super) async fn write(sink: &mut dyn Sink, changes: &[Delivered]) {
    if let Err(error) = prepare(sink, &mut BTreeMap::new(), changes).await {
        panic!("prepare fails: {}", error.chain());
    }
    if let Err(failed) = try_write(sink, changes).await {
        panic!("write fails: {}", failed.error.chain());
    }
}
