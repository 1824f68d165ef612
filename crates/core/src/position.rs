//! Where a change sits in its source.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// Where a change sits in its source: the place of its commit, then its number in the transaction.
///
/// Positions only grow within a partition. Several changes share one commit, and on some databases
/// one log address, so neither alone would tell two changes apart. Resume and deduplication compare
/// nothing else. Only the source that made a position gives `commit` a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The commit's place in the database's log, as a number that grows from commit to commit.
    pub commit: u128,
    /// The change's number in its transaction, from 1. A heartbeat carries 0.
    pub ordinal: u64,
}

impl Position {
    /// Makes a position from its two parts.
    #[must_use]
    pub const fn new(commit: u128, ordinal: u64) -> Self {
        Self { commit, ordinal }
    }

    /// Bytes that sort as the position does.
    #[must_use]
    pub fn to_sortable_bytes(self) -> [u8; 24] {
        let mut out = [0; 24];
        let (commit, ordinal) = out.split_at_mut(16);
        commit.copy_from_slice(&self.commit.to_be_bytes());
        ordinal.copy_from_slice(&self.ordinal.to_be_bytes());
        out
    }

    /// The reverse of [`to_sortable_bytes`](Self::to_sortable_bytes).
    #[must_use]
    pub fn from_sortable_bytes(bytes: [u8; 24]) -> Self {
        let mut commit = [0; 16];
        let mut ordinal = [0; 8];
        let (high, low) = bytes.split_at(16);
        commit.copy_from_slice(high);
        ordinal.copy_from_slice(low);
        Self { commit: u128::from_be_bytes(commit), ordinal: u64::from_be_bytes(ordinal) }
    }
}

/// Hexadecimal commit and decimal ordinal: `1a2b3c:7`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{}", self.commit, self.ordinal)
    }
}

impl std::str::FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (commit, ordinal) = text.split_once(':').ok_or(InvalidPosition)?;
        Ok(Self {
            commit: u128::from_str_radix(commit, 16).map_err(|_| InvalidPosition)?,
            ordinal: ordinal.parse().map_err(|_| InvalidPosition)?,
        })
    }
}

/// As text: few readers of JSON take a number of 128 bits.
impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The text was not `hex:decimal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position: expected `commit:ordinal`, as in `1a2b3c:7`")]
pub struct InvalidPosition;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sortable_bytes_keep_the_order(a: (u128, u64), b: (u128, u64)) {
            let (a, b) = (Position::new(a.0, a.1), Position::new(b.0, b.1));
            prop_assert_eq!(a.cmp(&b), a.to_sortable_bytes().cmp(&b.to_sortable_bytes()));
            prop_assert_eq!(Position::from_sortable_bytes(a.to_sortable_bytes()), a);
        }

        #[test]
        fn text_round_trips(commit: u128, ordinal: u64) {
            let position = Position::new(commit, ordinal);
            prop_assert_eq!(position.to_string().parse(), Ok(position));
            let json = serde_json::to_string(&position).unwrap();
            prop_assert_eq!(&json, &format!("\"{position}\""));
            prop_assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
        }
    }
}
