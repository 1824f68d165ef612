//! Rows that were read and wait for their place in the stream.

use super::{table::TablePlan, visibility::Visibility};
use cdc_core::Row;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// Rows of one table as one snapshot of the server saw them.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The piece of work that they were read for.
    pub(crate) number: u64,
    pub(crate) oid: u32,
    /// How they were read; `None` where no rows were looked for.
    pub(crate) plan: Option<Arc<TablePlan>>,
    pub(crate) seen: Arc<Visibility>,
    pub(crate) rows: Vec<Row>,
    /// How often the stream had announced the table when the work began.
    pub(crate) announced: u64,
    /// Its share of what may wait at a time.
    pub(crate) _permit: OwnedSemaphorePermit,
}
