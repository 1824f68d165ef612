//! How far sinks are behind, partition by partition.

use cdc_engine::PipelineStatus;
use serde::Serialize;

/// A sink's lag in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionLag {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// Records that the sink has not committed.
    pub lag: u64,
    /// The next record that it commits.
    pub offset: u64,
    /// The sink.
    pub sink_id: String,
}

impl PartitionLag {
    /// The lag of every sink in a log of one partition.
    #[must_use]
    pub fn of_whole(status: &PipelineStatus) -> Vec<Self> {
        let of = |sink: &cdc_core::status::SinkStatus| Self {
            topic: status.pipeline_id.clone(),
            partition: 0,
            lag: sink.lag_records,
            offset: status.transport.end_offset.saturating_sub(sink.lag_records),
            sink_id: sink.sink_id.clone(),
        };
        status.sinks.iter().map(of).collect()
    }
}
