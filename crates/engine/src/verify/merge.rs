//! Two scans in the order of their key hashes, side by side.

use cdc_core::{
    Result,
    verify::{Key, ReplicaRows, Rows, Seen, SourceRows},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Bytes of keys that are kept for a second look. What differs beyond that is told as "more".
const SUSPECT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What one side holds under one key; of a table without a key, all rows of one content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) rows: u64,
    hash: i64,
    version: i64,
}

impl Held {
    /// Adds a row; the same row may be shown twice by a lookup.
    pub(super) fn add(held: &mut Option<Self>, seen: &Seen) {
        match held {
            None => *held = Some(Self { rows: 1, hash: seen.hash, version: seen.version }),
            Some(one) if one.hash == seen.hash && one.version == seen.version => {}
            Some(held) => {
                held.rows += 1;
                held.hash = held.hash.wrapping_add(seen.hash);
                held.version = held.version.wrapping_add(seen.version);
            }
        }
    }
}

/// The same content on both sides?
pub(super) fn same(ours: Option<Held>, theirs: Option<Held>) -> bool {
    let content = |held: Held| (held.rows, held.hash);
    ours.map(content) == theirs.map(content)
}

/// A key under which both sides hold something else.
#[derive(Clone, Debug)]
pub(super) struct Suspect {
    pub(super) key_hash: i64,
    pub(super) key: Key,
    pub(super) source: Option<Held>,
    pub(super) replica: Option<Held>,
}

/// The keys that differ.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) suspects: Vec<Suspect>,
    /// Were there more than can be kept?
    pub(super) truncated: bool,
}

/// Reads both scans to their ends and keeps the keys that differ.
pub(super) async fn differing(
    source: &mut dyn SourceRows,
    replica: &mut dyn ReplicaRows,
) -> Result<Found> {
    let mut found = Found::default();
    let (mut ours, mut theirs) = (Queue::default(), Queue::default());
    let mut bytes = 0;
    loop {
        ours.fill(source).await?;
        theirs.fill(replica).await?;
        let Some(key_hash) = ours.front().into_iter().chain(theirs.front()).min() else {
            return Ok(found);
        };
        let of_source = ours.take(key_hash, source).await?;
        let of_replica = theirs.take(key_hash, replica).await?;
        let keys: BTreeSet<&Key> = of_source.keys().chain(of_replica.keys()).collect();
        for key in keys {
            let (source, replica) = (of_source.get(key).copied(), of_replica.get(key).copied());
            if same(source, replica) {
                continue;
            }
            bytes += size_of::<Suspect>() + bytes_of(key);
            if bytes > SUSPECT_BYTES_MAX {
                found.truncated = true;
                return Ok(found);
            }
            found.suspects.push(Suspect { key_hash, key: key.clone(), source, replica });
        }
    }
}

fn bytes_of(key: &Key) -> usize {
    key.iter().map(|part| size_of_val(part) + part.as_ref().map_or(0, String::len)).sum()
}

/// The rows of a scan that were fetched and not looked at.
#[derive(Default)]
struct Queue {
    rows: VecDeque<Seen>,
    ended: bool,
}

impl Queue {
    /// Makes sure that there is a row, unless the scan has ended.
    async fn fill<R: Rows + ?Sized>(&mut self, from: &mut R) -> Result<()> {
        if self.rows.is_empty() && !self.ended {
            self.rows = from.next().await?.into();
            self.ended = self.rows.is_empty();
        }
        Ok(())
    }

    fn front(&self) -> Option<i64> {
        self.rows.front().map(|seen| seen.key_hash)
    }

    /// Takes all rows of one key hash, by key.
    async fn take<R: Rows + ?Sized>(
        &mut self,
        key_hash: i64,
        from: &mut R,
    ) -> Result<BTreeMap<Key, Held>> {
        let mut taken: BTreeMap<Key, Held> = BTreeMap::new();
        while self.front() == Some(key_hash) {
            let Some(seen) = self.rows.pop_front() else { break };
            let mut held = taken.get(&seen.key).copied();
            Held::add(&mut held, &seen);
            taken.extend(held.map(|held| (seen.key, held)));
            self.fill(from).await?;
        }
        Ok(taken)
    }
}
