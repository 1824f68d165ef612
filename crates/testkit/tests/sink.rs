use async_trait::async_trait;
use cdc_core::sink::Delivery;
use cdc_core::{
    Checkpoint, Delivered, Error, LogId, Offset, Origin, Result, Retry, Sink, SinkBatch,
    TableSchema, TopicPartition, Value, WriteError, checkpoint::Places,
};
use cdc_testkit::conformance::sink::{Destination, Seen, run};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What a memory destination does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    LosesTheBatchBeforeACommit,
    ShowsWhatIsNotCommitted,
    CommitsTheDataFirst,
    ForgetsItsCheckpoint,
    IgnoresEpochs,
    IgnoresClaims,
    LetsTwoWriteOnePartition,
    TurnsBatchesRound,
    FailsToPrepareTwice,
    RefusesLargeValues,
    GivesNewIdentities,
}

#[derive(Debug, Default)]
struct Held {
    rows: Vec<(Seen, bool)>,
    checkpoint: Checkpoint,
    /// How often each partition was claimed.
    claims: BTreeMap<TopicPartition, u64>,
    prepared: usize,
    writes: usize,
    answers_to_lose: usize,
}

#[derive(Clone)]
struct Memory {
    fault: Fault,
    delivery: Delivery,
    held: Arc<Mutex<Held>>,
}

struct Session {
    memory: Memory,
    staged: Vec<Seen>,
    /// The partitions of this session, where it has not the whole log.
    claims: Option<BTreeMap<TopicPartition, u64>>,
}

fn failure(context: &str) -> Error {
    Error::new("CDC-0000", Origin::Sink, Retry::Backoff, context)
}

#[async_trait]
impl Destination for Memory {
    async fn open(&self) -> Result<Box<dyn Sink>> {
        if self.fault != Fault::CommitsTheDataFirst && self.delivery == Delivery::ExactlyOnce {
            self.held.lock().unwrap().rows.retain(|(_, committed)| *committed);
        }
        Ok(Box::new(Session { memory: self.clone(), staged: Vec::new(), claims: None }))
    }

    async fn seen(&self) -> Vec<Seen> {
        let held = self.held.lock().unwrap();
        held.rows.iter().map(|(row, _)| row.clone()).collect()
    }

    async fn lose_next_answer(&self) -> bool {
        self.held.lock().unwrap().answers_to_lose = 1;
        true
    }
}

impl Session {
    fn seen(&self, delivered: &Delivered) -> Option<Seen> {
        let [Value::Int(id), Value::Int(sequence), ..] = delivered.change.after.as_deref()? else {
            return None;
        };
        let mut held = self.memory.held.lock().unwrap();
        held.writes += 1;
        let identity = match self.memory.fault {
            Fault::GivesNewIdentities => held.writes.to_string(),
            _ => delivered.change.position.to_string(),
        };
        Some(Seen { id: *id, sequence: *sequence, identity })
    }

    fn answer(&self) -> Result<()> {
        let mut held = self.memory.held.lock().unwrap();
        if held.answers_to_lose == 0 {
            return Ok(());
        }
        held.answers_to_lose -= 1;
        Err(failure("the answer was lost"))
    }
}

#[async_trait]
impl Sink for Session {
    fn delivery(&self) -> Delivery {
        self.memory.delivery
    }

    async fn claim(&mut self, epoch: u64) -> Result<Option<Checkpoint>> {
        if self.memory.delivery != Delivery::ExactlyOnce {
            return Ok(None);
        }
        let mut held = self.memory.held.lock().unwrap();
        let fault = self.memory.fault;
        if held.checkpoint.epoch <= epoch && fault != Fault::IgnoresClaims {
            held.checkpoint.epoch = epoch;
        }
        match fault {
            Fault::ForgetsItsCheckpoint => Ok(Some(Checkpoint { epoch, ..Checkpoint::default() })),
            Fault::IgnoresClaims => {
                let epoch = held.checkpoint.epoch.max(epoch);
                Ok(Some(Checkpoint { epoch, ..held.checkpoint.clone() }))
            }
            _ => Ok(Some(held.checkpoint.clone())),
        }
    }

    async fn claim_partitions(
        &mut self,
        log: LogId,
        partitions: &[TopicPartition],
    ) -> Result<Option<Places>> {
        if self.memory.delivery != Delivery::ExactlyOnce {
            return Ok(None);
        }
        let mut held = self.memory.held.lock().unwrap();
        let ours = self.claims.get_or_insert_default();
        let mut places = Places::new();
        for at in partitions {
            let claims = held.claims.entry(at.clone()).or_default();
            *claims += 1;
            ours.insert(at.clone(), *claims);
            let same = held.checkpoint.log == Some(log);
            let place = held.checkpoint.partitions.get(at).copied();
            places.extend(place.map(|mut place| {
                place.offset = if same { place.offset } else { Offset(0) };
                (at.clone(), place)
            }));
        }
        Ok(Some(places))
    }

    async fn prepare(&mut self, _: Option<&TableSchema>, _: &Arc<TableSchema>) -> Result<()> {
        let mut held = self.memory.held.lock().unwrap();
        held.prepared += 1;
        if self.memory.fault == Fault::FailsToPrepareTwice && held.prepared > 1 {
            return Err(failure("the table exists"));
        }
        Ok(())
    }

