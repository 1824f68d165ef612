//! Epochs, capture's progress, and checkpoints of consumers that keep none themselves.

use super::{
    State, TRIES_MAX,
    journal::Entry,
    key::{About, Key},
    value::{self, Begun, Captured},
    view::{Verdict, View},
};
use crate::error;
use async_trait::async_trait;
use cdc_core::{
    Checkpoint, Result,
    store::{CaptureProgress, CheckpointStore},
};

/// Tombstones that are sent in one go.
const TAKEN_BACK_AT_ONCE: usize = 10_000;

#[async_trait]
impl CheckpointStore for State {
    async fn begin_epoch(&self, at_least: u64) -> Result<u64> {
        for _ in 0..TRIES_MAX {
            let (epoch, entry) = self.journal.look(|view| propose(view, at_least))??;
            if self.journal.write(vec![entry]).await? == [Verdict::Counts] {
                self.tidy(epoch).await;
                return Ok(epoch);
            }
        }
        Err(self.contended())
    }

    async fn load_capture(&self) -> Result<Option<CaptureProgress>> {
        self.journal.look(|view| view.capture().map(|(_, progress)| progress.clone()))
    }

    async fn save_capture(&self, epoch: u64, progress: &CaptureProgress) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let entries = self.journal.look(|view| capture(view, epoch, progress))??;
            if self.journal.write(entries).await?.last() == Some(&Verdict::Counts) {
                return Ok(());
            }
        }
        Err(self.contended())
    }

    async fn load(&self, consumer: &str) -> Result<Checkpoint> {
        let found = |view: &View| view.consumer(consumer).map(|(_, found)| found.clone());
        Ok(self.journal.look(found)?.unwrap_or_default())
    }

    async fn save(&self, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let entries = self.journal.look(|view| checkpoint_of(view, consumer, checkpoint))??;
            if self.journal.write(entries).await?.last() == Some(&Verdict::Counts) {
                return Ok(());
            }
        }
        Err(self.contended())
    }
}

impl State {
    /// Takes back what nobody needs. What is left over goes with the next epoch.
    async fn tidy(&self, epoch: u64) {
        let outdated = self.journal.look(|view| view.outdated(epoch)).unwrap_or_default();
        for some in outdated.chunks(TAKEN_BACK_AT_ONCE) {
            let entries = some.iter().cloned().map(Entry::tombstone).collect();
            if let Err(error) = self.journal.write(entries).await {
                tracing::warn!(error = %error.chain(), "old records of the state topic were not taken back");
                return;
            }
        }
    }
}

pub(super) fn propose(view: &View, at_least: u64) -> Result<(u64, Entry)> {
    let next = view.newest_epoch().checked_add(1).ok_or_else(|| error::used_up("epochs"))?;
    let epoch = next.max(at_least);
    let value = value::encode(&Begun { epoch }, &[]).map_err(error::unwritable)?;
    Ok((epoch, Entry { key: Key::new(About::Epoch(epoch)), value: Some(value) }))
}

fn refuse_unless_newest(view: &View, epoch: u64) -> Result<()> {
    let newest = view.newest_epoch();
    if epoch == newest { Ok(()) } else { Err(error::fenced_epoch(epoch, newest)) }
}

pub(super) fn capture(view: &View, epoch: u64, progress: &CaptureProgress) -> Result<Vec<Entry>> {
    refuse_unless_newest(view, epoch)?;
    let before = view.capture().map(|(step, _)| step);
    let step = before.filter(|(of, _)| *of == epoch).map_or(0, |(_, step)| step) + 1;
    let captured = Captured { position: progress.position };
    let value = value::encode(&captured, &progress.resume).map_err(error::unwritable)?;
    // What the stored progress has replaced goes; that one stays until the new one is read back.
    let mut entries: Vec<_> = view.outdated_captures().into_iter().map(Entry::tombstone).collect();
    let key = Key::new(About::Capture { epoch, step });
    entries.push(Entry { key, value: Some(value) });
    Ok(entries)
}

pub(super) fn checkpoint_of(
    view: &View,
    consumer: &str,
    checkpoint: &Checkpoint,
) -> Result<Vec<Entry>> {
    refuse_unless_newest(view, checkpoint.epoch)?;
    let (step, merged) = match view.consumer(consumer) {
        Some((step, old)) => (step, checkpoint.clone().not_behind(old)),
        None => (0, checkpoint.clone()),
    };
    let mut entries: Vec<_> =
        view.outdated_of_consumer(consumer).into_iter().map(Entry::tombstone).collect();
    let key = Key::new(About::Consumer { name: consumer.to_owned(), step: step + 1 });
    let value = value::encode(&merged, &[]).map_err(error::unwritable)?;
    entries.push(Entry { key, value: Some(value) });
    Ok(entries)
}
