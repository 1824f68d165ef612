//! Bugs that the parts around the engine could have. Each must be caught within a few seeds: a
//! simulation that cannot fail proves nothing.

use crate::{
    history::Shape,
    ledger::Manner,
    world::{Plan, simulate},
};
use async_trait::async_trait;
use cdc_core::{
    LogId, Offset, PartitionReader, Position, Record, RecordBatch, Result, TopicPartition,
    Transport,
    checkpoint::Places,
    transport::{AppendReceipt, Condition, Lease, Membership, Ordering, Writing},
};
use cdc_testkit::faults::Dice;
use std::{panic::AssertUnwindSafe, sync::Arc};
use tokio::sync::{oneshot, watch};

fn plan() -> Plan {
    Plan {
        shape: Shape { transactions: 60, tables: 2, keys: 8, snapshot: 0, total_order: true },
        partitions: 1,
        processes: 1,
        sinks: vec![Manner::replica(), Manner::events()],
        overlap_percent: 0,
        wrap: None,
        avro: false,
        in_transactions: false,
    }
}

/// Some seed of the first few must fail.
fn is_caught(plan: &Plan) {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = (0..60)
        .any(|seed| std::panic::catch_unwind(AssertUnwindSafe(|| simulate(seed, plan))).is_err());
    std::panic::set_hook(quiet);
    assert!(caught, "the planted bug was not noticed");
}

#[test]
fn the_plan_without_a_bug_passes() {
    for seed in 0..60 {
        simulate(seed, &plan());
    }
}

#[test]
fn a_checkpoint_in_a_second_step_is_caught() {
    let mut plan = plan();
    for sink in &mut plan.sinks {
        sink.checkpoint_in_a_second_step = true;
    }
    is_caught(&plan);
}

#[test]
fn a_sink_that_ignores_epochs_is_caught() {
    let mut plan = plan();
    plan.overlap_percent = 80;
    for sink in &mut plan.sinks {
        sink.ignores_epochs = true;
    }
    is_caught(&plan);
}

#[test]
fn a_sink_that_lets_two_processes_write_one_partition_is_caught() {
    let mut plan = Plan { partitions: 4, processes: 3, ..plan() };
    plan.shape.total_order = false;
    for seed in 0..10 {
        simulate(seed, &plan);
    }
    for sink in &mut plan.sinks {
        sink.ignores_epochs = true;
    }
    is_caught(&plan);
}

#[test]
fn a_failed_append_that_reports_success_is_caught() {
    is_caught(&Plan {
        wrap: Some(|inner, dice| Arc::new(Bug::new(inner, dice, Kind::DropsSome))),
        ..plan()
    });
}

#[test]
fn a_receipt_before_the_data_is_durable_is_caught() {
    is_caught(&Plan {
        wrap: Some(|inner, dice| Arc::new(Bug::new(inner, dice, Kind::EarlyReceipt))),
        ..plan()
    });
}

#[test]
fn records_that_look_new_when_they_are_repeated_are_caught() {
    is_caught(&Plan {
        wrap: Some(|inner, dice| Arc::new(Bug::new(inner, dice, Kind::HidesRepeats))),
        ..plan()
    });
}

#[test]
fn records_that_are_committed_without_their_place_are_caught() {
    let plan = Plan { in_transactions: true, ..plan() };
    for seed in 0..10 {
        simulate(seed, &plan);
    }
    is_caught(&Plan {
        wrap: Some(|inner, dice| Arc::new(Bug::new(inner, dice, Kind::CommitsEarly))),
        ..plan
    });
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Now and then an append loses records and says nothing.
    DropsSome,
    /// Receipts resolve at once, the data follows a moment later.
    EarlyReceipt,
    /// Readers number positions anew, so that nothing looks like a duplicate.
    HidesRepeats,
    /// Records are committed as they come, with a place that does not have them.
    CommitsEarly,
}

struct Bug {
    inner: Arc<dyn Transport>,
    dice: Dice,
    kind: Kind,
    late: tokio::sync::Mutex<Vec<(TopicPartition, Vec<Record>)>>,
}

impl Bug {
    fn new(inner: Arc<dyn Transport>, dice: Dice, kind: Kind) -> Self {
        Self { inner, dice, kind, late: tokio::sync::Mutex::default() }
    }
}

#[async_trait]
impl Transport for Bug {
    fn log(&self) -> LogId {
        self.inner.log()
    }
    fn ordering(&self) -> Ordering {
        self.inner.ordering()
    }
    fn partition_of(&self, topic: &str, key: &[u8]) -> TopicPartition {
        self.inner.partition_of(topic, key)
    }
    async fn append(&self, to: &TopicPartition, mut records: Vec<Record>) -> Result<AppendReceipt> {
        match self.kind {
            Kind::HidesRepeats => self.inner.append(to, records).await,
            Kind::DropsSome => {
                if self.dice.percent(5) {
                    records.pop();
                }
                self.inner.append(to, records).await
            }
            Kind::CommitsEarly => {
                let receipt = self.inner.append(to, records).await?;
                self.inner.seal(Position::new(0, 1)).await?;
                Ok(receipt)
            }
            Kind::EarlyReceipt => {
                let mut late = self.late.lock().await;
                for (to, records) in late.drain(..) {
                    self.inner.append(&to, records).await?;
                }
                late.push((to.clone(), records));
                let (sender, receipt) = oneshot::channel();
                sender.send(Ok(Offset(0))).unwrap();
                Ok(AppendReceipt(receipt))
            }
        }
    }
    async fn begin(&self, writer: &str) -> Result<Writing> {
        self.inner.begin(writer).await
    }
    async fn seal(&self, place: Position) -> Result<()> {
        self.inner.seal(place).await
    }
    async fn newest(&self, of: &TopicPartition) -> Result<Option<Position>> {
        self.inner.newest(of).await
    }
    async fn join(&self, group: &str) -> Result<Membership> {
        self.inner.join(group).await
    }
    async fn lead(&self, name: &str) -> Result<Lease> {
        self.inner.lead(name).await
    }

    async fn partitions(&self) -> Result<Vec<TopicPartition>> {
        self.inner.partitions().await
    }

    async fn first(&self, of: &TopicPartition) -> Result<Offset> {
        self.inner.first(of).await
    }

    async fn commit(&self, group: &str, places: &Places) -> Result<()> {
        self.inner.commit(group, places).await
    }

    async fn committed(&self, group: &str, of: &[TopicPartition]) -> Result<Places> {
        self.inner.committed(group, of).await
    }

    async fn read(&self, of: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>> {
        let inner = self.inner.read(of, from).await?;
        let hides = self.kind == Kind::HidesRepeats;
        Ok(if hides { Box::new(Renumbering { inner }) } else { inner })
    }
    async fn release(&self, of: &TopicPartition, before: Offset) -> Result<()> {
        self.inner.release(of, before).await
    }
    async fn end(&self, of: &TopicPartition) -> Result<Offset> {
        self.inner.end(of).await
    }
    fn condition(&self) -> watch::Receiver<Condition> {
        self.inner.condition()
    }
}

struct Renumbering {
    inner: Box<dyn PartitionReader>,
}

#[async_trait]
impl PartitionReader for Renumbering {
    async fn next(&mut self, bytes_max: usize) -> Result<RecordBatch> {
        let mut batch = self.inner.next(bytes_max).await?;
        for stored in &mut batch.records {
            stored.record.position = Position::new(u128::from(stored.offset.0), 1);
        }
        Ok(batch)
    }
}
