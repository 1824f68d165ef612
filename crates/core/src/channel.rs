//! The channel between a source and capture, bounded by batches and by bytes.

use crate::ChangeBatch;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Sending half. A source waits in [`send`](Self::send) while the log is behind.
#[derive(Clone, Debug)]
pub struct BatchSender {
    batches: mpsc::Sender<BudgetedBatch>,
    budget: Arc<Semaphore>,
    bytes_max: u32,
}

/// Receiving half.
#[derive(Debug)]
pub struct BatchReceiver {
    batches: mpsc::Receiver<BudgetedBatch>,
}

/// A batch and the share of the byte budget that it occupies until this is dropped.
#[derive(Debug)]
pub struct BudgetedBatch {
    /// The batch.
    pub batch: ChangeBatch,
    /// Gives the bytes back when dropped, that is once the transport owns the batch.
    pub permit: OwnedSemaphorePermit,
}

/// The pipeline is gone; the source should return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline has stopped")]
pub struct Closed;

/// Makes a channel that holds at most `batch_count_max` batches of `bytes_max` bytes together. A
/// batch larger than that waits until it is alone.
#[must_use]
pub fn batch_channel(batch_count_max: usize, bytes_max: u32) -> (BatchSender, BatchReceiver) {
    let (sender, receiver) = mpsc::channel(batch_count_max.max(1));
    let bytes_max = bytes_max.max(1);
    let budget = Arc::new(Semaphore::new(bytes_max as usize));
    (BatchSender { batches: sender, budget, bytes_max }, BatchReceiver { batches: receiver })
}

impl BatchSender {
    /// Waits for room. Cancel-safe: a cancelled send has sent nothing.
    pub async fn send(&self, batch: ChangeBatch) -> Result<(), Closed> {
        let bytes = u32::try_from(batch.size_bytes).unwrap_or(u32::MAX).clamp(1, self.bytes_max);
        let permit =
            Arc::clone(&self.budget).acquire_many_owned(bytes).await.map_err(|_| Closed)?;
        self.batches.send(BudgetedBatch { batch, permit }).await.map_err(|_| Closed)
    }
}

impl BatchReceiver {
    /// The next batch; `None` once every sender is gone. Cancel-safe.
    pub async fn recv(&mut self) -> Option<BudgetedBatch> {
        self.batches.recv().await
    }
}
