//! Payloads of dead letters, read from the state topic when they are asked for.

use super::{key::letter_offset, value};
use crate::{
    error,
    newest::Prober,
    read::{Pool, Reader},
    record::Incoming,
};
use bytes::Bytes;
use cdc_core::{Error, Offset, Result, TopicPartition, dead_letter::DeadLetterInfo};
use rdkafka::types::RDKafkaErrorCode as Code;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A letter that lies further on than this is looked up anew and not read up to.
const GAP_MAX: u64 = 2_000;
/// So many bytes are taken from a reader at once.
const BATCH_BYTES: usize = 1 << 20;

pub(super) struct Payloads {
    of: TopicPartition,
    pool: Pool,
    prober: Arc<Prober>,
    timeout: Duration,
    /// One at a time reads.
    reading: tokio::sync::Mutex<()>,
}

impl Payloads {
    pub(super) fn new(
        of: TopicPartition,
        pool: Pool,
        prober: Arc<Prober>,
        timeout: Duration,
    ) -> Self {
        Self { of, pool, prober, timeout, reading: tokio::sync::Mutex::new(()) }
    }

    /// The payloads of letters in order of their ids; those that are gone are left out.
    pub(super) async fn read(&self, ids: &[u64]) -> Result<BTreeMap<u64, Bytes>> {
        let mut found = BTreeMap::new();
        if ids.is_empty() {
            return Ok(found);
        }
        let _alone = self.reading.lock().await;
        let mut wanted = ids.iter().copied().peekable();
        while let Some(id) = wanted.peek().copied() {
            let mut reader = self.pool.open(&self.of, letter_offset(id), &self.prober).await?;
            let mut next = letter_offset(id);
            while let Some(id) = wanted.peek().copied()
                && letter_offset(id).0 <= next.0.saturating_add(GAP_MAX)
            {
                if letter_offset(id) < next {
                    // Compaction has removed it.
                    wanted.next();
                    continue;
                }
                for record in self.some(&mut reader, &mut next).await? {
                    while wanted.next_if(|id| letter_offset(*id) < record.offset).is_some() {}
                    if let Some(id) = wanted.next_if(|id| letter_offset(*id) == record.offset) {
                        let value = record.value.as_ref().and_then(value::decode::<DeadLetterInfo>);
                        found.extend(value.map(|(_, payload)| (id, payload)));
                    }
                }
            }
        }
        Ok(found)
    }

    async fn some(&self, reader: &mut Reader, next: &mut Offset) -> Result<Vec<Incoming>> {
        let batch = tokio::time::timeout(self.timeout, reader.next_records(BATCH_BYTES)).await;
        let batch = batch.map_err(|_| self.silent())??;
        *next = batch.next;
        Ok(batch.records)
    }

    fn silent(&self) -> Error {
        error::answer(&format!("read dead letters in {}", self.of), Code::OperationTimedOut)
    }
}
