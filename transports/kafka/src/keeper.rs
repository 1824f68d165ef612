//! The places of groups beside Kafka, for when Kafka has lost a group.

use cdc_core::{LogId, Result, checkpoint::Places, store::PlaceStore};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, task::JoinSet};

/// Places that were committed within this time are saved together.
const GATHER: Duration = Duration::from_millis(500);
/// The wait after a save that failed; each next one is twice as long, up to the longest.
const FAILED_WAIT: Duration = Duration::from_secs(1);
const FAILED_WAIT_MAX: Duration = Duration::from_secs(30);

/// Saves what groups have committed, a moment later and from a task of its own: a store that is away
/// delays no sink. What it holds is behind what Kafka was told and never ahead of it.
pub(crate) struct Keeper {
    work: Arc<Work>,
    #[expect(dead_code, reason = "held, not used")]
    task: JoinSet<()>,
}

struct Work {
    store: Arc<dyn PlaceStore>,
    log: LogId,
    /// The newest places that are not saved yet: one for each partition, however long the store is away.
    waiting: Mutex<BTreeMap<String, Places>>,
    noted: Notify,
    /// One save at a time, so that an older place never comes after a newer one.
    saving: tokio::sync::Mutex<()>,
}

impl Keeper {
    pub(crate) fn start(store: Arc<dyn PlaceStore>, log: LogId) -> Self {
        let work = Work {
            store,
            log,
            waiting: Mutex::default(),
            noted: Notify::new(),
            saving: tokio::sync::Mutex::default(),
        };
        let work = Arc::new(work);
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(&work).follow());
        Self { work, task }
    }

    pub(crate) fn store(&self) -> &dyn PlaceStore {
        &*self.work.store
    }

    /// These places were committed.
    pub(crate) fn note(&self, group: &str, places: &Places) {
        let mut waiting = self.work.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry(group.to_owned()).or_default().extend(places.clone());
        drop(waiting);
        self.work.noted.notify_one();
    }

    /// Saves what waits, now.
    pub(crate) async fn save(&self) -> Result<()> {
        self.work.save().await
    }
}

impl Work {
    async fn follow(self: Arc<Self>) {
        let mut wait = FAILED_WAIT;
        let mut failing = false;
        loop {
            self.noted.notified().await;
            tokio::time::sleep(GATHER).await;
            while let Err(error) = self.save().await {
                if !failing {
                    tracing::warn!(
                        error = %error.chain(),
                        remedy = error.remedy.as_deref().unwrap_or_default(),
                        "offsets are not stored; delivery goes on, and they are stored once that works",
                    );
                }
                failing = true;
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(FAILED_WAIT_MAX);
            }
            if failing {
                tracing::info!("offsets are stored again");
            }
            (wait, failing) = (FAILED_WAIT, false);
        }
    }

    async fn save(&self) -> Result<()> {
        let _alone = self.saving.lock().await;
        let taken = std::mem::take(&mut *self.lock());
        if taken.is_empty() {
            return Ok(());
        }
        // Given back when the save fails or is given up, so that a later one has it.
        let mut taken = Taken { work: self, places: taken };
        self.store.save(self.log, &taken.places).await?;
        taken.places.clear();
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Places>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places on their way into the store.
struct Taken<'w> {
    work: &'w Work,
    places: BTreeMap<String, Places>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut waiting = self.work.lock();
        for (group, places) in std::mem::take(&mut self.places) {
            let newer = waiting.entry(group).or_default();
            for (at, place) in places {
                newer.entry(at).or_insert(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use cdc_core::store::KeptPlace;
    use cdc_core::{Error, Offset, Origin, Place, Position, Retry, TopicPartition};

    /// Fails so often, then takes everything.
    #[derive(Default)]
    struct Memory {
        failures: Mutex<u32>,
        saves: Mutex<Vec<BTreeMap<String, Places>>>,
    }

    #[async_trait]
    impl PlaceStore for Memory {
        async fn save(&self, _log: LogId, places: &BTreeMap<String, Places>) -> Result<()> {
            let mut failures = self.failures.lock().unwrap();
            if let Some(left) = failures.checked_sub(1) {
                *failures = left;
                return Err(Error::new("CDC-3001", Origin::Sink, Retry::Backoff, "away"));
            }
            self.saves.lock().unwrap().push(places.clone());
            Ok(())
        }

        async fn load(&self, _: LogId, _: &str) -> Result<BTreeMap<TopicPartition, KeptPlace>> {
            Ok(BTreeMap::new())
        }

        async fn forget(&self, _: &str, _: Option<&str>) -> Result<u64> {
            Ok(0)
        }
    }

    fn places(partition: u32, offset: u64) -> Places {
        let place = Place { offset: Offset(offset), position: Position::new(1, offset) };
        Places::from([(TopicPartition::new("t", partition), place)])
    }

    fn keeper(failures: u32) -> (Arc<Memory>, Keeper) {
        let store = Arc::new(Memory { failures: Mutex::new(failures), ..Memory::default() });
        let log = LogId(uuid::Uuid::nil());
        (Arc::clone(&store), Keeper::start(store, log))
    }

    #[tokio::test(start_paused = true)]
    async fn commits_of_a_moment_are_saved_together() {
        let (store, keeper) = keeper(0);
        for offset in 1..=100 {
            keeper.note("a", &places(0, offset));
        }
        keeper.note("a", &places(1, 7));
        keeper.note("b", &places(0, 3));
        tokio::time::sleep(GATHER * 2).await;
        let a: Places = places(0, 100).into_iter().chain(places(1, 7)).collect();
        let saved = BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), places(0, 3))]);
        assert_eq!(*store.saves.lock().unwrap(), [saved]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_saved_is_saved_later_and_never_over_what_is_newer() {
        let (store, keeper) = keeper(3);
        keeper.note("a", &places(0, 1));
        keeper.note("a", &places(1, 1));
        assert!(keeper.save().await.is_err());
        keeper.note("a", &places(0, 2));
        tokio::time::sleep(FAILED_WAIT * 10).await;
        let saved: Places = places(0, 2).into_iter().chain(places(1, 1)).collect();
        assert_eq!(*store.saves.lock().unwrap(), [BTreeMap::from([("a".to_owned(), saved)])]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_save_leaves_nothing_behind() {
        let (store, keeper) = keeper(0);
        keeper.note("a", &places(0, 9));
        keeper.save().await.unwrap();
        keeper.save().await.unwrap();
        assert_eq!(store.saves.lock().unwrap().len(), 1);
    }
}
