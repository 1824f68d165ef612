//! The number that tells a newer start of a pipeline from an older one.

use cdc_core::{Result, store::CheckpointStore};
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// The epoch of this start, shared by all parts.
pub(crate) struct Epoch {
    store: Arc<dyn CheckpointStore>,
    current: watch::Sender<u64>,
    raising: Mutex<()>,
}

impl Epoch {
    /// Before the first [`begin`](Self::begin) it is 0.
    pub(crate) fn new(store: Arc<dyn CheckpointStore>) -> Self {
        Self { store, current: watch::Sender::new(0), raising: Mutex::new(()) }
    }

    /// Begins a new one: at the start of the only process, or when one of several takes capture over.
    pub(crate) async fn begin(&self) -> Result<()> {
        let epoch = self.store.begin_epoch(0).await?;
        self.current.send_replace(epoch);
        Ok(())
    }

    pub(crate) fn current(&self) -> u64 {
        *self.current.borrow()
    }

    /// Makes the epoch higher than one that a sink remembers from a log that is gone: after the data
    /// directory was lost, counting began anew.
    pub(crate) async fn raise_above(&self, theirs: u64) -> Result<u64> {
        let _one_at_a_time = self.raising.lock().await;
        if self.current() > theirs {
            return Ok(self.current());
        }
        let epoch = self.store.begin_epoch(theirs.saturating_add(1)).await?;
        self.current.send_replace(epoch);
        Ok(epoch)
    }
}
