//! What the server and the engine are told about progress, and when.

use crate::position::Lsn;
use cdc_core::Position;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// How many batches may be on their way before neighbours are taken together.
const SENT_MAX: usize = 4096;
/// A stream that brought nothing for so long is idle.
pub(super) const IDLE_AFTER: Duration = Duration::from_millis(200);
/// An idle stream tells the engine about progress this often.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// An idle server is asked for its position this often.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// News about what is durable go to the server this soon.
const REPORT_DELAY: Duration = Duration::from_secs(1);

/// Which address may be confirmed once which position is durable.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    sent: VecDeque<(Position, Lsn)>,
    flushed: Lsn,
}

impl Confirmed {
    /// `flushed` is durable already; 0 says nothing to the server.
    pub(super) fn new(flushed: Lsn) -> Self {
        Self { sent: VecDeque::new(), flushed }
    }

    /// Everything up to `position` is complete before `address`, once `position` is durable.
    pub(super) fn sent(&mut self, position: Position, address: Lsn) {
        if self.sent.len() >= SENT_MAX {
            self.sent.pop_back();
        }
        self.sent.push_back((position, address));
    }

    /// The address that may be confirmed now.
    pub(super) fn durable(&mut self, position: Option<Position>) -> Lsn {
        while let Some((sent, address)) = self.sent.front().copied()
            && position.is_some_and(|durable| durable >= sent)
        {
            self.flushed = self.flushed.max(address);
            self.sent.pop_front();
        }
        self.flushed
    }

    /// The address that was confirmed last.
    pub(super) fn flushed(&self) -> Lsn {
        self.flushed
    }
}

/// When to say what.
#[derive(Debug)]
pub(super) struct Rhythm {
    status_interval: Duration,
    reported: Lsn,
    reported_at: Instant,
    pinged_at: Option<Instant>,
    heard_at: Instant,
    data_at: Instant,
    told: Lsn,
    told_at: Option<Instant>,
}

impl Rhythm {
    pub(super) fn new(now: Instant, status_interval: Duration) -> Self {
        Self {
            status_interval,
            reported: Lsn::default(),
            reported_at: now,
            pinged_at: None,
            heard_at: now,
            data_at: now,
            told: Lsn::default(),
            told_at: None,
        }
    }

    /// Bytes arrived.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// A message of a transaction arrived.
    pub(super) fn data(&mut self, now: Instant) {
        self.data_at = now;
    }

    /// For how long has nothing arrived?
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard_at)
    }

    fn is_idle(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.data_at) >= IDLE_AFTER
    }

    /// Does the server have to hear from us: because it is time, or because more is durable?
    pub(super) fn report_due(&self, now: Instant, durable: Lsn) -> bool {
        let since = now.saturating_duration_since(self.reported_at);
        since >= self.status_interval
            || (durable > self.reported && since >= REPORT_DELAY.min(self.status_interval))
    }

    pub(super) fn reported(&mut self, now: Instant, durable: Lsn) {
        self.reported = durable;
        self.reported_at = now;
    }

    /// Is it time to ask an idle server where it stands?
    pub(super) fn ping_due(&self, now: Instant) -> bool {
        let asked =
            self.pinged_at.is_some_and(|at| now.saturating_duration_since(at) < PING_INTERVAL);
        self.is_idle(now) && !asked
    }

    pub(super) fn pinged(&mut self, now: Instant) {
        self.pinged_at = Some(now);
    }

    /// Is it time to tell the engine that everything before `complete` was received?
    pub(super) fn heartbeat_due(&self, now: Instant, complete: Lsn) -> bool {
        let Some(told_at) = self.told_at else { return true };
        let fresh = self.data_at > told_at && self.is_idle(now);
        complete > self.told
            && (fresh || now.saturating_duration_since(told_at) >= HEARTBEAT_INTERVAL)
    }

    /// The engine was told by a heartbeat.
    pub(super) fn told(&mut self, now: Instant, address: Lsn) {
        self.told = self.told.max(address);
        self.told_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// What is confirmed never exceeds what belongs to a durable position, and reaches it.
        #[test]
        fn only_durable_addresses_are_confirmed(
            steps in prop::collection::vec((1_u64..50, any::<bool>()), 1..200),
        ) {
            let mut confirmed = Confirmed::default();
            let mut address = 0;
            let mut newest = None;
            for (length, durable) in steps {
                address += length;
                let position = Position::new(u128::from(address), 1);
                confirmed.sent(position, Lsn(address + 1));
                if durable {
                    newest = Some((position, Lsn(address + 1)));
                }
                let flushed = confirmed.durable(newest.map(|(position, _)| position));
                prop_assert_eq!(flushed, newest.map_or(Lsn(0), |(_, address)| address));
            }
        }
    }

    #[test]
    fn many_batches_on_their_way_take_bounded_room() {
        let mut confirmed = Confirmed::default();
        for commit in 1..=10_000 {
            confirmed.sent(Position::new(commit, 1), Lsn(u64::try_from(commit).unwrap()));
        }
        assert_eq!(confirmed.sent.len(), SENT_MAX);
        assert_eq!(confirmed.durable(Some(Position::new(9_999, 1))), Lsn(4_095));
        assert_eq!(confirmed.durable(Some(Position::new(10_000, 1))), Lsn(10_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_hears_from_us_in_time_and_soon_after_news() {
        let start = Instant::now();
        let mut rhythm = Rhythm::new(start, Duration::from_secs(10));
        assert!(!rhythm.report_due(start, Lsn(0)));
        assert!(rhythm.report_due(start + Duration::from_secs(10), Lsn(0)));
        assert!(!rhythm.report_due(start + Duration::from_millis(500), Lsn(5)));
        assert!(rhythm.report_due(start + Duration::from_secs(1), Lsn(5)));
        rhythm.reported(start, Lsn(5));
        assert!(!rhythm.report_due(start + Duration::from_secs(1), Lsn(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_stream_pings_and_beats_about_once_a_second() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut rhythm = Rhythm::new(start, Duration::from_secs(10));
        assert!(!rhythm.ping_due(at(100)));
        assert!(rhythm.ping_due(at(200)));
        rhythm.pinged(at(200));
        assert!(!rhythm.ping_due(at(400)));
        assert!(rhythm.ping_due(at(1200)));

        assert!(rhythm.heartbeat_due(at(200), Lsn(11)));
        rhythm.told(at(200), Lsn(11));
        assert!(!rhythm.heartbeat_due(at(600), Lsn(12)));
        assert!(!rhythm.heartbeat_due(at(1200), Lsn(11)));
        assert!(rhythm.heartbeat_due(at(1200), Lsn(12)));
        rhythm.told(at(1200), Lsn(12));
        rhythm.data(at(1300));
        assert!(!rhythm.heartbeat_due(at(1400), Lsn(13)));
        assert!(rhythm.heartbeat_due(at(1500), Lsn(13)));
    }
}
