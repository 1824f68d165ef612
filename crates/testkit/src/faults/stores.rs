//! State whose saves are refused, or succeed without an answer.

use super::{Dice, dice::injected};
use crate::memory::MemoryStores;
use async_trait::async_trait;
use cdc_core::{
    Checkpoint, Result,
    store::{CaptureProgress, CheckpointStore},
};
use std::sync::Arc;

/// Checkpoints over memory, with faults.
#[derive(Clone, Debug)]
pub struct FaultyStores {
    stores: Arc<MemoryStores>,
    dice: Dice,
}

impl FaultyStores {
    /// Wraps the state.
    #[must_use]
    pub fn new(stores: Arc<MemoryStores>, dice: Dice) -> Self {
        Self { stores, dice }
    }
}

#[async_trait]
impl CheckpointStore for FaultyStores {
    async fn begin_epoch(&self, at_least: u64) -> Result<u64> {
        self.stores.begin_epoch(at_least).await
    }

    async fn load_capture(&self) -> Result<Option<CaptureProgress>> {
        self.stores.load_capture().await
    }

    async fn save_capture(&self, epoch: u64, progress: &CaptureProgress) -> Result<()> {
        self.dice.pause().await;
        self.dice.maybe_fail(2, "capture progress refused")?;
        self.stores.save_capture(epoch, progress).await?;
        if self.dice.percent(2) { Err(injected("capture answer lost")) } else { Ok(()) }
    }

    async fn load(&self, consumer: &str) -> Result<Checkpoint> {
        self.stores.load(consumer).await
    }

    async fn save(&self, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        self.dice.pause().await;
        self.dice.maybe_fail(2, "checkpoint refused")?;
        self.stores.save(consumer, checkpoint).await?;
        if self.dice.percent(2) { Err(injected("checkpoint answer lost")) } else { Ok(()) }
    }
}
