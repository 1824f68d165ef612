//! When to read, when to let more gather, when to hand over.
//!
//! The server writes one message at a time. Whoever reads as fast as it writes makes it pay a wakeup
//! per row, which costs a quarter of its speed; so while data flows, a small read is followed by a
//! short wait. A stream that is not busy never waits, so that a single change passes at once.

use std::time::Duration;
use tokio::time::Instant;

/// A read of fewer bytes is small: the server had written no more.
const SMALL_READ_BYTES: usize = 32 * 1024;
/// How long small reads are put off.
pub(super) const GATHER: Duration = Duration::from_micros(100);
/// Bytes that arrive within this time of waiting for them belong to what came before.
const QUICK: Duration = Duration::from_micros(300);
/// So many quick reads in a row make a flow.
const QUICK_READS_MIN: u32 = 8;
/// Whole transactions are handed over at the latest after this time, while data flows.
const LINGER: Duration = Duration::from_millis(5);

/// The recent reads of a stream.
#[derive(Debug)]
pub(super) struct Pace {
    gathers: bool,
    quick_reads: u32,
    small: bool,
    waits_since: Instant,
    batch_began: Option<Instant>,
}

impl Pace {
    pub(super) fn new(now: Instant, gathers: bool) -> Self {
        Self { gathers, quick_reads: 0, small: false, waits_since: now, batch_began: None }
    }

    /// The next read is waited for from now on.
    pub(super) fn waits(&mut self, now: Instant) {
        self.waits_since = now;
    }

    /// `bytes` were read.
    pub(super) fn read(&mut self, now: Instant, bytes: usize) {
        let quick = now.saturating_duration_since(self.waits_since) <= QUICK;
        self.quick_reads = if quick { self.quick_reads.saturating_add(1) } else { 0 };
        self.small = bytes < SMALL_READ_BYTES;
        self.batch_began.get_or_insert(now);
    }

    /// Everything was handed over.
    pub(super) fn handed_over(&mut self) {
        self.batch_began = None;
    }

    /// Does data flow, so that more is worth waiting for?
    pub(super) fn flows(&self) -> bool {
        self.gathers && self.quick_reads >= QUICK_READS_MIN
    }

    /// Should the next read be put off?
    pub(super) fn puts_off(&self) -> bool {
        self.flows() && self.small
    }

    /// Have whole transactions waited long enough?
    pub(super) fn lingered(&self, now: Instant) -> bool {
        self.batch_began.is_none_or(|began| now.saturating_duration_since(began) >= LINGER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn single_changes_pass_at_once_and_a_flow_gathers() {
        let start = Instant::now();
        let mut pace = Pace::new(start, true);
        for change in 1..50 {
            let waits = start + Duration::from_millis(change);
            pace.waits(waits);
            pace.read(waits + Duration::from_millis(1), 200);
            assert!(!pace.flows());
        }
        for _ in 0..QUICK_READS_MIN {
            pace.waits(start);
            pace.read(start, 200);
        }
        assert!(pace.flows() && pace.puts_off());
        pace.read(start, SMALL_READ_BYTES);
        assert!(pace.flows() && !pace.puts_off());
        assert!(pace.lingered(start + Duration::from_secs(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_cannot_gather_never_waits() {
        let now = Instant::now();
        let mut pace = Pace::new(now, false);
        for _ in 0..100 {
            pace.read(now, 1);
        }
        assert!(!pace.puts_off());
    }
}
