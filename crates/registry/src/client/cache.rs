//! Answers that never change, asked for once however many want them at the same time.

use cdc_core::Result;
use indexmap::IndexMap;
use std::{
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::OnceCell;

/// Keeps the newest answers. Failures are not kept.
pub(super) struct Cache<K, V> {
    cells: Mutex<IndexMap<K, Arc<OnceCell<V>>>>,
    entries_max: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { cells: Mutex::default(), entries_max }
    }

    /// The answer, by one request at a time for each key.
    pub(super) async fn get(&self, key: K, ask: impl Future<Output = Result<V>>) -> Result<V> {
        let cell = {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            if cells.len() >= self.entries_max && !cells.contains_key(&key) {
                cells.shift_remove_index(0);
            }
            Arc::clone(cells.entry(key.clone()).or_default())
        };
        let answer = cell.get_or_try_init(|| ask).await.cloned();
        if answer.is_err() {
            let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody else may have got an answer in the meantime.
            if cells.get(&key).is_some_and(|cell| !cell.initialized()) {
                cells.swap_remove(&key);
            }
        }
        answer
    }

    /// Keeps an answer that came with another one.
    pub(super) fn put(&self, key: K, value: V) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if cells.len() < self.entries_max {
            cells.insert(key, Arc::new(OnceCell::new_with(Some(value))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Error, Origin, Retry};
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn many_who_ask_at_once_make_one_request() {
        let cache = Cache::new(8);
        let asked = AtomicU32::new(0);
        let ask = || {
            cache.get("key", async {
                tokio::task::yield_now().await;
                Ok(asked.fetch_add(1, Ordering::SeqCst))
            })
        };
        let (a, b, c) = tokio::join!(ask(), ask(), ask());
        assert_eq!([a.unwrap(), b.unwrap(), c.unwrap()], [0, 0, 0]);
    }

    #[tokio::test]
    async fn failures_are_forgotten_and_old_answers_make_room() {
        let cache: Cache<u32, u32> = Cache::new(2);
        let fail = async { Err(Error::new("CDC-6010", Origin::Transport, Retry::Backoff, "no")) };
        assert!(cache.get(1, fail).await.is_err());
        for key in [1, 2, 3] {
            assert_eq!(cache.get(key, async { Ok(key) }).await.unwrap(), key);
        }
        assert_eq!(cache.get(3, async { Ok(0) }).await.unwrap(), 3);
        assert_eq!(cache.get(1, async { Ok(7) }).await.unwrap(), 7, "the oldest had to go");
    }
}
