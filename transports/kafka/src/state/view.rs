//! What the records of a pipeline's state topic say together.
//!
//! Every process reads the same records in the same order and so comes to the same view. Compaction removes
//! only records that a tombstone has taken back; the view of what is left must be the same. Therefore it
//! depends on nothing but the records that were not taken back:
//!
//! - two records for the same thing: the earlier counts, and the later stays beside it;
//! - a record of an epoch that another had ended before is refused, and taken back before the record of
//!   the epoch that ended it is.

use super::{
    key::{About, Key, Write},
    letters::Letters,
    steps::Steps,
    value::{self, Begun, Captured, Retried},
};
use bytes::Bytes;
use cdc_core::{
    Checkpoint, Offset, SchemaId, TableSchema, dead_letter::DeadLetterInfo, store::CaptureProgress,
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a record became when it was read in the order of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It says what is now so.
    Counts,
    /// Another record before it has decided otherwise.
    Refused,
}

impl Verdict {
    fn of(counts: bool) -> Self {
        if counts { Self::Counts } else { Self::Refused }
    }
}

/// The state of a pipeline.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    epochs: BTreeMap<(u64, Offset), Write>,
    captures: Steps<(u64, u64), CaptureProgress>,
    consumers: BTreeMap<String, Steps<u64, Checkpoint>>,
    schemas: BTreeMap<u32, Arc<TableSchema>>,
    numbers: BTreeMap<[u8; 32], u32>,
    pub(super) letters: Letters,
    /// Records without effect that nobody has taken back yet.
    refused: BTreeSet<Key>,
    /// What this version cannot read.
    unreadable: BTreeMap<Bytes, Offset>,
}

impl View {
    /// Takes the next record. Says which write it made, or took back, and what became of it; nothing for
    /// what is none of ours.
    pub(super) fn apply(
        &mut self,
        at: Offset,
        key: &Bytes,
        value: Option<&Bytes>,
    ) -> Option<(Write, Verdict)> {
        let parsed = Key::parse(key);
        let Some(value) = value else {
            self.unreadable.remove(key);
            let parsed = parsed?;
            self.take_back(&parsed);
            return Some((parsed.write, Verdict::Counts));
        };
        let read = parsed.and_then(|parsed| {
            let verdict = self.take(at, &parsed, value)?;
            Some((parsed.write, verdict))
        });
        if read.is_none() {
            self.unreadable.insert(key.clone(), at);
        }
        read
    }

    fn take(&mut self, at: Offset, key: &Key, value: &Bytes) -> Option<Verdict> {
        let write = key.write;
        let verdict = match &key.about {
            About::Epoch(epoch) => {
                value::decode_line::<Begun>(value).filter(|begun| begun.epoch == *epoch)?;
                let counts = *epoch > self.newest_epoch();
                self.epochs.insert((*epoch, at), write);
                Verdict::of(counts)
            }
            About::Capture { epoch, step } => {
                let (captured, resume) = value::decode::<Captured>(value)?;
                if *epoch < self.newest_epoch() {
                    return Some(self.refuse(key));
                }
                let progress = CaptureProgress { position: captured.position, resume };
                Verdict::of(self.captures.insert((*epoch, *step), at, write, progress))
            }
            About::Consumer { name, step } => {
                let checkpoint: Checkpoint = value::decode_line(value)?;
                if checkpoint.epoch < self.newest_epoch() {
                    return Some(self.refuse(key));
                }
                let steps = self.consumers.entry(name.clone()).or_default();
                Verdict::of(steps.insert(*step, at, write, checkpoint))
            }
            About::Schema(number) => {
                let schema: TableSchema = value::decode_line(value)?;
                let digest = digest(value);
                if self.schemas.contains_key(number) || self.numbers.contains_key(&digest) {
                    return Some(self.refuse(key));
                }
                self.schemas.insert(*number, Arc::new(schema));
                self.numbers.insert(digest, *number);
                Verdict::Counts
            }
            About::Letter => {
                let (info, payload) = value::decode::<DeadLetterInfo>(value)?;
                Verdict::of(self.letters.insert(at, write, info, payload))
            }
            About::Retry { letter, step } => {
                let retried: Retried = value::decode_line(value)?;
                Verdict::of(self.letters.insert_retry((*letter, *step), at, write, retried))
            }
        };
        Some(verdict)
    }

