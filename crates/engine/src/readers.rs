//! One reader a partition, polled together.

use cdc_core::{Offset, PartitionReader, RecordBatch, Result, TopicPartition, Transport};
use futures::{StreamExt, stream::FuturesUnordered};
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

/// The readers of the partitions that one sink holds.
pub(crate) struct Readers {
    transport: Arc<dyn Transport>,
    bytes_max: usize,
    /// Grows with every assignment of a partition, so that a read begun before is not taken.
    generations: BTreeMap<TopicPartition, u64>,
    generation: u64,
    reads: FuturesUnordered<Pin<Box<dyn Future<Output = Read> + Send>>>,
}

/// A finished read, with the reader to go on with.
pub(crate) struct Read {
    pub(crate) partition: TopicPartition,
    pub(crate) batch: Result<RecordBatch>,
    generation: u64,
    reader: Box<dyn PartitionReader>,
}

/// The reader of a partition while its batch is worked on.
pub(crate) struct Idle {
    partition: TopicPartition,
    generation: u64,
    reader: Box<dyn PartitionReader>,
}

impl Readers {
    pub(crate) fn new(transport: Arc<dyn Transport>, bytes_max: usize) -> Self {
        Self {
            transport,
            bytes_max,
            generations: BTreeMap::new(),
            generation: 0,
            reads: FuturesUnordered::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.reads.is_empty()
    }

    pub(crate) async fn assign(&mut self, partition: TopicPartition, from: Offset) -> Result<()> {
        let reader = self.transport.read(&partition, from).await?;
        self.generation += 1;
        self.generations.insert(partition.clone(), self.generation);
        self.resume(Idle { partition, generation: self.generation, reader });
        Ok(())
    }

    pub(crate) fn revoke(&mut self, partition: &TopicPartition) {
        self.generations.remove(partition);
    }

    /// The next batch of any partition. Cancel-safe: reads go on in the background of this struct.
    pub(crate) async fn next(&mut self) -> Option<(TopicPartition, Result<RecordBatch>, Idle)> {
        loop {
            let Read { partition, batch, generation, reader } = self.reads.next().await?;
            if self.generations.get(&partition) == Some(&generation) {
                let idle = Idle { partition: partition.clone(), generation, reader };
                return Some((partition, batch, idle));
            }
        }
    }

    /// Reads on once the batch is dealt with.
    pub(crate) fn resume(&mut self, idle: Idle) {
        let Idle { partition, generation, mut reader } = idle;
        let bytes_max = self.bytes_max;
        self.reads.push(Box::pin(async move {
            let batch = reader.next(bytes_max).await;
            Read { partition, batch, generation, reader }
        }));
    }
}
