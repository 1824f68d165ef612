//! What the log is told of a sink's progress, for those who look for it there.

use super::Target;
use cdc_core::{Result, TopicPartition, checkpoint::Places};
use std::time::Duration;
use tokio::time::Instant;

/// A sink that keeps its own checkpoint tells the log at most this often.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// The places of one sink that the log does not know yet. Only a log that processes share is told.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    untold: Places,
    told_at: Option<Instant>,
}

impl Offsets {
    pub(crate) fn note(&mut self, committed: Places) {
        self.untold.extend(committed);
    }

    pub(crate) fn forget(&mut self, partition: &TopicPartition) {
        self.untold.remove(partition);
    }

    pub(crate) fn due_at(&self) -> Option<Instant> {
        let at = self.told_at.map_or_else(Instant::now, |told| told + TELL_INTERVAL);
        (!self.untold.is_empty()).then_some(at)
    }

    /// Tells the log. For a sink without a checkpoint of its own this is the commit.
    pub(crate) async fn tell(&mut self, target: &Target) -> Result<()> {
        if self.untold.is_empty() {
            return Ok(());
        }
        self.told_at = Some(Instant::now());
        let group = &target.spec.sink_id;
        target.shared.spec.transport.commit(group, &self.untold).await?;
        self.untold.clear();
        Ok(())
    }
}