    fn refuse(&mut self, key: &Key) -> Verdict {
        self.refused.insert(key.clone());
        Verdict::Refused
    }

    fn take_back(&mut self, key: &Key) {
        if self.refused.remove(key) {
            return;
        }
        let write = key.write;
        match &key.about {
            About::Epoch(epoch) => {
                self.epochs.retain(|(other, _), by| other != epoch || *by != write);
            }
            About::Capture { epoch, step } => self.captures.remove((*epoch, *step), write),
            About::Consumer { name, step } => {
                if let Some(steps) = self.consumers.get_mut(name) {
                    steps.remove(*step, write);
                    if steps.is_empty() {
                        self.consumers.remove(name);
                    }
                }
            }
            // Numbers are never given back.
            About::Schema(_) => {}
            About::Letter => self.letters.remove(write),
            About::Retry { letter, step } => self.letters.remove_retry((*letter, *step), write),
        }
    }

    pub(super) fn newest_epoch(&self) -> u64 {
        self.epochs.last_key_value().map_or(0, |((epoch, _), _)| *epoch)
    }

    /// Capture's progress, with its epoch and step.
    pub(super) fn capture(&self) -> Option<((u64, u64), &CaptureProgress)> {
        self.captures.current()
    }

    /// A consumer's checkpoint, with its step.
    pub(super) fn consumer(&self, name: &str) -> Option<(u64, &Checkpoint)> {
        self.consumers.get(name)?.current()
    }

    pub(super) fn schema(&self, id: SchemaId) -> Option<Arc<TableSchema>> {
        self.schemas.get(&id.0).cloned()
    }

    /// The number of a schema in its encoded form.
    pub(super) fn number(&self, encoded: &Bytes) -> Option<SchemaId> {
        self.numbers.get(&digest(encoded)).copied().map(SchemaId)
    }

    pub(super) fn newest_schema(&self) -> u32 {
        self.schemas.last_key_value().map_or(0, |(number, _)| *number)
    }

    /// The offset of a record that this version cannot read.
    pub(super) fn unreadable(&self) -> Option<Offset> {
        self.unreadable.values().next().copied()
    }

    /// Keys of capture's progress that newer progress has replaced.
    pub(super) fn outdated_captures(&self) -> Vec<Key> {
        let keys = self.captures.outdated();
        keys.map(|((epoch, step), write)| Key { about: About::Capture { epoch, step }, write })
            .collect()
    }

    /// Keys of checkpoints of a consumer that a newer one has replaced.
    pub(super) fn outdated_of_consumer(&self, name: &str) -> Vec<Key> {
        let keys = self.consumers.get(name).into_iter().flat_map(Steps::outdated);
        let about = |step| About::Consumer { name: name.to_owned(), step };
        keys.map(|(step, write)| Key { about: about(step), write }).collect()
    }

    /// Keys that an epoch may take back once it has begun: the refused before the epochs that refused
    /// them.
    pub(super) fn outdated(&self, epoch: u64) -> Vec<Key> {
        let mut keys: Vec<Key> = self.refused.iter().cloned().collect();
        keys.extend(self.outdated_captures());
        keys.extend(self.consumers.keys().flat_map(|name| self.outdated_of_consumer(name)));
        keys.extend(self.letters.outdated());
        let older = self.epochs.range(..(epoch, Offset(0)));
        keys.extend(
            older.map(|((older, _), write)| Key { about: About::Epoch(*older), write: *write }),
        );
        keys
    }
}

fn digest(encoded: &Bytes) -> [u8; 32] {
    Sha256::digest(encoded).into()
}
