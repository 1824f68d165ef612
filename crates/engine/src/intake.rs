//! Records to changes: which schema each was written under, and which are duplicates.

use crate::error;
use cdc_codec::row::{self, Kind};
use cdc_core::{
    Delivered, Position, RecordBatch, Result, SchemaId, StoredRecord, TableSchema, Transaction,
    naming, store::SchemaStore,
};
use std::{collections::BTreeMap, sync::Arc};

/// Decodes what one sink reads.
pub(crate) struct Intake {
    store: Arc<dyn SchemaStore>,
    topic_prefix: String,
    known: BTreeMap<SchemaId, Known>,
    transaction: Option<Arc<Transaction>>,
}

#[derive(Clone)]
struct Known {
    schema: Arc<TableSchema>,
    topic: Arc<str>,
}

/// A change that the sink has not had, and the number of its schema.
pub(crate) struct Fresh {
    pub(crate) delivered: Delivered,
    pub(crate) schema: SchemaId,
}

/// More schema versions than this at once are forgotten and fetched again.
const SCHEMAS_MAX: usize = 20_000;

impl Intake {
    pub(crate) fn new(store: Arc<dyn SchemaStore>, topic_prefix: String) -> Self {
        Self { store, topic_prefix, known: BTreeMap::new(), transaction: None }
    }

    /// The changes of a batch that lie above `newest`. A replayed run can sit inside one batch, so each
    /// change is compared with the newest kept so far.
    pub(crate) async fn decode(
        &mut self,
        batch: RecordBatch,
        mut newest: Option<Position>,
    ) -> Result<Vec<Fresh>> {
        let mut fresh = Vec::with_capacity(batch.records.len());
        for StoredRecord { offset, record } in batch.records {
            let id = match row::kind(&record.payload)? {
                Kind::Schema => {
                    let (id, schema) = row::decode_schema(&record.payload)?;
                    self.learn(id, Arc::new(schema));
                    continue;
                }
                Kind::Change(id) => id,
            };
            if newest.is_some_and(|newest| record.position <= newest) {
                continue;
            }
            let Known { schema, topic } = self.find(id).await?;
            let change = row::decode_change(
                &record.payload,
                record.position,
                &schema,
                &mut self.transaction,
            )?;
            newest = Some(record.position);
            fresh.push(Fresh { delivered: Delivered { change, topic, offset }, schema: id });
        }
        Ok(fresh)
    }

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
        let known = Known { schema, topic };
        self.known.insert(id, known.clone());
        known
    }
}
