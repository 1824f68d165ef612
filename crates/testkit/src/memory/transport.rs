//! A log in memory.

use super::{
    group::{Group, Holder},
    writer::{Staged, Writer, Writers, not_begun},
};
use async_trait::async_trait;
use bytes::Bytes;
use cdc_core::{
    Error, LogId, Offset, Origin, PartitionReader, Position, Record, RecordBatch, Result, Retry,
    StoredRecord, TopicPartition, Transport,
    checkpoint::Places,
    transport::{AppendReceipt, Condition, FixedMembership, Lease, Membership, Ordering, Writing},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{self, AtomicU64},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
};

/// How often groups and leases are looked at.
const TICK: Duration = Duration::from_millis(20);

/// What outlives a process: the records.
#[derive(Debug)]
pub struct MemoryLog {
    id: LogId,
    partition_count: u32,
    partitions: Mutex<BTreeMap<TopicPartition, Partition>>,
    groups: Mutex<BTreeMap<String, Group>>,
    leases: Mutex<BTreeMap<String, Holder>>,
    /// Where records go in transactions.
    writers: Option<Mutex<Writers>>,
    opened: AtomicU64,
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
        Arc::new(Self::with(id, partition_count, None))
    }

    /// The same with records that become visible in transactions.
    #[must_use]
    pub fn in_transactions(id: u128, partition_count: u32) -> Arc<Self> {
        Arc::new(Self::with(id, partition_count, Some(Mutex::default())))
    }

    fn with(id: u128, partition_count: u32, writers: Option<Mutex<Writers>>) -> Self {
        Self {
            id: LogId(uuid::Uuid::from_u128(id)),
            partition_count: partition_count.max(1),
            partitions: Mutex::default(),
            groups: Mutex::default(),
            leases: Mutex::default(),
            writers,
            opened: AtomicU64::new(0),
            grew: Notify::new(),
        }
    }

    /// Every record that is visible.
    #[must_use]
    pub fn records(&self) -> Vec<(TopicPartition, Record)> {
        let partitions = self.lock();
        let all = partitions.iter().flat_map(|(at, partition)| {
            partition.records.iter().map(|record| (at.clone(), record.clone()))
        });
        all.collect()
    }

    fn push(&self, to: &TopicPartition, records: Vec<Record>) -> Offset {
        let mut partitions = self.lock();
        let partition = partitions.entry(to.clone()).or_default();
        partition.records.extend(records);
        Offset(partition.records.len() as u64)
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

    /// Takes the partitions of one member of every group away, and the leases of whoever holds one; they
    /// notice it only later. The future ends when the holders of leases have.
    pub fn expel(&self, number: usize) -> impl Future<Output = ()> + use<> {
        for group in self.groups().values_mut() {
            group.expel(number);
        }
        let deposed = std::mem::take(&mut *self.leases());
        async move {
            for holder in deposed.into_values() {
                holder.depose().await;
            }
        }
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<String, Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leases(&self) -> MutexGuard<'_, BTreeMap<String, Holder>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<TopicPartition> {
        (0..self.partition_count).map(|n| TopicPartition::new("memory", n)).collect()
    }

    fn is_shared(&self) -> bool {
        self.partition_count > 1
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One process's hold on a [`MemoryLog`].
#[derive(Debug)]
pub struct MemoryTransport {
    log: Arc<MemoryLog>,
    /// Tells this process from the others.
    number: u64,
    condition: watch::Sender<Condition>,
    /// The writer that began last in this process, where records go in transactions.
    writer: Mutex<Option<Writer>>,
    memberships: Mutex<Vec<FixedMembership>>,
    /// Keeps the groups in motion for as long as this process lives.
    rebalancing: Mutex<JoinSet<()>>,
}

impl MemoryTransport {
    /// Opens the log.
    #[must_use]
    pub fn open(log: &Arc<MemoryLog>) -> Self {
        Self {
            log: Arc::clone(log),
            number: log.opened.fetch_add(1, atomic::Ordering::Relaxed),
            condition: watch::Sender::default(),
            writer: Mutex::default(),
            memberships: Mutex::default(),
            rebalancing: Mutex::default(),
        }
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
        if self.log.writers.is_some() {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let staged = Staged { to: to.clone(), records, receipt: sender };
            writer.as_mut().ok_or_else(not_begun)?.stage(staged)?;
            return Ok(AppendReceipt(receipt));
        }
        let end = self.log.push(to, records);
        self.log.grew.notify_waiters();
        // Nobody waits for a receipt that was dropped.
        drop(sender.send(Ok(end)));
        Ok(AppendReceipt(receipt))
    }

    async fn begin(&self, writer: &str) -> Result<Writing> {
        let Some(writers) = &self.log.writers else { return Ok(Writing::default()) };
        let mut writers = writers.lock().unwrap_or_else(PoisonError::into_inner);
        let (writer, writing) = writers.begin(writer);
        *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        Ok(writing)
    }

    async fn seal(&self, place: Position) -> Result<()> {
        let Some(writers) = &self.log.writers else { return Ok(()) };
        let mut writers = writers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let staged = writers.seal(writer.as_mut().ok_or_else(not_begun)?, place)?;
        for Staged { to, records, receipt } in staged {
            let end = self.log.push(&to, records);
            // Nobody waits for a receipt that was dropped.
            drop(receipt.send(Ok(end)));
        }
        self.log.grew.notify_waiters();
        Ok(())
    }

    async fn newest(&self, of: &TopicPartition) -> Result<Option<Position>> {
        let partitions = self.log.lock();
        let records = partitions.get(of).map(|partition| partition.records.iter());
        Ok(records.and_then(|records| records.map(|record| record.position).max()))
    }

    async fn join(&self, group: &str) -> Result<Membership> {
        if !self.log.is_shared() {
            let (membership, keep) = Membership::fixed(self.log.all());
            self.memberships.lock().unwrap_or_else(PoisonError::into_inner).push(keep);
            return Ok(membership);
        }
        let (sender, events) = mpsc::channel(16);
        self.log.groups().entry(group.to_owned()).or_default().join(self.number, sender);
        let (log, group) = (Arc::clone(&self.log), group.to_owned());
        self.rebalancing.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            loop {
                if let Some(group) = log.groups().get_mut(&group) {
                    group.rebalance(&log.all());
                }
                tokio::time::sleep(TICK).await;
            }
        });
        Ok(Membership { events })
    }

    async fn lead(&self, name: &str) -> Result<Lease> {
        if !self.log.is_shared() {
            return Ok(Lease::own());
        }
        loop {
            {
                let mut leases = self.log.leases();
                if leases.get_mut(name).is_none_or(Holder::is_gone) {
                    let (lease, holder) = Holder::new();
                    leases.insert(name.to_owned(), holder);
                    return Ok(lease);
                }
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn partitions(&self) -> Result<Vec<TopicPartition>> {
        Ok(self.log.all())
    }

    async fn commit(&self, group: &str, places: &Places) -> Result<()> {
        let mut groups = self.log.groups();
        let group = groups.entry(group.to_owned()).or_default();
        if !group.has_all(self.number, places) {
            let context = "a partition is another member's by now";
            return Err(Error::new("CDC-2117", Origin::Transport, Retry::Backoff, context));
        }
        group.offsets.extend(places.clone());
        Ok(())
    }

    async fn committed(&self, group: &str, of: &[TopicPartition]) -> Result<Places> {
        let groups = self.log.groups();
        let Some(group) = groups.get(group) else { return Ok(Places::new()) };
        let place = |at: &TopicPartition| Some((at.clone(), *group.offsets.get(at)?));
        Ok(of.iter().filter_map(place).collect())
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
