//! Dead letters as the records of the topic tell them.

use super::{
    key::{About, Key, Write, letter_id},
    steps::Steps,
    value::Retried,
};
use bytes::Bytes;
use cdc_core::{Offset, Position, dead_letter::DeadLetterInfo};
use std::collections::{BTreeMap, BTreeSet};

/// Payloads of so many bytes stay in memory; those of later letters are read from the topic on demand.
const PAYLOADS_BYTES_MAX: usize = 8 << 20;

/// One sink and one place of its source.
type Place = (String, [u8; 24]);

/// All letters that were not taken back.
#[derive(Clone, Debug, Default)]
pub(super) struct Letters {
    all: BTreeMap<u64, Letter>,
    ids: BTreeMap<Write, u64>,
    /// Letters of one place, of which the first counts.
    places: BTreeMap<Place, BTreeSet<u64>>,
    retries: BTreeMap<u64, Steps<u64, Retried>>,
    kept_bytes: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Letter {
    write: Write,
    info: DeadLetterInfo,
    pub(super) payload_bytes: usize,
    /// `None` where it must be read from the topic.
    pub(super) payload: Option<Bytes>,
}

fn place(sink_id: &str, position: Position) -> Place {
    (sink_id.to_owned(), position.to_sortable_bytes())
}

impl Letters {
    /// Takes a letter; says whether it is the first of its place.
    pub(super) fn insert(
        &mut self,
        at: Offset,
        write: Write,
        info: DeadLetterInfo,
        payload: Bytes,
    ) -> bool {
        let id = letter_id(at);
        let of = self.places.entry(place(&info.sink_id, info.position)).or_default();
        of.insert(id);
        let counts = of.first() == Some(&id);
        let payload_bytes = payload.len();
        let keeps = self.kept_bytes.saturating_add(payload_bytes) <= PAYLOADS_BYTES_MAX;
        let payload = keeps.then_some(payload);
        self.kept_bytes += if keeps { payload_bytes } else { 0 };
        self.ids.insert(write, id);
        self.all.insert(id, Letter { write, info, payload_bytes, payload });
        counts
    }

    /// Takes a letter back.
    pub(super) fn remove(&mut self, write: Write) {
        let Some(id) = self.ids.remove(&write) else { return };
        let Some(letter) = self.all.remove(&id) else { return };
        self.kept_bytes -= letter.payload.map_or(0, |payload| payload.len());
        let of = place(&letter.info.sink_id, letter.info.position);
        if let Some(ids) = self.places.get_mut(&of) {
            ids.remove(&id);
            if ids.is_empty() {
                self.places.remove(&of);
            }
        }
    }

    /// Takes what became of a letter; says whether it counts.
    pub(super) fn insert_retry(
        &mut self,
        (letter, step): (u64, u64),
        at: Offset,
        write: Write,
        retried: Retried,
    ) -> bool {
        self.retries.entry(letter).or_default().insert(step, at, write, retried)
    }

    pub(super) fn remove_retry(&mut self, (letter, step): (u64, u64), write: Write) {
        let Some(steps) = self.retries.get_mut(&letter) else { return };
        steps.remove(step, write);
        if steps.is_empty() {
            self.retries.remove(&letter);
        }
    }

    /// Is something parked at this place of this sink?
    pub(super) fn is_parked(&self, sink_id: &str, position: Position) -> bool {
        self.places.contains_key(&place(sink_id, position))
    }

    /// A letter that counts.
    pub(super) fn get(&self, id: u64) -> Option<&Letter> {
        let letter = self.all.get(&id)?;
        let of = self.places.get(&place(&letter.info.sink_id, letter.info.position))?;
        (of.first() == Some(&id)).then_some(letter)
    }

    /// What is to be told of a letter now.
    pub(super) fn info(&self, id: u64) -> Option<DeadLetterInfo> {
        let mut info = self.get(id)?.info.clone();
        if let Some((_, retried)) = self.retries.get(&id).and_then(Steps::current) {
            info.retries = retried.retries;
            info.retry_requested = retried.retry_requested;
            info.error_code.clone_from(&retried.error_code);
            info.error.clone_from(&retried.error);
        }
        Some(info)
    }

    /// The step that counts of what became of a letter.
    pub(super) fn step(&self, id: u64) -> u64 {
        self.retries.get(&id).and_then(Steps::current).map_or(0, |(step, _)| step)
    }

    /// Letters that count, of one sink or of all, from behind `after` on.
    pub(super) fn after<'a>(
        &'a self,
        sink_id: Option<&'a str>,
        after: u64,
    ) -> impl Iterator<Item = u64> + 'a {
        let behind = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let of_sink = move |(_, letter): &(&u64, &Letter)| {
            sink_id.is_none_or(|sink| letter.info.sink_id == sink)
        };
        self.all
            .range(behind)
            .filter(of_sink)
            .map(|(id, _)| *id)
            .filter(|id| self.get(*id).is_some())
    }

    pub(super) fn count(&self, sink_id: Option<&str>) -> usize {
        let places = self.places.keys();
        places.filter(|(sink, _)| sink_id.is_none_or(|wanted| wanted == sink)).count()
    }

    /// Keys of a letter, of others of its place, and of what became of them.
    pub(super) fn keys_of(&self, id: u64) -> Vec<Key> {
        let Some(letter) = self.get(id) else { return Vec::new() };
        let of = self.places.get(&place(&letter.info.sink_id, letter.info.position));
        let mut keys = Vec::new();
        // The one that counts goes last, so that no other comes up for a moment.
        for one in of.into_iter().flatten().rev() {
            let steps = self.retries.get(one).into_iter().flat_map(Steps::all);
            keys.extend(steps.map(|(step, write)| retry_key(*one, step, write)));
            let write = self.all.get(one).map(|letter| letter.write);
            keys.extend(write.map(|write| Key { about: About::Letter, write }));
        }
        keys
    }

    /// Keys of records that say nothing any more.
    pub(super) fn outdated(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        for (id, steps) in &self.retries {
            let orphans = steps.all().filter(|_| !self.all.contains_key(id));
            let older = steps.outdated().filter(|_| self.all.contains_key(id));
            keys.extend(orphans.chain(older).map(|(step, write)| retry_key(*id, step, write)));
        }
        for ids in self.places.values() {
            let hidden = ids.iter().skip(1).filter_map(|id| self.all.get(id));
            keys.extend(hidden.map(|letter| Key { about: About::Letter, write: letter.write }));
        }
        keys
    }

    /// Keys of older steps of one letter.
    pub(super) fn outdated_of(&self, id: u64) -> Vec<Key> {
        let steps = self.retries.get(&id).into_iter().flat_map(Steps::outdated);
        steps.map(|(step, write)| retry_key(id, step, write)).collect()
    }
}

fn retry_key(letter: u64, step: u64, write: Write) -> Key {
    Key { about: About::Retry { letter, step }, write }
}
