//! How long a failed part waits before it starts again.

use cdc_core::{Error, Retry, retry::RetryPolicy, status::ConnectorState};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// Counts the failures of one part in a row.
pub(crate) struct Restarts {
    policy: RetryPolicy,
    failures: u32,
    dice: StdRng,
}

/// What to do after a failure.
pub(crate) struct Restart {
    pub(crate) state: ConnectorState,
    pub(crate) wait: Duration,
    pub(crate) failures: u32,
}

impl Restarts {
    pub(crate) fn new(policy: RetryPolicy, seed: u64) -> Self {
        Self { policy, failures: 0, dice: StdRng::seed_from_u64(seed) }
    }

    /// `progressed`: did the part do any work since the failure before?
    pub(crate) fn after(&mut self, error: &Error, progressed: bool) -> Restart {
        self.failures = if progressed { 1 } else { self.failures.saturating_add(1) };
        let dice = self.dice.random::<f64>();
        let (state, wait) = match error.retry {
            Retry::Backoff => (ConnectorState::Retrying, self.policy.wait(self.failures, dice)),
            Retry::Never | Retry::AfterOperator => {
                (ConnectorState::Parked, self.policy.wait(u32::MAX, dice))
            }
        };
        let wait = error.retry_after.map_or(wait, |asked| asked.max(wait));
        Restart { state, wait, failures: self.failures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::Origin;

    fn failure(retry: Retry) -> Error {
        Error::new("CDC-4002", Origin::Sink, retry, "injected")
    }

    #[test]
    fn waits_grow_until_something_was_done() {
        let policy = RetryPolicy { jitter: false, ..RetryPolicy::default() };
        let mut restarts = Restarts::new(policy, 1);
        let mut wait = |progressed| restarts.after(&failure(Retry::Backoff), progressed).wait;
        assert_eq!(wait(false).as_secs(), 1);
        assert_eq!(wait(false).as_secs(), 2);
        assert_eq!(wait(false).as_secs(), 4);
        assert_eq!(wait(true).as_secs(), 1);
    }

    #[test]
    fn a_failure_that_needs_a_person_is_looked_at_seldom_and_says_so() {
        let policy = RetryPolicy { jitter: false, ..RetryPolicy::default() };
        let restart = Restarts::new(policy, 1).after(&failure(Retry::AfterOperator), false);
        assert_eq!((restart.state, restart.wait), (ConnectorState::Parked, policy.max_wait));
    }

    #[test]
    fn a_wait_that_the_other_side_asked_for_is_kept() {
        let error = failure(Retry::Backoff).with_retry_after(Duration::from_secs(17));
        let policy = RetryPolicy { jitter: false, ..RetryPolicy::default() };
        assert_eq!(Restarts::new(policy, 1).after(&error, false).wait.as_secs(), 17);
    }
}
