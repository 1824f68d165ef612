//! How far the topics of a pipeline on Kafka have got, for whoever has to know that a sink has it all.

use crate::{
    backbone::{State, open_kafka},
    failure::Outcome,
    settings::Settings,
};
use cdc_core::{Offset, Position, TopicPartition, Transport, store::CheckpointStore};
use std::{collections::BTreeMap, sync::Arc};

/// The topics of a pipeline, and what its processes remember together.
pub(super) struct Topics {
    transport: Arc<dyn Transport>,
    checkpoints: Arc<dyn CheckpointStore>,
}

impl Topics {
    /// `None` where the log is this machine's own.
    pub(super) async fn open(settings: &Settings) -> Outcome<Option<Self>> {
        let Some(kafka) = settings.platform.kafka() else { return Ok(None) };
        let checkpoints = State::open(settings).await?.checkpoints;
        let transport = open_kafka(settings, &kafka).await?;
        Ok(Some(Self { transport, checkpoints }))
    }

    /// Everything captured up to here is in the topics, as whoever captures has told the others.
    pub(super) async fn captured(&self) -> Option<Position> {
        let progress = self.checkpoints.load_capture().await.ok().flatten();
        progress.map(|progress| progress.position)
    }

    /// Where those partitions end that the group of a sink has not read to their end. Records without a
    /// change move the group's offset and not the sink's own place.
    pub(super) async fn ends(&self, sink_id: &str) -> Option<BTreeMap<TopicPartition, Offset>> {
        let partitions = self.transport.partitions().await.ok()?;
        let mut ends = BTreeMap::new();
        for partition in &partitions {
            let end = self.transport.end(partition).await.ok()?;
            ends.insert(partition.clone(), end);
        }
        let read = self.transport.committed(sink_id, &partitions).await.ok()?;
        ends.retain(|at, end| read.get(at).is_none_or(|place| place.offset < *end));
        Some(ends)
    }
}
