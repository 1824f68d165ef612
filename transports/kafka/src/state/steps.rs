//! A thing that is written anew step by step, by several processes that do not know of each other.

use super::key::Write;
use cdc_core::Offset;
use std::{cmp::Reverse, collections::BTreeMap};

/// All records of one thing that were not taken back. The highest step counts, and of two records of one
/// step the earlier: compaction keeps offsets, so that stays so for as long as both are there.
#[derive(Clone, Debug)]
pub(super) struct Steps<K, T>(BTreeMap<(K, Reverse<Offset>), (Write, T)>);

impl<K, T> Default for Steps<K, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy, T> Steps<K, T> {
    /// Takes a record; says whether it is the one that counts now.
    pub(super) fn insert(&mut self, step: K, at: Offset, write: Write, value: T) -> bool {
        self.0.insert((step, Reverse(at)), (write, value));
        self.newest().is_some_and(|(_, newest, _)| newest == write)
    }

    /// Takes a record back.
    pub(super) fn remove(&mut self, step: K, write: Write) {
        self.0.retain(|(other, _), (by, _)| *other != step || *by != write);
    }

    fn newest(&self) -> Option<(K, Write, &T)> {
        self.0.last_key_value().map(|((step, _), (write, value))| (*step, *write, value))
    }

    /// The step and the value that count.
    pub(super) fn current(&self) -> Option<(K, &T)> {
        self.newest().map(|(step, _, value)| (step, value))
    }

    /// Every record that does not count any more.
    pub(super) fn outdated(&self) -> impl Iterator<Item = (K, Write)> + '_ {
        let older = self.0.len().saturating_sub(1);
        self.0.iter().take(older).map(|((step, _), (write, _))| (*step, *write))
    }

    /// Every record.
    pub(super) fn all(&self) -> impl Iterator<Item = (K, Write)> + '_ {
        self.0.iter().map(|((step, _), (write, _))| (*step, *write))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
