//! Changes to Debezium's records.

use super::{DebeziumSpec, SCHEMAS_MAX, part_of};
use crate::error;
use async_trait::async_trait;
use cdc_codec::debezium::{Notices, Planned, Record as Made, Records, Registration};
use cdc_core::{
    Change, Position, Record, Result, SchemaId, TableSchema,
    format::{Draft, Encoder},
    registry::SchemaRegistry,
};
use futures::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use std::sync::Arc;

/// So many schemas are registered at the same time.
const REGISTERED_AT_ONCE: usize = 16;

/// Makes the records of one session's changes.
pub(super) struct DebeziumEncoder {
    spec: Arc<DebeziumSpec>,
    records: Records,
    made: Vec<Made>,
    learnt: usize,
    knows_transactions: bool,
}

impl DebeziumEncoder {
    pub(super) fn new(spec: &Arc<DebeziumSpec>) -> Self {
        let DebeziumSpec { topic_prefix, database, options, key, value, .. } = &**spec;
        Self {
            spec: Arc::clone(spec),
            records: Records::encoded(topic_prefix, database, options.clone(), *key, *value),
            made: Vec::new(),
            learnt: 0,
            knows_transactions: false,
        }
    }

    /// The numbers of what was planned, in its order.
    async fn register(&self, planned: &[Planned]) -> Result<Vec<Vec<u32>>> {
        let all: Vec<&Registration> =
            planned.iter().flat_map(|planned| planned.registrations()).collect();
        if all.is_empty() {
            return Ok(planned.iter().map(|_| Vec::new()).collect());
        }
        let registry = self.spec.registry.as_ref();
        let registry: &dyn SchemaRegistry = &**registry.ok_or_else(error::no_registry)?;
        let mut requests: Vec<BoxFuture<'_, Result<u32>>> = Vec::with_capacity(all.len());
        for new in all {
            requests.push(registry.register(&new.subject, &new.schema));
        }
        let numbers: Vec<u32> =
            stream::iter(requests).buffered(REGISTERED_AT_ONCE).try_collect().await?;
        let mut numbers = numbers.into_iter();
        let of_each = |planned: &Planned| {
            let count = planned.registrations().len();
            numbers.by_ref().take(count).collect()
        };
        Ok(planned.iter().map(of_each).collect())
    }

    /// Moves what was made into the records of a log.
    fn hand_over(&mut self, change: Position, out: &mut Vec<Draft>) {
        for (part, made) in self.made.drain(..).enumerate() {
            let record = Record {
                key: made.key.unwrap_or_default(),
                payload: made.value.unwrap_or_default(),
                headers: made.headers,
                position: part_of(change, part),
            };
            out.push(Draft { topic: made.topic, record });
        }
    }
}

#[async_trait]
impl Encoder for DebeziumEncoder {
    async fn learn(&mut self, schemas: &[&Arc<TableSchema>]) -> Result<()> {
        let tables: Vec<&TableSchema> = schemas.iter().map(|schema| &***schema).collect();
        let ids = self.spec.schemas.register(&tables).await?;
        let mut planned: Vec<Planned> =
            schemas.iter().map(|schema| self.records.plan(schema)).collect();
        let mut ids: Vec<Option<SchemaId>> = ids.into_iter().map(Some).collect();
        if self.records.tells_transactions() && !self.knows_transactions {
            planned.push(self.records.plan_notices(Notices::Transactions));
            ids.push(None);
        }
        let numbers = self.register(&planned).await?;
        if self.learnt + schemas.len() > SCHEMAS_MAX {
            self.records.forget();
            self.learnt = 0;
        }
        self.learnt += schemas.len();
        self.knows_transactions = true;
        for ((planned, numbers), id) in planned.into_iter().zip(&numbers).zip(ids) {
            self.records.accept(planned, numbers, id);
        }
        Ok(())
    }

    fn encode(&mut self, change: &Change, out: &mut Vec<Draft>) -> Result<()> {
        let told = self.records.of(change, self.spec.clock.now(), &mut self.made);
        self.hand_over(change.position, out);
        told
    }
}
