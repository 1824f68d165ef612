//! A log that refuses appends, tears them, or loses the answer.

use super::{Dice, dice::injected};
use async_trait::async_trait;
use cdc_core::{
    LogId, Offset, PartitionReader, Position, Record, RecordBatch, Result, TopicPartition,
    Transport,
    checkpoint::Places,
    transport::{AppendReceipt, Condition, Lease, Membership, Ordering, Writing},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering as Memory},
};
use tokio::sync::{oneshot, watch};

/// A transport with faults.
pub struct FaultyTransport {
    inner: Arc<dyn Transport>,
    dice: Dice,
    failed: AtomicBool,
    in_transactions: AtomicBool,
}

impl FaultyTransport {
    /// Wraps a transport for the life of one process.
    #[must_use]
    pub fn new(inner: Arc<dyn Transport>, dice: Dice) -> Self {
        Self { inner, dice, failed: AtomicBool::default(), in_transactions: AtomicBool::default() }
    }
}

#[async_trait]
impl Transport for FaultyTransport {
    fn log(&self) -> LogId {
        self.inner.log()
    }

    fn ordering(&self) -> Ordering {
        self.inner.ordering()
    }

    fn partition_of(&self, topic: &str, key: &[u8]) -> TopicPartition {
        self.inner.partition_of(topic, key)
    }

    async fn append(&self, to: &TopicPartition, records: Vec<Record>) -> Result<AppendReceipt> {
        self.dice.pause().await;
        if self.failed.load(Memory::Relaxed) {
            return Err(injected("append after a failure"));
        }
        self.dice.maybe_fail(1, "append refused")?;
        let torn = self.dice.percent(1);
        let lost = torn || self.dice.percent(1);
        let keep = match torn {
            true => self.dice.pick(0..records.len() as u64 + 1),
            false => records.len() as u64,
        };
        let keep = usize::try_from(keep).unwrap_or(usize::MAX);
        let receipt = self.inner.append(to, records.into_iter().take(keep).collect()).await?;
        if !lost {
            return Ok(receipt);
        }
        self.failed.store(true, Memory::Relaxed);
        let (sender, receipt) = oneshot::channel();
        // Nobody waits for a receipt that was dropped.
        drop(sender.send(Err(injected("append torn or its answer lost"))));
        Ok(AppendReceipt(receipt))
    }

    async fn begin(&self, writer: &str) -> Result<Writing> {
        self.dice.maybe_fail(1, "begin refused")?;
        let writing = self.inner.begin(writer).await?;
        self.in_transactions.store(writing.in_transactions, Memory::Relaxed);
        if writing.in_transactions {
            self.failed.store(false, Memory::Relaxed);
        }
        Ok(writing)
    }

    async fn seal(&self, place: Position) -> Result<()> {
        if !self.in_transactions.load(Memory::Relaxed) {
            return self.inner.seal(place).await;
        }
        self.dice.pause().await;
        if self.failed.load(Memory::Relaxed) {
            return Err(injected("seal after a failure"));
        }
        let refused = self.dice.percent(1);
        if !refused {
            self.inner.seal(place).await?;
        }
        if refused || self.dice.percent(2) {
            self.failed.store(true, Memory::Relaxed);
            return Err(injected("commit refused or its answer lost"));
        }
        Ok(())
    }

    async fn newest(&self, of: &TopicPartition) -> Result<Option<Position>> {
        // Half of the time like a transport that cannot tell: the source replays, duplicates appear.
        let tells = self.in_transactions.load(Memory::Relaxed) || self.dice.percent(50);
        if tells { self.inner.newest(of).await } else { Ok(None) }
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

    async fn kept(&self, group: &str, of: &[TopicPartition]) -> Result<Places> {
        self.inner.kept(group, of).await
    }

    async fn read(&self, of: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>> {
        self.dice.maybe_fail(2, "read refused")?;
        let inner = self.inner.read(of, from).await?;
        Ok(Box::new(FaultyReader { inner, dice: self.dice.clone() }))
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

struct FaultyReader {
    inner: Box<dyn PartitionReader>,
    dice: Dice,
}

#[async_trait]
impl PartitionReader for FaultyReader {
    async fn next(&mut self, bytes_max: usize) -> Result<RecordBatch> {
        self.dice.maybe_fail(1, "read failed")?;
        let few = usize::try_from(self.dice.pick(1..600)).unwrap_or(1);
        self.inner.next(bytes_max.min(few)).await
    }
}
