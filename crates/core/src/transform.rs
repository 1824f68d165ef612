//! The contract of a transform.

use crate::{Change, Result, TableSchema};
use std::sync::Arc;

/// Changes what passes between a log and its reader. Pure and synchronous: same input, same output.
pub trait Transform: Send + Sync {
    /// The schema that rows of `input` have after this transform.
    fn schema(&self, input: &Arc<TableSchema>) -> Result<Arc<TableSchema>>;

    /// Rewrites one change, or drops it by returning `None`. Its schema is replaced by the engine.
    fn apply(&self, change: Change) -> Result<Option<Change>>;
}
