//! What a pipeline consists of.

use cdc_core::{
    Transport,
    catalog::{SharedSinkConnector, SharedSourceConnector},
    clock::Clock,
    dead_letter::DeadLetterStore,
    format::Format,
    retry::RetryPolicy,
    store::{CheckpointStore, SchemaStore},
    transport::Ordering,
};
use std::{fmt, sync::Arc};
use tokio::sync::watch;

/// Everything that [`run`](crate::run) needs.
#[derive(Clone)]
pub struct PipelineSpec {
    /// The pipeline's id.
    pub pipeline_id: String,
    /// First part of every topic name.
    pub topic_prefix: String,
    /// Name of the database that is captured.
    pub database: String,
    /// Where changes come from.
    pub source: SharedSourceConnector,
    /// Where they go; disabled sinks are not in here.
    pub sinks: Vec<SinkSpec>,
    /// The log in between.
    pub transport: Arc<dyn Transport>,
    /// Epochs, capture progress, and checkpoints of sinks that keep none.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// What records of the log look like.
    pub format: Arc<dyn Format>,
    /// Table schemas by number.
    pub schemas: Arc<dyn SchemaStore>,
    /// Changes set aside.
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// Seed of the jitter; anything will do outside a simulation.
    pub seed: u64,
    /// Bytes of changes in flight, over all parts of the pipeline.
    pub memory_budget_bytes: usize,
    /// Retry policy of the source.
    pub retry: RetryPolicy,
    /// When to end by itself.
    pub until: Until,
    /// Why capture is to wait, while it is to.
    pub hold: Option<watch::Receiver<Option<String>>>,
}

impl PipelineSpec {
    /// May other processes run this pipeline beside this one?
    pub(crate) fn is_shared(&self) -> bool {
        self.transport.ordering() == Ordering::PerPartition
    }
}

impl fmt::Debug for PipelineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipelineSpec")
            .field("pipeline_id", &self.pipeline_id)
            .finish_non_exhaustive()
    }
}

/// One sink of a pipeline.
#[derive(Clone)]
pub struct SinkSpec {
    /// The sink's id.
    pub sink_id: String,
    /// How it is opened.
    pub connector: SharedSinkConnector,
    /// How it is retried.
    pub retry: RetryPolicy,
    /// What happens to a change that it refuses for good.
    pub on_rejected: OnRejected,
}

/// What happens to a change that a sink refuses for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRejected {
    /// It becomes a dead letter and the rest goes on.
    #[default]
    Park,
    /// It is dropped with a warning and the rest goes on.
    Skip,
    /// The sink is parked until an operator acts.
    Stop,
}

/// When a pipeline ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// Never: it runs until it is cancelled.
    #[default]
    Cancelled,
    /// Once every sink has committed everything that was committed in the source before the start.
    Current,
}
