//! Debezium's own records, so that everything that reads Debezium's topics reads ours.

use async_trait::async_trait;
use bytes::Bytes;
use cdc_codec::debezium::{self, Options, Records};
use cdc_core::{
    Change, Header, Position, Record, Result, SchemaId, StoredRecord, TableSchema,
    clock::Clock,
    format::{Decoded, Decoder, Draft, Encoder, Format},
    naming,
};
use std::{collections::BTreeMap, sync::Arc};

/// One change becomes at most this many records.
const PARTS: u64 = 8;
/// More schemas than this at once are forgotten and numbered anew.
const SCHEMAS_MAX: usize = 20_000;

/// Debezium's records in JSON.
pub struct DebeziumFormat {
    topic_prefix: Arc<str>,
    database: String,
    options: Options,
    clock: Arc<dyn Clock>,
}

impl DebeziumFormat {
    /// For the source that `topic_prefix` names in every record.
    #[must_use]
    pub fn new(
        topic_prefix: &str,
        database: &str,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { topic_prefix: topic_prefix.into(), database: database.to_owned(), options, clock }
    }
}

impl Format for DebeziumFormat {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(DebeziumEncoder {
            records: Records::new(&self.topic_prefix, &self.database, self.options.clone()),
            made: Vec::new(),
            clock: Arc::clone(&self.clock),
        })
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(DebeziumDecoder {
            topic_prefix: Arc::clone(&self.topic_prefix),
            decoder: debezium::Decoder::new(&self.options.placeholder),
            known: BTreeMap::new(),
            numbered: 0,
        })
    }
}

/// The position of one record of a change: behind that of the record before it, and below every
/// position of the next change.
fn part_of(change: Position, part: usize) -> Position {
    let part = u64::try_from(part).unwrap_or(PARTS).min(PARTS - 1);
    Position::new(change.commit, change.ordinal.saturating_mul(PARTS) + part)
}

struct DebeziumEncoder {
    records: Records,
    made: Vec<debezium::Record>,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Encoder for DebeziumEncoder {
    async fn learn(&mut self, _schemas: &[&Arc<TableSchema>]) -> Result<()> {
        Ok(())
    }

    fn encode(&mut self, change: &Change, out: &mut Vec<Draft>) -> Result<()> {
        self.records.of(change, self.clock.now(), &mut self.made)?;
        for (part, made) in self.made.drain(..).enumerate() {
            let header =
                |header: debezium::Header| Header { name: header.name, value: header.value };
            let record = Record {
                key: made.key.unwrap_or_default(),
                payload: made.value.unwrap_or_default(),
                headers: made.headers.into_iter().map(header).collect(),
                position: part_of(change.position, part),
            };
            out.push(Draft { topic: made.topic, record });
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Known {
    /// Kept so that its address stays taken.
    schema: Arc<TableSchema>,
    id: SchemaId,
    topic: Arc<str>,
}

struct DebeziumDecoder {
    topic_prefix: Arc<str>,
    decoder: debezium::Decoder,
    /// Schemas by their address.
    known: BTreeMap<usize, Known>,
    numbered: u32,
}

impl DebeziumDecoder {
    fn known(&mut self, schema: &Arc<TableSchema>) -> Known {
        let address = Arc::as_ptr(schema).addr();
        if let Some(known) = self.known.get(&address) {
            debug_assert!(Arc::ptr_eq(&known.schema, schema), "an address is one schema's");
            return known.clone();
        }
        if self.known.len() >= SCHEMAS_MAX {
            self.known.clear();
        }
        self.numbered = self.numbered.wrapping_add(1);
        let known = Known {
            schema: Arc::clone(schema),
            id: SchemaId(self.numbered),
            topic: naming::topic(&self.topic_prefix, &schema.table).into(),
        };
        self.known.insert(address, known.clone());
        known
    }
}

#[async_trait]
impl Decoder for DebeziumDecoder {
    async fn decode(&mut self, record: &StoredRecord) -> Result<Option<Decoded>> {
        let Record { key, payload, position, .. } = &record.record;
        let filled = |bytes: &Bytes| (!bytes.is_empty()).then(|| bytes.clone());
        let (key, payload) = (filled(key), filled(payload));
        let decoded = self.decoder.decode(key.as_deref(), payload.as_deref(), *position)?;
        let debezium::Decoded::Change(change) = decoded else { return Ok(None) };
        let Known { id, topic, .. } = self.known(&change.schema);
        Ok(Some(Decoded { change: *change, topic, schema: id }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_records_lie_between_those_of_changes() {
        let (first, second) = (Position::new(7, 1), Position::new(7, 2));
        let parts: Vec<Position> = [first, second]
            .iter()
            .flat_map(|change| (0..5).map(|part| part_of(*change, part)))
            .collect();
        assert!(parts.is_sorted_by(|a, b| a < b));
        assert!(part_of(Position::new(7, 9), 4) < part_of(Position::new(8, 1), 0));
    }
}
