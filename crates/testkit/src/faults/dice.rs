//! Seeded randomness that all parts of one simulated world share.

use cdc_core::{Error, Origin, Retry};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Shared randomness.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<ChaCha8Rng>>);

impl Dice {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// A number of the range.
    #[must_use]
    pub fn pick(&self, range: Range<u64>) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(range)
    }

    /// Does something happen that happens in so many of a hundred cases?
    #[must_use]
    pub fn percent(&self, chance: u64) -> bool {
        self.pick(0..100) < chance
    }

    /// Lets a little time pass.
    pub async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(self.pick(0..6))).await;
    }

    /// Fails in so many of a hundred cases, as something that may pass.
    pub fn maybe_fail(&self, chance: u64, what: &str) -> Result<(), Error> {
        if self.percent(chance) { Err(injected(what)) } else { Ok(()) }
    }
}

/// A failure that may pass.
#[must_use]
pub fn injected(what: &str) -> Error {
    Error::new("CDC-4002", Origin::Internal, Retry::Backoff, format!("injected: {what}"))
}
