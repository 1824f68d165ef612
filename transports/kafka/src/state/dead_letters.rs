//! Changes that a sink refused, kept until an operator decides.

use super::{
    State, TRIES_MAX,
    journal::Entry,
    key::{About, Key},
    value::{self, Retried},
    view::{Verdict, View},
};
use crate::error;
use async_trait::async_trait;
use bytes::Bytes;
use cdc_core::{
    Result,
    dead_letter::{DeadLetter, DeadLetterInfo, DeadLetterStore},
};
use std::collections::BTreeSet;

/// A page of a list holds about so many bytes, whatever its number of letters.
const PAGE_BYTES: usize = 8 << 20;

#[async_trait]
impl DeadLetterStore for State {
    async fn park(&self, letters: Vec<DeadLetter>) -> Result<()> {
        let letters = self.journal.look(|view| unparked(view, letters))?;
        let Some(first) = letters.first() else { return Ok(()) };
        let held = self.journal.look(|view| view.letters.count(None))?;
        let letters_max = self.options.dead_letters_max;
        if held.saturating_add(letters.len()) > letters_max {
            return Err(error::too_many_letters(&first.info.sink_id, held, letters_max));
        }
        let entries = letters.iter().map(parked).collect::<Result<Vec<_>>>()?;
        // For Kafka's users first: should the rest not come to pass, they see the change once more.
        if let Some(copies) = &self.copies {
            copies.send(&letters).await?;
        }
        // One that another process has parked meanwhile stays behind it and is taken back in time.
        self.journal.write(entries).await.map(drop)
    }

    async fn list(
        &self,
        sink_id: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        loop {
            let page = self.journal.look(|view| page(view, sink_id, after, limit))?;
            let expected = page.len();
            let letters = self.filled(page).await?;
            // Some may be taken back while they are read; a page is empty only where nothing follows.
            if expected == 0 || !letters.is_empty() {
                return Ok(letters);
            }
        }
    }

    async fn get(&self, id: u64) -> Result<Option<DeadLetter>> {
        let found = self.journal.look(|view| found(view, id))?;
        Ok(self.filled(found.into_iter().collect()).await?.pop())
    }

    async fn request_retry(&self, ids: &[u64]) -> Result<usize> {
        let mut requested = 0;
        for id in ids {
            let there = self.change(*id, |retried| retried.retry_requested = true).await?;
            requested += usize::from(there);
        }
        Ok(requested)
    }

    async fn remove(&self, ids: &[u64]) -> Result<usize> {
        let ids: BTreeSet<u64> = ids.iter().copied().collect();
        let (removed, entries) = self.journal.look(|view| taken_back(view, &ids))?;
        if !entries.is_empty() {
            self.journal.write(entries).await?;
        }
        Ok(removed)
    }

    async fn retry_failed(&self, id: u64, error_code: &str, error: &str) -> Result<()> {
        let failed = |retried: &mut Retried| {
            retried.retry_requested = false;
            retried.retries = retried.retries.saturating_add(1);
            error_code.clone_into(&mut retried.error_code);
            error.clone_into(&mut retried.error);
        };
        self.change(id, failed).await.map(drop)
    }

    async fn count(&self, sink_id: Option<&str>) -> Result<u64> {
        self.journal.look(|view| view.letters.count(sink_id) as u64)
    }
}

impl State {
    /// Changes what is told of a letter; false when there is no such letter.
    async fn change(&self, id: u64, change: impl Fn(&mut Retried) + Send + Sync) -> Result<bool> {
        for _ in 0..TRIES_MAX {
            let entries = self.journal.look(|view| changed(view, id, &change))??;
            let Some(entries) = entries else { return Ok(false) };
            if self.journal.write(entries).await?.last() == Some(&Verdict::Counts) {
                return Ok(true);
            }
        }
        Err(self.contended())
    }

    /// The payloads that memory does not hold are read from the topic.
    async fn filled(&self, page: Vec<Found>) -> Result<Vec<DeadLetter>> {
        let missing: Vec<u64> =
            page.iter().filter(|one| one.payload.is_none()).map(|one| one.id).collect();
        let mut read = self.payloads.read(&missing).await?;
        let letters = page.into_iter().filter_map(|one| {
            let payload = one.payload.or_else(|| read.remove(&one.id))?;
            Some(DeadLetter { id: one.id, info: one.info, payload })
        });
        Ok(letters.collect())
    }
}

/// A letter without its payload, where that is not in memory.
#[derive(Debug)]
struct Found {
    id: u64,
    info: DeadLetterInfo,
    payload: Option<Bytes>,
}

fn found(view: &View, id: u64) -> Option<Found> {
    let (info, letter) = (view.letters.info(id)?, view.letters.get(id)?);
    Some(Found { id, info, payload: letter.payload.clone() })
}

fn page(view: &View, sink_id: Option<&str>, after: u64, limit: usize) -> Vec<Found> {
    let mut bytes: usize = 0;
    let fits = |id: &u64| {
        let first = bytes == 0;
        let more = view.letters.get(*id).map_or(0, |letter| letter.payload_bytes);
        bytes = bytes.saturating_add(more.max(1));
        first || bytes <= PAGE_BYTES
    };
    let ids = view.letters.after(sink_id, after).take(limit).take_while(fits);
    ids.filter_map(|id| found(view, id)).collect()
}

/// Letters that are not there yet, each once.
fn unparked(view: &View, letters: Vec<DeadLetter>) -> Vec<DeadLetter> {
    let mut seen = BTreeSet::new();
    let new = letters.into_iter().filter(|letter| {
        let (sink, position) = (&letter.info.sink_id, letter.info.position);
        !view.letters.is_parked(sink, position) && seen.insert((sink.clone(), position))
    });
    new.collect()
}

pub(super) fn parked(letter: &DeadLetter) -> Result<Entry> {
    let value = value::encode(&letter.info, &letter.payload).map_err(error::unwritable)?;
    Ok(Entry { key: Key::new(About::Letter), value: Some(value) })
}

/// The records that change what is told of a letter; `None` when there is no such letter.
pub(super) fn changed(
    view: &View,
    id: u64,
    change: impl Fn(&mut Retried),
) -> Result<Option<Vec<Entry>>> {
    let Some(info) = view.letters.info(id) else { return Ok(None) };
    let mut retried = Retried {
        retries: info.retries,
        retry_requested: info.retry_requested,
        error_code: info.error_code,
        error: info.error,
    };
    change(&mut retried);
    let step = view.letters.step(id).saturating_add(1);
    let mut entries: Vec<_> =
        view.letters.outdated_of(id).into_iter().map(Entry::tombstone).collect();
    let value = value::encode(&retried, &[]).map_err(error::unwritable)?;
    let key = Key::new(About::Retry { letter: id, step });
    entries.push(Entry { key, value: Some(value) });
    Ok(Some(entries))
}

/// How many of the letters are there, and the records that take them back.
pub(super) fn taken_back(view: &View, ids: &BTreeSet<u64>) -> (usize, Vec<Entry>) {
    let keys: Vec<Vec<Key>> = ids.iter().map(|id| view.letters.keys_of(*id)).collect();
    let removed = keys.iter().filter(|keys| !keys.is_empty()).count();
    (removed, keys.into_iter().flatten().map(Entry::tombstone).collect())
}
