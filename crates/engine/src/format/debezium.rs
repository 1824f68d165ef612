//! Debezium's own records, so that everything that reads Debezium's topics reads ours.
//!
//! Our own readers get each change back as it was: a header tells them the number of its table schema in
//! the pipeline's store. Records without it were written by Debezium, and are read by what they say of
//! themselves.

mod decoder;
mod encoder;

use cdc_codec::debezium::{Encoding, Options};
use cdc_core::{
    Position,
    clock::Clock,
    format::{Decoder, Encoder, Format},
    registry::SchemaRegistry,
    store::SchemaStore,
};
use decoder::DebeziumDecoder;
use encoder::DebeziumEncoder;
use std::{fmt, sync::Arc};

/// One change becomes at most this many records.
const PARTS: u64 = 8;
/// More schemas than this at once are forgotten and learnt anew.
const SCHEMAS_MAX: usize = 20_000;

/// What Debezium's records look like, and what they need.
#[derive(Clone)]
pub struct DebeziumSpec {
    /// First part of every topic name, and the source's name in every record.
    pub topic_prefix: String,
    /// The database's name in every record.
    pub database: String,
    /// The choices of Debezium's users.
    pub options: Options,
    /// The format of keys.
    pub key: Encoding,
    /// The format of values.
    pub value: Encoding,
    /// Where schemas get their numbers; needed for every format but JSON alone.
    pub registry: Option<Arc<dyn SchemaRegistry>>,
    /// Table schemas by number, shared by all processes of the pipeline.
    pub schemas: Arc<dyn SchemaStore>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for DebeziumSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebeziumSpec")
            .field("topic_prefix", &self.topic_prefix)
            .field("key", &self.key)
            .field("value", &self.value)
            .finish_non_exhaustive()
    }
}

/// Debezium's records.
#[derive(Clone, Debug)]
pub struct DebeziumFormat {
    spec: Arc<DebeziumSpec>,
}

impl DebeziumFormat {
    /// The format that is specified so.
    #[must_use]
    pub fn new(spec: DebeziumSpec) -> Self {
        Self { spec: Arc::new(spec) }
    }
}

impl Format for DebeziumFormat {
    fn encoder(&self) -> Box<dyn Encoder> {
        Box::new(DebeziumEncoder::new(&self.spec))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(DebeziumDecoder::new(&self.spec))
    }
}

/// The position of one record of a change: behind that of the record before it, and below every
/// position of the next change.
fn part_of(change: Position, part: usize) -> Position {
    let part = u64::try_from(part).unwrap_or(PARTS).min(PARTS - 1);
    Position::new(change.commit, change.ordinal.saturating_mul(PARTS) + part)
}

#[cfg(test)]
mod tests;
