//! The registry: one thing that changes at a time, and any number that read.

use super::{
    refusal::Refusal,
    state::State,
    store::{Store, Write},
};
use cdc_core::Result;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

/// All schemas together take so much memory and no more.
pub(super) const BYTES_MAX: usize = 64 << 20;

/// A subject's name has at most so many bytes.
const SUBJECT_BYTES_MAX: usize = 1_024;

/// A schema registry. Its calls block for as long as its store writes.
pub struct Registry {
    store: Arc<dyn Store>,
    state: RwLock<State>,
    /// Held by whoever changes something, from looking at the state to having saved it.
    changing: Mutex<()>,
}

impl Registry {
    /// Opens the registry that a store keeps.
    pub fn open(store: Arc<dyn Store>) -> Result<Self> {
        let mut state = State::default();
        for write in store.load()? {
            state.apply(&write);
        }
        Ok(Self { store, state: RwLock::new(state), changing: Mutex::new(()) })
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change: it is durable before anyone sees it.
    pub(super) fn change<T>(
        &self,
        plan: impl FnOnce(&State) -> Result<(T, Vec<Write>), Refusal>,
    ) -> Result<T, Refusal> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let planned = plan(&self.state());
        let (answer, writes) = planned?;
        if !writes.is_empty() {
            self.store.save(&writes)?;
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            writes.iter().for_each(|write| state.apply(write));
        }
        Ok(answer)
    }
}

/// Fails when no subject can have this name.
pub(super) fn check_subject(name: &str) -> Result<(), Refusal> {
    let odd =
        name.is_empty() || name.len() > SUBJECT_BYTES_MAX || name.chars().any(char::is_control);
    // Contexts are written in front of a name; there is only the one without a name here.
    if odd || name.starts_with(":.") || ["__GLOBAL", "__EMPTY"].contains(&name) {
        return Err(Refusal::new(42208, format!("The specified subject '{name}' is not valid.")));
    }
    Ok(())
}
