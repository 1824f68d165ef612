//! Where a registry keeps what it knows.

use super::{content::Content, settings::Settings};
use cdc_core::Result;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// A version of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The number of its schema.
    pub id: i32,
    /// Deleted, but not for good.
    pub deleted: bool,
}

/// One thing that changed. `None` is: it is gone.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// The content of a number.
    Content(i32, Option<Arc<Content>>),
    /// A version of a subject.
    Slot(String, i32, Option<Slot>),
    /// Settings of a subject, or of all by the empty name.
    Settings(String, Option<Settings>),
    /// The highest number that was ever given, so that none is given twice.
    LastId(i32),
}

/// Keeps what a registry knows. Calls block; one registry uses a store at a time.
pub trait Store: Send + Sync + 'static {
    /// Everything that was saved and is not gone.
    fn load(&self) -> Result<Vec<Write>>;

    /// Saves all of it or nothing. What is saved is durable on return.
    fn save(&self, writes: &[Write]) -> Result<()>;
}

/// Keeps nothing beyond the life of the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    writes: Mutex<Vec<Write>>,
}

impl Store for MemoryStore {
    fn load(&self) -> Result<Vec<Write>> {
        Ok(self.writes.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn save(&self, writes: &[Write]) -> Result<()> {
        self.writes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(writes);
        Ok(())
    }
}
