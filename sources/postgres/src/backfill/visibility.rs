//! Which transactions a snapshot of the server sees.

use crate::protocol::Malformed;
use std::str::FromStr;

/// What `pg_current_snapshot()` says: a transaction is seen when it had ended by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visibility {
    /// Everything below had ended.
    xmin: u64,
    /// Nothing from here on had begun.
    xmax: u64,
    /// Those in between that had not ended, in order.
    running: Box<[u64]>,
}

impl Visibility {
    /// Does it see a transaction that the stream names by the lower half of its number?
    pub(crate) fn sees(&self, xid: u32) -> bool {
        let number = self.whole(xid);
        number < self.xmin || (number < self.xmax && self.running.binary_search(&number).is_err())
    }

    /// Does it see everything that `earlier` sees?
    pub(crate) fn covers(&self, earlier: &Self) -> bool {
        self.xmin >= earlier.xmin && self.xmax >= earlier.xmax
    }

    /// The number of 64 bits that ends in `xid` and is nearest to the snapshot: transactions that are
    /// two billion apart do not occur at the same time.
    fn whole(&self, xid: u32) -> u64 {
        const SPAN: u64 = 1 << 32;
        let near = (self.xmax & !(SPAN - 1)) | u64::from(xid);
        if near > self.xmax.saturating_add(SPAN / 2) {
            near.saturating_sub(SPAN)
        } else if near.saturating_add(SPAN / 2) < self.xmax {
            near.saturating_add(SPAN)
        } else {
            near
        }
    }
}

impl FromStr for Visibility {
    type Err = Malformed;

    /// Reads `xmin:xmax:running,running`.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let read = || {
            let (xmin, rest) = text.split_once(':')?;
            let (xmax, running) = rest.split_once(':')?;
            let running: Option<Box<[u64]>> =
                running.split_terminator(',').map(|number| number.parse().ok()).collect();
            let mut running = running?;
            running.sort_unstable();
            Some(Self { xmin: xmin.parse().ok()?, xmax: xmax.parse().ok()?, running })
        };
        read().ok_or_else(|| Malformed::new("a snapshot in an unknown form"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_had_ended_is_seen() {
        let seen: Visibility = "10:15:11,13".parse().unwrap();
        let expected = [(9, true), (10, true), (11, false), (12, true), (13, false), (14, true)];
        for (xid, sees) in expected {
            assert_eq!(seen.sees(xid), sees, "{xid}");
        }
        assert!(!seen.sees(15));
        let alone: Visibility = "10:10:".parse().unwrap();
        assert!(alone.sees(9) && !alone.sees(10));
    }

    #[test]
    fn numbers_that_wrapped_around_are_told_apart() {
        let wrapped = (1_u64 << 32) + 5;
        let seen: Visibility = format!("{wrapped}:{}:", wrapped + 2).parse().unwrap();
        assert!(seen.sees(u32::MAX), "from before the wrap");
        assert!(seen.sees(5) && seen.sees(6) && !seen.sees(7));
        let before: Visibility = format!("{0}:{0}:", (1_u64 << 32) - 1).parse().unwrap();
        assert!(!before.sees(3), "from behind the wrap");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let read = text.parse::<Visibility>();
            prop_assert!(read.is_err() || text.contains(':'));
        }

        #[test]
        fn a_number_is_completed_to_the_one_that_is_near(xmax in 1_u64 << 33..1 << 60, back in 0_u64..1 << 31) {
            let seen: Visibility = format!("{xmax}:{xmax}:").parse().unwrap();
            let number = xmax - back;
            let xid = u32::try_from(number & 0xFFFF_FFFF).unwrap();
            prop_assert_eq!(seen.whole(xid), number);
            prop_assert_eq!(seen.sees(xid), back > 0);
        }
    }
}
