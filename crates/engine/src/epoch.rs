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
    pub(crate) async fn begin(store: Arc<dyn CheckpointStore>) -> Result<Self> {
        let epoch = store.begin_epoch(0).await?;
        Ok(Self { store, current: watch::Sender::new(epoch), raising: Mutex::new(()) })
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
