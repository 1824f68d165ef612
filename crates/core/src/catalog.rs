//! Connector factories: what the binary's one list of connectors holds.

use crate::{
    Finding, Position, Result, Sink, Source, TableId,
    snapshot::SnapshotOrder,
    verify::{ReadLimits, ReplicaRows, SourceRows},
};
use async_trait::async_trait;
use std::sync::Arc;

/// What every sink is told when it is opened.
#[derive(Clone, Debug)]
pub struct SinkContext {
    /// The pipeline's id; part of every identity that a sink stores.
    pub pipeline_id: String,
    /// The sink's id.
    pub sink_id: String,
    /// First part of every topic name.
    pub topic_prefix: String,
    /// Name of the database that is captured.
    pub database: String,
    /// How many bytes the sink may hold in memory.
    pub memory_bytes: usize,
}

/// Opens and checks sinks of one configuration. Connectors parse their own configuration block
/// into their own implementation of this.
#[async_trait]
pub trait SinkConnector: Send + Sync + 'static {
    /// `webhook`, `postgres` …: configuration value, metric label, crate suffix.
    fn kind(&self) -> &'static str;

    /// Read-only preflight. `tables` are the captured tables as far as the source could tell.
    async fn check(&self, context: &SinkContext, tables: &[CapturedTable]) -> Vec<Finding>;

    /// Opens a session. Called anew after every failure.
    async fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>>;

    /// Can the rows that the sink keeps be compared with those of the source?
    fn compares(&self) -> bool {
        false
    }

    /// Opens a reader of the rows that the sink keeps; `None` when it keeps none that could be compared
    /// with those of the source.
    async fn rows(
        &self,
        _context: &SinkContext,
        _limits: ReadLimits,
    ) -> Result<Option<Box<dyn ReplicaRows>>> {
        Ok(None)
    }
}

/// A table that a source would capture, as its preflight saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedTable {
    /// Which table.
    pub table: TableId,
    /// Does it have a key?
    pub has_key: bool,
}

/// Opens and checks sources of one configuration.
#[async_trait]
pub trait SourceConnector: Send + Sync + 'static {
    /// `postgres`, `mysql` …
    fn kind(&self) -> &'static str;

    /// Read-only preflight, and the tables it found.
    async fn check(&self) -> (Vec<Finding>, Vec<CapturedTable>);

    /// Creates what the source needs on the server (slot, publication). Does nothing where it exists
    /// and is ours. Says what it did, a line each.
    async fn provision(&self) -> Result<Vec<String>>;

    /// Removes what [`provision`](Self::provision) created. Says what it did, a line each.
    async fn retire(&self) -> Result<Vec<String>>;

    /// Opens a source. Called anew after every failure; `provision` has run before.
    async fn open(&self) -> Result<Box<dyn Source>>;

    /// Does a first start bring every row of every table, so that a destination may drop what it holds?
    fn begins_with_rows(&self) -> bool;

    /// Everything committed before this call lies below the returned position.
    async fn current_position(&self) -> Result<Position>;

    /// Gives an order about snapshots to the source that runs, or runs next, and returns the tables that
    /// it is about; `None` when this source takes no orders. Durable on return, and carried out once.
    /// `resume` holds the newest `resume` bytes that are durable.
    async fn order_snapshot(
        &self,
        _order: &SnapshotOrder,
        _resume: &[u8],
    ) -> Result<Option<Vec<TableId>>> {
        Ok(None)
    }

    /// Can the captured rows be compared with replicas?
    fn compares(&self) -> bool {
        false
    }

    /// Opens a reader of the captured rows; `None` when this source cannot be compared with replicas.
    async fn rows(&self, _limits: ReadLimits) -> Result<Option<Box<dyn SourceRows>>> {
        Ok(None)
    }
}

/// A shared sink connector.
pub type SharedSinkConnector = Arc<dyn SinkConnector>;
/// A shared source connector.
pub type SharedSourceConnector = Arc<dyn SourceConnector>;
