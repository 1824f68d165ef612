//! Changes to records: which schema record goes before, and which partition each belongs to.

use bytes::BytesMut;
use cdc_codec::row;
use cdc_core::{
    Change, Position, Record, Result, SchemaId, TableSchema, TopicPartition, Transport, naming,
    store::SchemaStore, transport::Ordering,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Encodes one source session's changes.
pub(crate) struct Router {
    transport: Arc<dyn Transport>,
    schemas: Arc<dyn SchemaStore>,
    topic_prefix: String,
    ordering: Ordering,
    /// Schemas by the address of their `Arc`, which is kept so that the address stays taken.
    known: BTreeMap<usize, KnownSchema>,
    partitions: BTreeMap<TopicPartition, PartitionTail>,
    buffer: BytesMut,
}

struct KnownSchema {
    schema: Arc<TableSchema>,
    id: SchemaId,
    topic: String,
    /// The one partition of a totally ordered log.
    only: Option<TopicPartition>,
}

/// What is at the end of one partition.
struct PartitionTail {
    newest: Option<Position>,
    announced: BTreeSet<SchemaId>,
}

/// More schema versions than this at once are forgotten and looked up again.
const SCHEMAS_MAX: usize = 20_000;

impl Router {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        schemas: Arc<dyn SchemaStore>,
        topic_prefix: String,
    ) -> Self {
        let ordering = transport.ordering();
        Self {
            transport,
            schemas,
            topic_prefix,
            ordering,
            known: BTreeMap::new(),
            partitions: BTreeMap::new(),
            buffer: BytesMut::new(),
        }
    }

    /// Encodes changes, leaving out what a partition has already. The records of each partition are
    /// in order; the partitions come in the order of their names.
    pub(crate) async fn route(
        &mut self,
        changes: &[Change],
    ) -> Result<BTreeMap<TopicPartition, Vec<Record>>> {
        let mut routed: BTreeMap<TopicPartition, Vec<Record>> = BTreeMap::new();
        self.learn(changes).await?;
        for change in changes {
            let address = Arc::as_ptr(&change.schema).addr();
            let Some(known) = self.known.get(&address) else { continue };
            debug_assert!(Arc::ptr_eq(&known.schema, &change.schema), "an address is one schema's");
            let id = known.id;
            let (to, key) = match (&known.only, self.ordering) {
                (Some(only), Ordering::Total) => (only.clone(), bytes::Bytes::new()),
                (None, _) | (_, Ordering::PerPartition) => {
                    let row = change.row().map(|row| &**row).unwrap_or_default();
                    row::encode_key(&change.schema.key, row, &mut self.buffer);
                    let key = self.buffer.split().freeze();
                    (self.transport.partition_of(&known.topic, &key), key)
                }
            };
            if !self.partitions.contains_key(&to) {
                let newest = self.transport.newest(&to).await?;
                let announced = BTreeSet::new();
                self.partitions.insert(to.clone(), PartitionTail { newest, announced });
            }
            let Some(tail) = self.partitions.get_mut(&to) else { continue };
            if tail.newest.is_some_and(|newest| change.position <= newest) {
                continue;
            }
            let before = tail.newest.replace(change.position).unwrap_or_default();
            let records = routed.entry(to).or_default();
            if tail.announced.insert(id) {
                row::encode_schema(id, &change.schema, &mut self.buffer);
                let payload = self.buffer.split().freeze();
                // Not the change's own position: an append torn between the two would look complete.
                records.push(Record { key: key.clone(), payload, position: before });
            }
            row::encode_change(id, change, &mut self.buffer);
            let payload = self.buffer.split().freeze();
            records.push(Record { key, payload, position: change.position });
        }
        Ok(routed)
    }

    /// Has every schema of the changes numbered, all new ones at once.
    async fn learn(&mut self, changes: &[Change]) -> Result<()> {
        let mut new = self.unknown(changes);
        if new.is_empty() {
            return Ok(());
        }
        if self.known.len() + new.len() > SCHEMAS_MAX {
            self.known.clear();
            new = self.unknown(changes);
        }
        let schemas: Vec<&TableSchema> = new.iter().map(|schema| &***schema).collect();
        let ids = self.schemas.register(&schemas).await?;
        for (schema, id) in new.into_iter().zip(ids) {
            let topic = naming::topic(&self.topic_prefix, &schema.table);
            let only = match self.ordering {
                Ordering::Total => Some(self.transport.partition_of(&topic, &[])),
                Ordering::PerPartition => None,
            };
            let schema = Arc::clone(schema);
            let address = Arc::as_ptr(&schema).addr();
            self.known.insert(address, KnownSchema { schema, id, topic, only });
        }
        Ok(())
    }

    /// The schemas that are not known, each once, in the order in which they come.
    fn unknown<'c>(&self, changes: &'c [Change]) -> Vec<&'c Arc<TableSchema>> {
        let mut seen = BTreeSet::new();
        let mut last = None;
        let mut unknown = Vec::new();
        for change in changes {
            let address = Arc::as_ptr(&change.schema).addr();
            // Most changes are of the table of the one before.
            let again = last.replace(address) == Some(address);
            if !again && !self.known.contains_key(&address) && seen.insert(address) {
                unknown.push(&change.schema);
            }
        }
        unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Operation, TableId, Timestamp, Transaction};
    use cdc_testkit::memory::{MemoryLog, MemoryStores, MemoryTransport};

    fn change(ordinal: u64) -> Change {
        let table = TableId::new("public", "t");
        let columns = Vec::new();
        let schema =
            TableSchema { table, dialect: "test".into(), columns, key: Vec::new(), number: None };
        Change {
            schema: Arc::new(schema),
            operation: Operation::Truncate,
            before: None,
            after: None,
            position: Position::new(1, ordinal),
            log_address: 0,
            transaction: Arc::new(Transaction { id: 1, commit_time: Timestamp::from_micros(0) }),
            ends_transaction: true,
        }
    }

    #[tokio::test]
    async fn an_append_torn_after_the_schema_record_does_not_hide_the_change() {
        let log = MemoryLog::new(1, 1);
        let transport = Arc::new(MemoryTransport::open(&log));
        let router = || {
            Router::new(
                Arc::clone(&transport) as Arc<dyn Transport>,
                MemoryStores::new(),
                "p".into(),
            )
        };
        let routed = router().route(&[change(1)]).await.unwrap();
        let (partition, records) = routed.first_key_value().unwrap();
        assert_eq!(records.len(), 2, "schema and change");
        transport.append(partition, records[..1].to_vec()).await.unwrap();
        let again = router().route(&[change(1)]).await.unwrap();
        assert_eq!(again[partition].len(), 2, "the change is still to be appended");
    }
}
