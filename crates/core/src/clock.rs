//! Wall time, as an argument.

use std::time::SystemTime;

/// The only way to read wall time, so that a simulation can own it.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> SystemTime;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads wall time")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