    async fn write(&mut self, batch: &SinkBatch) -> Result<(), WriteError> {
        let mut rows: Vec<Seen> = batch.changes.iter().filter_map(|d| self.seen(d)).collect();
        if self.memory.fault == Fault::TurnsBatchesRound {
            rows.reverse();
        }
        if self.memory.fault == Fault::RefusesLargeValues
            && batch.changes.iter().any(|d| d.change.size_bytes() > 1 << 20)
        {
            return Err(failure("too large").into());
        }
        let shown = self.memory.delivery != Delivery::ExactlyOnce
            || self.memory.fault == Fault::ShowsWhatIsNotCommitted;
        if shown {
            let mut held = self.memory.held.lock().unwrap();
            held.rows.extend(rows.into_iter().map(|row| (row, false)));
        } else {
            self.staged.extend(rows);
        }
        if self.memory.fault == Fault::CommitsTheDataFirst {
            return Ok(());
        }
        self.answer().map_err(WriteError::from)
    }

    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let mut rows = std::mem::take(&mut self.staged);
        if self.memory.fault == Fault::LosesTheBatchBeforeACommit {
            rows.pop();
        }
        let mut held = self.memory.held.lock().unwrap();
        if held.checkpoint.epoch > checkpoint.epoch && self.memory.fault != Fault::IgnoresEpochs {
            return Err(failure("fenced"));
        }
        let mut moved = checkpoint.partitions.keys();
        if let Some(ours) = &self.claims
            && moved.any(|at| ours.get(at) != held.claims.get(at))
            && self.memory.fault != Fault::LetsTwoWriteOnePartition
        {
            return Err(failure("another session has claimed a partition"));
        }
        held.rows.iter_mut().for_each(|(_, committed)| *committed = true);
        held.rows.extend(rows.into_iter().map(|row| (row, true)));
        if self.memory.fault == Fault::CommitsTheDataFirst && held.answers_to_lose > 0 {
            held.answers_to_lose = 0;
            return Err(failure("died between data and checkpoint"));
        }
        if self.claims.is_some() {
            held.checkpoint.log = checkpoint.log;
            held.checkpoint.partitions.extend(checkpoint.partitions.clone());
        } else {
            held.checkpoint = checkpoint.clone();
        }
        drop(held);
        self.answer()
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

async fn verify(delivery: Delivery, fault: Fault) {
    run(async || Memory { fault, delivery, held: Arc::default() }).await;
}

#[tokio::test]
async fn a_correct_exactly_once_sink_passes() {
    verify(Delivery::ExactlyOnce, Fault::None).await;
}

#[tokio::test]
async fn a_correct_at_least_once_sink_passes() {
    verify(Delivery::AtLeastOnce, Fault::None).await;
}

#[tokio::test]
#[should_panic(expected = "everything arrives in order")]
async fn a_lost_change_is_found() {
    verify(Delivery::ExactlyOnce, Fault::LosesTheBatchBeforeACommit).await;
}

#[tokio::test]
#[should_panic(expected = "nothing is seen before its commit")]
async fn an_early_view_is_found() {
    verify(Delivery::ExactlyOnce, Fault::ShowsWhatIsNotCommitted).await;
}

#[tokio::test]
#[should_panic(expected = "a lost answer changes nothing")]
async fn a_checkpoint_in_a_second_step_is_found() {
    verify(Delivery::ExactlyOnce, Fault::CommitsTheDataFirst).await;
}

#[tokio::test]
#[should_panic(expected = "the checkpoint is found again")]
async fn a_forgotten_checkpoint_is_found() {
    verify(Delivery::ExactlyOnce, Fault::ForgetsItsCheckpoint).await;
}

#[tokio::test]
#[should_panic(expected = "a claim fences the older writer off")]
async fn an_ignored_epoch_is_found() {
    verify(Delivery::ExactlyOnce, Fault::IgnoresEpochs).await;
}

#[tokio::test]
#[should_panic(expected = "a claim fences the older writer off")]
async fn an_ignored_claim_is_found() {
    verify(Delivery::ExactlyOnce, Fault::IgnoresClaims).await;
}

#[tokio::test]
#[should_panic(expected = "everything arrives in order")]
async fn another_order_is_found() {
    verify(Delivery::ExactlyOnce, Fault::TurnsBatchesRound).await;
}

#[tokio::test]
#[should_panic(expected = "the table exists")]
async fn a_prepare_that_fails_twice_is_found() {
    verify(Delivery::ExactlyOnce, Fault::FailsToPrepareTwice).await;
}

#[tokio::test]
#[should_panic(expected = "too large")]
async fn a_refused_large_value_is_found() {
    verify(Delivery::ExactlyOnce, Fault::RefusesLargeValues).await;
}

#[tokio::test]
#[should_panic(expected = "another identity")]
async fn a_new_identity_for_a_repetition_is_found() {
    verify(Delivery::AtLeastOnce, Fault::GivesNewIdentities).await;
}

#[tokio::test]
#[should_panic(expected = "a claim fences the older writer off")]
async fn two_writers_of_one_partition_are_found() {
    verify(Delivery::ExactlyOnce, Fault::LetsTwoWriteOnePartition).await;
}
