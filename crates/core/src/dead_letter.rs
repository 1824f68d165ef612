//! Changes that a sink refused for good.

use crate::{Offset, Position, Result};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A parked change: what it was, where it was, and why it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Number within its sink, given by the store; grows.
    pub id: u64,
    /// About the letter.
    pub info: DeadLetterInfo,
    /// The change and its schema, encoded by the codec.
    pub payload: Bytes,
}

/// About a dead letter: what `dead-letters list` shows. Never a row value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterInfo {
    /// The sink that refused it.
    pub sink_id: String,
    /// Topic of the change.
    pub topic: String,
    /// Table of the change, as `namespace.name`.
    pub table: String,
    /// Partition that it was read from.
    pub partition: u32,
    /// Its offset there.
    pub offset: Offset,
    /// Its position in the source.
    pub position: Position,
    /// Code of the error; empty when the change was parked only because its table was.
    pub error_code: String,
    /// The error and its causes.
    pub error: String,
    /// When it was parked, in milliseconds since 1970.
    pub parked_at_ms: u64,
    /// Failed retries since.
    pub retries: u32,
    /// Has an operator asked to deliver it again?
    pub retry_requested: bool,
    /// Are later changes of the same table parked too until this one is retried?
    pub holds_table: bool,
}

/// Keeps dead letters until an operator retries or discards them. Every call is durable on return.
#[async_trait]
pub trait DeadLetterStore: Send + Sync + 'static {
    /// Stores letters in order and numbers them. Parking the same position of the same sink again
    /// changes nothing.
    async fn park(&self, letters: Vec<DeadLetter>) -> Result<()>;

    /// Letters of one sink, or of all, from `after` on in order of id.
    async fn list(
        &self,
        sink_id: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>>;

    /// One letter.
    async fn get(&self, id: u64) -> Result<Option<DeadLetter>>;

    /// Marks letters for another delivery; the running pipeline picks them up.
    async fn request_retry(&self, ids: &[u64]) -> Result<usize>;

    /// Removes letters: delivered at last, or given up by an operator.
    async fn remove(&self, ids: &[u64]) -> Result<usize>;

    /// Notes that a retry failed: clears the request and counts it.
    async fn retry_failed(&self, id: u64, error_code: &str, error: &str) -> Result<()>;

    /// How many letters a sink has, or all sinks.
    async fn count(&self, sink_id: Option<&str>) -> Result<u64>;
}
