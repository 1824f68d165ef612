//! The one retry policy.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Exponential waits with a cap and jitter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// How often one record that its sink refuses with a passing error is tried before it is
    /// parked. An unreachable connector is retried without a limit.
    pub max_attempts: u32,
    /// The first wait.
    pub initial_wait: Duration,
    /// No wait is longer.
    pub max_wait: Duration,
    /// Each wait is this many times the one before.
    pub multiplier: f64,
    /// Spread each wait evenly over its upper half, so that restarts do not come in step?
    pub jitter: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 5,
            initial_wait: Duration::from_secs(1),
            max_wait: Duration::from_secs(60),
            multiplier: 2.0,
            jitter: true,
        }
    }
}

impl RetryPolicy {
    /// The wait before the try after `failures` failures in a row (1 = the first retry). `dice` is
    /// a random number from 0 to 1.
    #[must_use]
    pub fn wait(&self, failures: u32, dice: f64) -> Duration {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let factor = self.multiplier.max(1.0).powi(exponent);
        let seconds = (self.initial_wait.as_secs_f64() * factor).min(self.max_wait.as_secs_f64());
        let spread = if self.jitter { 0.5 + 0.5 * dice.clamp(0.0, 1.0) } else { 1.0 };
        Duration::try_from_secs_f64(seconds * spread).unwrap_or(self.max_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_jitter_stays_in_the_upper_half() {
        let policy = RetryPolicy { jitter: false, ..RetryPolicy::default() };
        let waits: Vec<u64> = (1..=8).map(|n| policy.wait(n, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(policy.wait(u32::MAX, 1.0), policy.max_wait);
        let jittered = RetryPolicy::default();
        assert_eq!(jittered.wait(3, 0.0), Duration::from_secs(2));
        assert_eq!(jittered.wait(3, 1.0), Duration::from_secs(4));
    }
}
