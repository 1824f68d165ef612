//! What may be removed, and when the log is too full of unread records.

use crate::{config::Config, view::View};
use std::time::SystemTime;

/// How full the log is of records that some consumer has not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fullness {
    Fine,
    /// From four fifths on: somebody should look.
    Warn,
    /// Nothing more may be appended until the slowest consumer goes on.
    Full,
}

/// Judges unread bytes against the limit.
pub(crate) fn fullness(unread_bytes: u64, retention_bytes: u64) -> Fullness {
    if unread_bytes >= retention_bytes {
        Fullness::Full
    } else if unread_bytes >= retention_bytes / 5 * 4 {
        Fullness::Warn
    } else {
        Fullness::Fine
    }
}

/// How many of the oldest segments may go now: every record released, and too much or too old.
pub(crate) fn removable(view: &View, config: &Config, now: SystemTime) -> usize {
    let mut total = view.total_bytes();
    let ends = view.segments.iter().skip(1).map(|next| next.base);
    let mut count = 0;
    for (segment, end) in view.segments.iter().zip(ends) {
        let age = now.duration_since(segment.written_at).unwrap_or_default();
        let due = total > config.retention_bytes.0 || age >= config.retention_age();
        if end > view.released.unwrap_or(0) || !due {
            break;
        }
        total -= segment.bytes;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::ByteSize,
        scan::SparseIndex,
        view::{Segment, Tail},
    };
    use std::{path::Path, time::Duration};

    const HOUR: Duration = Duration::from_secs(3600);

    /// Four segments of ten records and 4 KiB each, written at hours 0, 1, 2 and 3.
    fn view(released: Option<u64>) -> View {
        let segment = |number: u32| Segment {
            base: u64::from(number) * 10,
            path: Path::new("").into(),
            bytes: 4096,
            written_at: SystemTime::UNIX_EPOCH + HOUR * number,
            index: SparseIndex::new(u64::from(number) * 10, 1024),
        };
        let segments = (0..4).map(segment).collect();
        View { segments, tail: Tail::default(), released, passed: 0, newest: None, end: 40 }
    }

    fn count(released: u64, retention_bytes: u64, hours: u32, now: u32) -> usize {
        let config = Config {
            retention_bytes: ByteSize(retention_bytes),
            retention_hours: hours,
            ..Config::default()
        };
        removable(&view(Some(released)), &config, SystemTime::UNIX_EPOCH + HOUR * now)
    }

    #[test]
    fn unread_records_stay_whatever_their_age_and_size() {
        assert_eq!(count(0, 1, 0, 1000), 0);
        assert_eq!(count(9, 1, 0, 1000), 0);
        assert_eq!(count(10, 1, 0, 1000), 1);
        assert_eq!(count(29, 1, 0, 1000), 2);
    }

    #[test]
    fn the_segment_being_written_stays() {
        assert_eq!(count(40, 1, 0, 1000), 3);
    }

    #[test]
    fn only_what_is_too_much_or_too_old_goes() {
        assert_eq!(count(40, 1 << 20, 5, 3), 0);
        assert_eq!(count(40, 1 << 20, 5, 5), 1);
        assert_eq!(count(40, 1 << 20, 5, 6), 2);
        assert_eq!(count(40, 2 * 4096, 5, 3), 2);
        assert_eq!(count(40, 4 * 4096, 5, 3), 0);
    }

    #[test]
    fn unread_bytes_follow_the_release() {
        assert_eq!(view(Some(0)).unread_bytes(), 4 * 4096 - 64);
        assert_eq!(view(Some(10)).unread_bytes(), 3 * 4096 - 64);
        assert_eq!(view(Some(40)).unread_bytes(), 0);
    }

    #[test]
    fn what_was_said_before_a_restart_counts_until_there_is_news_but_removes_nothing() {
        let mut view = View { passed: 20, ..view(None) };
        assert_eq!(view.unread_bytes(), 2 * 4096 - 64);
        let config = Config { retention_hours: 0, ..Config::default() };
        assert_eq!(removable(&view, &config, SystemTime::UNIX_EPOCH + HOUR * 9), 0);
        view.released = Some(10);
        assert_eq!(view.unread_bytes(), 3 * 4096 - 64);
    }

    #[test]
    fn a_warning_comes_before_the_pause() {
        assert_eq!(fullness(79, 100), Fullness::Fine);
        assert_eq!(fullness(80, 100), Fullness::Warn);
        assert_eq!(fullness(100, 100), Fullness::Full);
    }
}
