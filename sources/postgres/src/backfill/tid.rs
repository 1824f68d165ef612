//! Places of rows in a table's file, and ranges of them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Bits of a row's number in its block.
const OFFSET_BITS: u32 = 16;
/// The place behind every row that a table can have.
const END: u64 = (u32::MAX as u64) << OFFSET_BITS;

/// Where a row lies: block, and number in the block, as one number that grows through the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tid(u64);

impl Tid {
    /// The first place of a block.
    pub(crate) fn of_block(block: u64) -> Self {
        Self((block << OFFSET_BITS).min(END))
    }

    fn block(self) -> u64 {
        self.0 >> OFFSET_BITS
    }

    fn offset(self) -> u64 {
        self.0 & ((1 << OFFSET_BITS) - 1)
    }
}

/// As the server writes it: `(3,7)`.
impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{})", self.block(), self.offset())
    }
}

/// The text was not `(block,number)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the place of a row: expected two numbers, as in (3,7)")]
pub(crate) struct InvalidTid;

impl FromStr for Tid {
    type Err = InvalidTid;

    fn from_str(text: &str) -> Result<Self, InvalidTid> {
        let inside = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        let (block, offset) = inside.and_then(|text| text.split_once(',')).ok_or(InvalidTid)?;
        let block: u32 = block.parse().map_err(|_| InvalidTid)?;
        let offset: u16 = offset.parse().map_err(|_| InvalidTid)?;
        Ok(Self(u64::from(block) << OFFSET_BITS | u64::from(offset)))
    }
}

impl Serialize for Tid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The rows from one place up to, and without, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) from: Tid,
    pub(crate) to: Tid,
}

impl Range {
    /// All rows of the first `blocks` blocks.
    pub(crate) fn of_blocks(blocks: u64) -> Self {
        Self { from: Tid(0), to: Tid::of_block(blocks) }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.from >= self.to
    }

    /// The part of at most so many blocks at the front, and the rest.
    pub(crate) fn cut(self, blocks: u64) -> (Self, Self) {
        let at = Tid::of_block(self.from.block() + blocks.max(1)).min(self.to);
        (Self { from: self.from, to: at }, Self { from: at, to: self.to })
    }

    /// About half of it, by blocks as long as there are several; `None` for a single row.
    pub(crate) fn half(self) -> Option<Self> {
        let blocks = self.to.0.div_ceil(1 << OFFSET_BITS) - self.from.block();
        let to = if blocks > 1 {
            Tid::of_block(self.from.block() + blocks / 2)
        } else {
            // Blocks hold a few hundred rows at most, whatever their size.
            const ROWS_MAX: u64 = 2048;
            let end = self.to.0.min((self.from.block() << OFFSET_BITS) + ROWS_MAX);
            Tid(self.from.0 + end.saturating_sub(self.from.0) / 2)
        };
        (to > self.from && to < self.to).then_some(Self { from: self.from, to })
    }

    /// The blocks that it touches.
    pub(crate) fn blocks(self) -> u64 {
        self.to.0.div_ceil(1 << OFFSET_BITS).saturating_sub(self.from.block())
    }

    /// What is left of it without `other`: nothing, one or two ranges.
    pub(crate) fn without(self, other: Self) -> impl Iterator<Item = Self> {
        let before = Self { from: self.from, to: self.to.min(other.from) };
        let after = Self { from: self.from.max(other.to), to: self.to };
        [before, after].into_iter().filter(|left| !left.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range() -> impl Strategy<Value = Range> {
        (0..1_u64 << 40, 1..1_u64 << 30)
            .prop_map(|(from, length)| Range { from: Tid(from), to: Tid(from + length) })
    }

    proptest! {
        #[test]
        fn places_round_trip_as_text(block: u32, offset: u16) {
            let text = format!("({block},{offset})");
            let tid: Tid = text.parse().unwrap();
            prop_assert_eq!(tid.to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let read = text.parse::<Tid>();
            prop_assert!(read.is_err() || text.starts_with('('));
        }

        #[test]
        fn the_parts_of_a_cut_make_the_whole(range in range(), blocks in 0_u64..1000) {
            let (front, rest) = range.cut(blocks);
            prop_assert!(!front.is_empty());
            prop_assert_eq!((front.from, rest.to), (range.from, range.to));
            prop_assert_eq!(front.to, rest.from);
            let left: Vec<Range> = range.without(front).collect();
            prop_assert_eq!(left, if rest.is_empty() { vec![] } else { vec![rest] });
        }

        #[test]
        fn halving_ends_with_a_single_row(mut range in range()) {
            for _ in 0..200 {
                let Some(half) = range.half() else { return Ok(()) };
                prop_assert!(!half.is_empty() && half.from == range.from && half.to < range.to);
                range = half;
            }
            prop_assert!(false, "halving does not end: {range:?}");
        }

        #[test]
        fn what_is_taken_out_is_gone_and_nothing_else(range in range(), other in range(), at in 0..1_u64 << 41) {
            let holds = |range: &Range| range.from <= Tid(at) && Tid(at) < range.to;
            let left = range.without(other).any(|left| holds(&left));
            prop_assert_eq!(left, holds(&range) && !holds(&other));
        }
    }
}
