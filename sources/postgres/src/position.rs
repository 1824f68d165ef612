//! Places in PostgreSQL's log, and what a source remembers to resume.
//!
//! A change's position is (LSN of its transaction's commit record, number in the transaction).
//! A message that belongs to no transaction sits at the last byte of its own record, as number 1.
//! Rows of a snapshot that is consistent at LSN `p` sit at commit `p - 1`: behind every transaction
//! that the snapshot holds, and before the first that it does not, whose commit is at `p` or later.

use crate::{backfill::Progress, error, stream::Members};
use bytes::Bytes;
use cdc_core::{Complete, Position, Result};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A place in the server's log: a byte address that only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The part of a position that this address is.
    #[must_use]
    pub fn commit(self) -> u128 {
        u128::from(self.0)
    }

    /// The position of a heartbeat: everything that was committed before this address.
    #[must_use]
    pub fn heartbeat(self) -> Position {
        Position::new(self.commit(), 0)
    }

    /// Bytes from `earlier` to here; 0 when this is not the later one.
    #[must_use]
    pub fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The address of a position that this source made.
    #[must_use]
    pub fn of(position: Position) -> Self {
        Self(u64::try_from(position.commit).unwrap_or(u64::MAX))
    }
}

/// As the server prints it: `0/16B3748`.
impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

/// The text was not two hexadecimal numbers around a slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log address: expected two hexadecimal numbers, as in 0/16B3748")]
pub struct InvalidLsn;

impl FromStr for Lsn {
    type Err = InvalidLsn;

    fn from_str(text: &str) -> Result<Self, InvalidLsn> {
        let (high, low) = text.split_once('/').ok_or(InvalidLsn)?;
        let half = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !digits {
                return Err(InvalidLsn);
            }
            u32::from_str_radix(text, 16).map_err(|_| InvalidLsn)
        };
        Ok(Self((u64::from(half(high)?) << 32) | u64::from(half(low)?)))
    }
}

impl Serialize for Lsn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The position of a snapshot's row: `ordinal` counts from 1 through all tables of the snapshot.
#[must_use]
pub(crate) fn snapshot_position(consistent_point: Lsn, ordinal: u64) -> Position {
    Position::new(consistent_point.commit().saturating_sub(1), ordinal)
}

/// What a source was doing when a batch was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reading a snapshot that is not complete: it starts over.
    Snapshot,
    /// Following the log: `lsn` is where it goes on.
    Stream,
    /// A snapshot was all that was asked for, and it is complete.
    Done,
}

/// What a source needs to go on where a batch ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// What it was doing.
    pub phase: Phase,
    /// The server's own identity, by which another server is recognised.
    pub system_identifier: String,
    /// The server's timeline at that time.
    pub timeline: u32,
    /// The replication slot in use.
    pub slot: String,
    /// The stream goes on with the first transaction that commits here or later.
    pub lsn: Lsn,
    /// Changes of the transaction that commits at `lsn` which were handed over already.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ordinal: u64,
    /// The server process that streamed, by which our own leftover is recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Backend>,
    /// How far the copy of the tables is that runs beside the stream; `None` when it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Progress>,
    /// Do snapshots rest until an operator says so?
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
    /// Were all rows read once more, so that destinations may hold rows that are gone from the source, and
    /// have to be compared?
    #[serde(default, skip_serializing_if = "is_false")]
    pub comparison_due: bool,
    /// What orders about snapshots are signed with; empty in the state of an older version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub order_key: String,
    /// What is known of the publication's members; `None` where nothing is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Members>,
}

/// A server process. Servers use the numbers of processes again, above all after a restart in a
/// container, so a number alone names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// Its number.
    pub pid: i32,
    /// When it started, in microseconds since 1970 by the server's clock.
    pub started: i64,
}

/// For `serde`, which hands over a reference.
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// For `serde`, which hands over a reference.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Resume {
    /// How much of everything up to here is handed over, given whether every table is copied and whether
    /// there is anything to compare: a replica that was taken out of the pipeline is not waited for.
    pub(crate) fn complete(&self, copied: bool, compares: bool) -> Complete {
        match (copied, self.comparison_due && compares) {
            (false, _) => Complete::No,
            (true, true) => Complete::Rows,
            (true, false) => Complete::Yes,
        }
    }

    /// Changes up to here were handed over, although their transaction is sent again.
    #[must_use]
    pub fn skip_through(&self) -> Position {
        match self.ordinal {
            0 => Position::default(),
            ordinal => Position::new(self.lsn.commit(), ordinal),
        }
    }

    /// Does a server that left this timeline at `left` lack something that was captured?
    #[must_use]
    pub fn has_passed(&self, left: Lsn) -> bool {
        self.lsn > left || (self.lsn == left && self.ordinal > 0)
    }

    /// The form in which the engine keeps it: JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(error::unreadable_resume)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_round_trip_as_text(address: u64) {
            prop_assert_eq!(Lsn(address).to_string().parse(), Ok(Lsn(address)));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let outcome = text.parse::<Lsn>();
            prop_assert_eq!(outcome.is_ok(), outcome.is_ok_and(|lsn| lsn.to_string().len() >= 3));
        }

        #[test]
        fn snapshot_rows_sit_between_what_they_hold_and_what_follows(
            point in 2_u64..u64::MAX, ordinal: u64, later: u32,
        ) {
            let row = snapshot_position(Lsn(point), ordinal);
            prop_assert!(row < Lsn(point).heartbeat());
            prop_assert!(row > Position::new(u128::from(point) - 2, u64::MAX));
            prop_assert!(row < Position::new(u128::from(point) + u128::from(later), 1));
        }
    }

    #[test]
    fn addresses_print_as_the_server_prints_them() {
        assert_eq!(Lsn(0x16_B3748).to_string(), "0/16B3748");
        assert_eq!(Lsn(0xA_0000_00FF).to_string(), "A/FF");
        assert_eq!("+1/+2".parse::<Lsn>(), Err(InvalidLsn));
        assert_eq!("1/100000000".parse::<Lsn>(), Err(InvalidLsn));
    }

    #[test]
    fn resume_state_round_trips_and_damage_is_named() {
        let resume = Resume {
            phase: Phase::Stream,
            system_identifier: "7312345678901234567".to_owned(),
            timeline: 1,
            slot: "cdc_slot".to_owned(),
            lsn: Lsn(0x16_B3748),
            ordinal: 3,
            session: Some(Backend { pid: 7, started: 1 }),
            backfill: Some(Progress::default()),
            comparison_due: true,
            paused: true,
            order_key: "key".to_owned(),
            members: Some(Members::default()),
        };
        assert_eq!(Resume::from_bytes(&resume.to_bytes()).unwrap(), resume);
        assert_eq!(Resume::from_bytes(b"{\"phase\":").unwrap_err().code, "CDC-1025");
    }
}
