//! The embedded state in memory.

use async_trait::async_trait;
use cdc_core::{
    Checkpoint, Error, Origin, Result, Retry, SchemaId, TableSchema,
    dead_letter::{DeadLetter, DeadLetterStore},
    store::{CaptureProgress, CheckpointStore, SchemaStore},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// All of a pipeline's state; what outlives a process.
#[derive(Debug, Default)]
pub struct MemoryStores {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    capture: Option<CaptureProgress>,
    checkpoints: BTreeMap<String, Checkpoint>,
    schemas: Vec<Arc<TableSchema>>,
    letters: BTreeMap<u64, DeadLetter>,
    letter_id: u64,
}

impl MemoryStores {
    /// Empty state.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The same state, as another process sees it.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { state: Arc::clone(&self.state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refuse_older(&self, epoch: u64) -> Result<()> {
        if epoch == self.epoch {
            return Ok(());
        }
        let context = format!("epoch {epoch} is not the newest, {}", self.epoch);
        Err(Error::new("CDC-4101", Origin::Internal, Retry::Never, context))
    }
}

#[async_trait]
impl CheckpointStore for MemoryStores {
    async fn begin_epoch(&self, at_least: u64) -> Result<u64> {
        let mut state = self.lock();
        state.epoch = (state.epoch + 1).max(at_least);
        Ok(state.epoch)
    }

    async fn load_capture(&self) -> Result<Option<CaptureProgress>> {
        Ok(self.lock().capture.clone())
    }

    async fn save_capture(&self, epoch: u64, progress: &CaptureProgress) -> Result<()> {
        let mut state = self.lock();
        state.refuse_older(epoch)?;
        state.capture = Some(progress.clone());
        Ok(())
    }

    async fn load(&self, consumer: &str) -> Result<Checkpoint> {
        Ok(self.lock().checkpoints.get(consumer).cloned().unwrap_or_default())
    }

    async fn save(&self, consumer: &str, checkpoint: &Checkpoint) -> Result<()> {
        let mut state = self.lock();
        state.refuse_older(checkpoint.epoch)?;
        let mut saved = checkpoint.clone();
        if let Some(before) = state.checkpoints.get(consumer) {
            for (partition, place) in &mut saved.partitions {
                let Some(before_place) = before.partitions.get(partition) else { continue };
                place.position = place.position.max(before_place.position);
                if before.log == checkpoint.log {
                    place.offset = place.offset.max(before_place.offset);
                }
            }
        }
        state.checkpoints.insert(consumer.to_owned(), saved);
        Ok(())
    }
}

#[async_trait]
impl SchemaStore for MemoryStores {
    async fn register(&self, schemas: &[&TableSchema]) -> Result<Vec<SchemaId>> {
        let mut state = self.lock();
        let mut register = |schema: &TableSchema| {
            let known = state.schemas.iter().position(|known| **known == *schema);
            let index = known.unwrap_or(state.schemas.len());
            if known.is_none() {
                state.schemas.push(Arc::new(schema.clone()));
            }
            SchemaId(u32::try_from(index + 1).unwrap_or(u32::MAX))
        };
        Ok(schemas.iter().map(|schema| register(schema)).collect())
    }

    async fn get(&self, id: SchemaId) -> Result<Option<Arc<TableSchema>>> {
        let index = usize::try_from(id.0).unwrap_or(0);
        Ok(index.checked_sub(1).and_then(|index| self.lock().schemas.get(index).cloned()))
    }
}

#[async_trait]
impl DeadLetterStore for MemoryStores {
    async fn park(&self, letters: Vec<DeadLetter>) -> Result<()> {
        let mut state = self.lock();
        for mut letter in letters {
            let same = |known: &DeadLetter| {
                known.info.sink_id == letter.info.sink_id
                    && known.info.position == letter.info.position
            };
            if state.letters.values().any(same) {
                continue;
            }
            state.letter_id += 1;
            letter.id = state.letter_id;
            state.letters.insert(letter.id, letter);
        }
        Ok(())
    }

    async fn list(
        &self,
        sink_id: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        let state = self.lock();
        let of_sink =
            |letter: &&DeadLetter| sink_id.is_none_or(|sink_id| letter.info.sink_id == sink_id);
        let above = state.letters.range(after.saturating_add(1)..).map(|(_, letter)| letter);
        Ok(above.filter(of_sink).take(limit).cloned().collect())
    }

    async fn get(&self, id: u64) -> Result<Option<DeadLetter>> {
        Ok(self.lock().letters.get(&id).cloned())
    }

    async fn request_retry(&self, ids: &[u64]) -> Result<usize> {
        let mut state = self.lock();
        let mut count = 0;
        for id in ids {
            if let Some(letter) = state.letters.get_mut(id) {
                letter.info.retry_requested = true;
                count += 1;
            }
        }
        Ok(count)
    }

    async fn remove(&self, ids: &[u64]) -> Result<usize> {
        let mut state = self.lock();
        Ok(ids.iter().filter(|id| state.letters.remove(id).is_some()).count())
    }

    async fn retry_failed(&self, id: u64, error_code: &str, error: &str) -> Result<()> {
        if let Some(letter) = self.lock().letters.get_mut(&id) {
            letter.info.retry_requested = false;
            letter.info.retries += 1;
            letter.info.error_code = error_code.to_owned();
            letter.info.error = error.to_owned();
        }
        Ok(())
    }

    async fn count(&self, sink_id: Option<&str>) -> Result<u64> {
        let state = self.lock();
        let of_sink =
            |letter: &&DeadLetter| sink_id.is_none_or(|sink_id| letter.info.sink_id == sink_id);
        Ok(state.letters.values().filter(of_sink).count() as u64)
    }
}
