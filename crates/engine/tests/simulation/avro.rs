//! Debezium's records in Avro as the format of a simulated log.

use async_trait::async_trait;
use cdc_core::{
    Position, Result, StoredRecord,
    clock::SystemClock,
    format::{Decoded, Decoder, Encoder, Format},
};
use cdc_engine::{DebeziumFormat, DebeziumSpec, Encoding};
use cdc_testkit::memory::{MemoryRegistry, MemoryStores};
use std::sync::Arc;

/// Each change has so many positions for its records.
const PARTS: u64 = 8;

/// The format of one process.
pub(crate) fn format(
    registry: &Arc<MemoryRegistry>,
    stores: &Arc<MemoryStores>,
) -> Arc<dyn Format> {
    let options = cdc_codec::debezium::Options { truncates: true, ..Default::default() };
    let format = DebeziumFormat::new(DebeziumSpec {
        topic_prefix: "cdc".to_owned(),
        database: "simulated".to_owned(),
        options,
        key: Encoding::Avro,
        value: Encoding::Avro,
        registry: Some(registry.clone()),
        schemas: stores.clone(),
        clock: Arc::new(SystemClock),
    });
    Arc::new(Numbered(format))
}

/// Gives changes the positions that the history knows them by. No change here becomes two.
struct Numbered(DebeziumFormat);

impl Format for Numbered {
    fn encoder(&self) -> Box<dyn Encoder> {
        self.0.encoder()
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(NumberedDecoder(self.0.decoder()))
    }
}

struct NumberedDecoder(Box<dyn Decoder>);

#[async_trait]
impl Decoder for NumberedDecoder {
    async fn decode(&mut self, record: &StoredRecord) -> Result<Option<Decoded>> {
        let mut decoded = self.0.decode(record).await?;
        if let Some(decoded) = &mut decoded {
            let Position { commit, ordinal } = decoded.change.position;
            decoded.change.position = Position::new(commit, ordinal / PARTS);
        }
        Ok(decoded)
    }
}
