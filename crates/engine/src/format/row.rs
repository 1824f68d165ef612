//! The format of our own logs: rows as they are, each schema as a record before its first change.

use crate::error;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cdc_codec::row::{self, Kind};
use cdc_core::{
    Change, Record, Result, SchemaId, StoredRecord, TableSchema, Transaction,
    format::{Decoded, Decoder, Draft, Encoder, Format},
    naming,
    store::SchemaStore,
    transport::Ordering,
};
use std::{collections::BTreeMap, sync::Arc};

/// More schema versions than this at once are forgotten and fetched again.
const SCHEMAS_MAX: usize = 20_000;

/// Rows as they are. Schemas are numbered by the pipeline's store.
pub struct RowFormat {
    store: Arc<dyn SchemaStore>,
    topic_prefix: Arc<str>,
    ordering: Ordering,
}

impl RowFormat {
    /// For a log of this ordering: a totally ordered one has one partition, and needs no keys.
    #[must_use]
    pub fn new(store: Arc<dyn SchemaStore>, topic_prefix: &str, ordering: Ordering) -> Self {
        Self { store, topic_prefix: topic_prefix.into(), ordering }
    }
}

impl Format for RowFormat {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(RowEncoder {
            store: Arc::clone(&self.store),
            topic_prefix: Arc::clone(&self.topic_prefix),
            ordering: self.ordering,
            known: BTreeMap::new(),
            buffer: BytesMut::new(),
        })
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(RowDecoder {
            store: Arc::clone(&self.store),
            topic_prefix: Arc::clone(&self.topic_prefix),
            known: BTreeMap::new(),
            transaction: None,
        })
    }
}

#[derive(Clone)]
struct Known {
    schema: Arc<TableSchema>,
    id: SchemaId,
    topic: Arc<str>,
}

struct RowEncoder {
    store: Arc<dyn SchemaStore>,
    topic_prefix: Arc<str>,
    ordering: Ordering,
    /// Schemas by the address of their `Arc`, which is kept so that the address stays taken.
    known: BTreeMap<usize, Known>,
    buffer: BytesMut,
}

impl RowEncoder {
    fn known(&self, change: &Change) -> Result<&Known> {
        let address = Arc::as_ptr(&change.schema).addr();
        self.known.get(&address).ok_or_else(|| error::schema_not_learnt(&change.schema.table))
    }
}

#[async_trait]
impl Encoder for RowEncoder {
    async fn learn(&mut self, schemas: &[&Arc<TableSchema>]) -> Result<()> {
        if self.known.len() + schemas.len() > SCHEMAS_MAX {
            self.known.clear();
        }
        let tables: Vec<&TableSchema> = schemas.iter().map(|schema| &***schema).collect();
        let ids = self.store.register(&tables).await?;
        for (schema, id) in schemas.iter().zip(ids) {
            let topic = naming::topic(&self.topic_prefix, &schema.table).into();
            let schema = Arc::clone(schema);
            self.known.insert(Arc::as_ptr(&schema).addr(), Known { schema, id, topic });
        }
        Ok(())
    }

    fn encode(&mut self, change: &Change, out: &mut Vec<Draft>) -> Result<()> {
        let known = self.known(change)?;
        debug_assert!(Arc::ptr_eq(&known.schema, &change.schema), "an address is one schema's");
        let (id, topic) = (known.id, Arc::clone(&known.topic));
        let key = match self.ordering {
            Ordering::Total => Bytes::new(),
            Ordering::PerPartition => {
                let row = change.row().map(|row| &**row).unwrap_or_default();
                row::encode_key(&change.schema.key, row, &mut self.buffer);
                self.buffer.split().freeze()
            }
        };
        row::encode_change(id, change, &mut self.buffer);
        let payload = self.buffer.split().freeze();
        let record = Record { key, payload, headers: Vec::new(), position: change.position };
        out.push(Draft { topic, record });
        Ok(())
    }

    fn announces(&self, change: &Change) -> Option<SchemaId> {
        self.known(change).ok().map(|known| known.id)
    }

    fn announcement(&mut self, change: &Change) -> Bytes {
        if let Some(id) = self.announces(change) {
            row::encode_schema(id, &change.schema, &mut self.buffer);
        }
        self.buffer.split().freeze()
    }
}

struct RowDecoder {
    store: Arc<dyn SchemaStore>,
    topic_prefix: Arc<str>,
    known: BTreeMap<SchemaId, Known>,
    transaction: Option<Arc<Transaction>>,
}

impl RowDecoder {
    /// A schema that was announced below where this reader began comes from the store.
    async fn find(&mut self, id: SchemaId) -> Result<Known> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let schema = self.store.get(id).await?.ok_or_else(|| error::schema_missing(id))?;
        Ok(self.learn(id, schema))
    }

    fn learn(&mut self, id: SchemaId, schema: Arc<TableSchema>) -> Known {
        if let Some(known) = self.known.get(&id) {
            return known.clone();
        }
        if self.known.len() >= SCHEMAS_MAX {
            self.known.clear();
        }
        let topic = naming::topic(&self.topic_prefix, &schema.table).into();
        let known = Known { schema, id, topic };
        self.known.insert(id, known.clone());
        known
    }
}

#[async_trait]
impl Decoder for RowDecoder {
    async fn decode(&mut self, record: &StoredRecord) -> Result<Option<Decoded>> {
        let record = &record.record;
        let id = match row::kind(&record.payload)? {
            Kind::Schema => {
                let (id, schema) = row::decode_schema(&record.payload)?;
                self.learn(id, Arc::new(schema));
                return Ok(None);
            }
            Kind::Change(id) => id,
        };
        let Known { schema, topic, .. } = self.find(id).await?;
        let change =
            row::decode_change(&record.payload, record.position, &schema, &mut self.transaction)?;
        Ok(Some(Decoded { change, topic, schema: id }))
    }
}
