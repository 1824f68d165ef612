//! A log in memory.

use async_trait::async_trait;
use bytes::Bytes;
use cdc_core::{
    Error, LogId, Offset, Origin, PartitionReader, Position, Record, RecordBatch, Result, Retry,
    StoredRecord, TopicPartition, Transport,
    transport::{AppendReceipt, Condition, FixedMembership, Membership, Ordering},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, oneshot, watch};

/// What outlives a process: the records.
#[derive(Debug)]
pub struct MemoryLog {
    id: LogId,
    partition_count: u32,
    partitions: Mutex<BTreeMap<TopicPartition, Partition>>,
    grew: Notify,
}

#[derive(Debug, Default)]
struct Partition {
    records: Vec<Record>,
    released: u64,
}

impl MemoryLog {
    /// An empty log. With one partition it is totally ordered.
    #[must_use]
    pub fn new(id: u128, partition_count: u32) -> Arc<Self> {
        Arc::new(Self {
            id: LogId(uuid::Uuid::from_u128(id)),
            partition_count: partition_count.max(1),
            partitions: Mutex::default(),
            grew: Notify::new(),
        })
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().values().map(|partition| partition.records.len()).sum()
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The offset below which every record of a partition may go.
    #[must_use]
    pub fn released(&self, of: &TopicPartition) -> Offset {
        Offset(self.lock().get(of).map_or(0, |partition| partition.released))
    }

    /// Forgets the payloads of what was released, as retention would.
    pub fn drop_released(&self) {
        for partition in self.lock().values_mut() {
            let released = usize::try_from(partition.released).unwrap_or(usize::MAX);
            for record in partition.records.iter_mut().take(released) {
                record.payload = Bytes::new();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process's hold on a [`MemoryLog`].
#[derive(Debug)]
pub struct MemoryTransport {
    log: Arc<MemoryLog>,
    condition: watch::Sender<Condition>,
    memberships: Mutex<Vec<FixedMembership>>,
}

impl MemoryTransport {
    /// Opens the log.
    #[must_use]
    pub fn open(log: &Arc<MemoryLog>) -> Self {
        let (condition, memberships) = (watch::Sender::default(), Mutex::default());
        Self { log: Arc::clone(log), condition, memberships }
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn log(&self) -> LogId {
        self.log.id
    }

    fn ordering(&self) -> Ordering {
        if self.log.partition_count == 1 { Ordering::Total } else { Ordering::PerPartition }
    }

    fn partition_of(&self, _topic: &str, key: &[u8]) -> TopicPartition {
        let hash = key
            .iter()
            .fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte)));
        TopicPartition::new("memory", hash % self.log.partition_count)
    }

    async fn append(&self, to: &TopicPartition, records: Vec<Record>) -> Result<AppendReceipt> {
        let (sender, receipt) = oneshot::channel();
        let end = {
            let mut partitions = self.log.lock();
            let partition = partitions.entry(to.clone()).or_default();
            partition.records.extend(records);
            partition.records.len() as u64
        };
        self.log.grew.notify_waiters();
        // Nobody waits for a receipt that was dropped.
        drop(sender.send(Ok(Offset(end))));
        Ok(AppendReceipt(receipt))
    }

    async fn newest(&self, of: &TopicPartition) -> Result<Option<Position>> {
        let partitions = self.log.lock();
        let records = partitions.get(of).map(|partition| partition.records.iter());
        Ok(records.and_then(|records| records.map(|record| record.position).max()))
    }

    async fn join(&self, _group: &str) -> Result<Membership> {
        let all = (0..self.log.partition_count).map(|n| TopicPartition::new("memory", n));
        let (membership, keep) = Membership::fixed(all.collect());
        self.memberships.lock().unwrap_or_else(PoisonError::into_inner).push(keep);
        Ok(membership)
    }

    async fn partitions(&self) -> Result<Vec<TopicPartition>> {
        Ok((0..self.log.partition_count).map(|n| TopicPartition::new("memory", n)).collect())
    }

    async fn read(&self, of: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>> {
        let end = self.end(of).await?;
        if from > end {
            let context = format!("offset {from} of {of} is behind the end {end}");
            return Err(Error::new("CDC-2008", Origin::Transport, Retry::AfterOperator, context));
        }
        Ok(Box::new(Reader { log: Arc::clone(&self.log), of: of.clone(), next: from.0 }))
    }

    async fn release(&self, of: &TopicPartition, before: Offset) -> Result<()> {
        if let Some(partition) = self.log.lock().get_mut(of) {
            partition.released = partition.released.max(before.0);
        }
        Ok(())
    }

    async fn end(&self, of: &TopicPartition) -> Result<Offset> {
        Ok(Offset(self.log.lock().get(of).map_or(0, |partition| partition.records.len() as u64)))
    }

    fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }
}

struct Reader {
    log: Arc<MemoryLog>,
    of: TopicPartition,
    next: u64,
}

impl Reader {
    fn available(&mut self, bytes_max: usize) -> Option<RecordBatch> {
        let partitions = self.log.lock();
        let all = &partitions.get(&self.of)?.records;
        let mut bytes = 0;
        let mut records = Vec::new();
        for record in all.iter().skip(usize::try_from(self.next).unwrap_or(usize::MAX)) {
            bytes += record.payload.len() + record.key.len();
            if bytes > bytes_max && !records.is_empty() {
                break;
            }
            records.push(StoredRecord { offset: Offset(self.next), record: record.clone() });
            self.next += 1;
        }
        let end = Offset(all.len() as u64);
        let batch = RecordBatch { records, next: Offset(self.next), end };
        (!batch.records.is_empty()).then_some(batch)
    }
}

#[async_trait]
impl PartitionReader for Reader {
    async fn next(&mut self, bytes_max: usize) -> Result<RecordBatch> {
        let log = Arc::clone(&self.log);
        loop {
            let grew = log.grew.notified();
            if let Some(batch) = self.available(bytes_max) {
                return Ok(batch);
            }
            grew.await;
        }
    }
}
