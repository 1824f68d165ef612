//! Changes that a sink refused, kept until an operator decides.

use crate::{
    error::{self, Failure},
    store::{META, Store, write},
};
use async_trait::async_trait;
use bytes::Bytes;
use cdc_core::{
    Result,
    dead_letter::{DeadLetter, DeadLetterInfo, DeadLetterStore},
};
use redb::{
    Database, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError, WriteTransaction,
};

/// Information as JSON, and the payload, by id.
const LETTERS: TableDefinition<'_, u64, (&[u8], &[u8])> = TableDefinition::new("dead_letters");
/// Ids by sink and position, so that the same change is parked once.
const PLACES: TableDefinition<'_, (&str, &[u8; 24]), u64> =
    TableDefinition::new("dead_letter_places");
/// Ids by sink, with the bytes that the letter takes.
const BY_SINK: TableDefinition<'_, (&str, u64), u64> = TableDefinition::new("dead_letters_by_sink");
/// Letters and bytes of each sink.
const TOTALS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("dead_letter_totals");
const NEWEST_KEY: &str = "dead_letter";

/// A page of a list holds about so many bytes, whatever its number of letters.
const PAGE_BYTES: usize = 8 << 20;

pub(crate) fn create_tables(transaction: &WriteTransaction) -> Result<(), TableError> {
    transaction.open_table(LETTERS)?;
    transaction.open_table(PLACES)?;
    transaction.open_table(BY_SINK)?;
    transaction.open_table(TOTALS)?;
    Ok(())
}

#[async_trait]
impl DeadLetterStore for Store {
    async fn park(&self, letters: Vec<DeadLetter>) -> Result<()> {
        let bytes_max = self.options().dead_letter_bytes_max;
        self.run(move |database| {
            write(database, |transaction| {
                let mut parked = Parked::open(transaction)?;
                letters.iter().try_for_each(|letter| parked.park(letter, bytes_max))
            })
        })
        .await
    }

    async fn list(
        &self,
        sink_id: Option<&str>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        let sink_id = sink_id.map(str::to_owned);
        self.run(move |database| match after.checked_add(1) {
            Some(first) => list(database, sink_id.as_deref(), first, limit),
            None => Ok(Vec::new()),
        })
        .await
    }

    async fn get(&self, id: u64) -> Result<Option<DeadLetter>> {
        self.run(move |database| letter(&database.begin_read()?.open_table(LETTERS)?, id)).await
    }

    async fn request_retry(&self, ids: &[u64]) -> Result<usize> {
        let ids = ids.to_vec();
        self.run(move |database| {
            write(database, |transaction| {
                let mut parked = Parked::open(transaction)?;
                count(&ids, |id| parked.change(id, |info| info.retry_requested = true))
            })
        })
        .await
    }

    async fn remove(&self, ids: &[u64]) -> Result<usize> {
        let ids = ids.to_vec();
        self.run(move |database| {
            write(database, |transaction| {
                let mut parked = Parked::open(transaction)?;
                count(&ids, |id| parked.remove(id))
            })
        })
        .await
    }

    async fn retry_failed(&self, id: u64, error_code: &str, error: &str) -> Result<()> {
        let (error_code, error) = (error_code.to_owned(), error.to_owned());
        self.run(move |database| {
            write(database, |transaction| {
                Parked::open(transaction)?.change(id, |info| {
                    info.retry_requested = false;
                    info.retries = info.retries.saturating_add(1);
                    info.error_code = error_code;
                    info.error = error;
                })?;
                Ok(())
            })
        })
        .await
    }

    async fn count(&self, sink_id: Option<&str>) -> Result<u64> {
        let sink_id = sink_id.map(str::to_owned);
        self.run(move |database| {
            let totals = database.begin_read()?.open_table(TOTALS)?;
            match sink_id {
                Some(sink) => Ok(totals.get(sink.as_str())?.map_or(0, |total| total.value().0)),
                None => Ok(all(&totals)?.0),
            }
        })
        .await
    }
}

fn list(
    database: &Database,
    sink_id: Option<&str>,
    first: u64,
    limit: usize,
) -> Result<Vec<DeadLetter>, Failure> {
    let transaction = database.begin_read()?;
    let letters = transaction.open_table(LETTERS)?;
    let mut page = Page { letters: Vec::new(), bytes: 0, limit };
    if let Some(sink) = sink_id {
        let by_sink = transaction.open_table(BY_SINK)?;
        for entry in by_sink.range((sink, first)..=(sink, u64::MAX))? {
            let id = entry?.0.value().1;
            let found = letter(&letters, id)?.ok_or_else(|| missing(id))?;
            if !page.take(found) {
                break;
            }
        }
    } else {
        for entry in letters.range(first..)? {
            let (id, value) = entry?;
            if !page.take(decode(id.value(), value.value())?) {
                break;
            }
        }
    }
    Ok(page.letters)
}

/// Letters until either limit is reached; one letter always fits.
struct Page {
    letters: Vec<DeadLetter>,
    bytes: usize,
    limit: usize,
}

impl Page {
    fn take(&mut self, letter: DeadLetter) -> bool {
        let bytes = self.bytes.saturating_add(letter.payload.len());
        let room = self.letters.is_empty() || bytes <= PAGE_BYTES;
        if !room || self.letters.len() >= self.limit {
            return false;
        }
        self.bytes = bytes;
        self.letters.push(letter);
        true
    }
}

/// The four tables, which change together.
struct Parked<'txn> {
    letters: Table<'txn, u64, (&'static [u8], &'static [u8])>,
    places: Table<'txn, (&'static str, &'static [u8; 24]), u64>,
    by_sink: Table<'txn, (&'static str, u64), u64>,
    totals: Table<'txn, &'static str, (u64, u64)>,
    meta: Table<'txn, &'static str, u64>,
}

impl<'txn> Parked<'txn> {
    fn open(transaction: &'txn WriteTransaction) -> Result<Self, Failure> {
        Ok(Self {
            letters: transaction.open_table(LETTERS)?,
            places: transaction.open_table(PLACES)?,
            by_sink: transaction.open_table(BY_SINK)?,
            totals: transaction.open_table(TOTALS)?,
            meta: transaction.open_table(META)?,
        })
    }

    fn park(&mut self, letter: &DeadLetter, bytes_max: u64) -> Result<(), Failure> {
        let sink = letter.info.sink_id.as_str();
        let position = letter.info.position.to_sortable_bytes();
        if self.places.get((sink, &position))?.is_some() {
            return Ok(());
        }
        let json = encode(&letter.info, letter.id)?;
        let bytes = size(&json, &letter.payload);
        let held = all(&self.totals)?.1;
        if held.saturating_add(bytes) > bytes_max {
            return Err(Failure::told(error::full(sink, held, bytes_max)));
        }
        let newest = self.meta.get(NEWEST_KEY)?.map_or(0, |id| id.value());
        let id =
            newest.checked_add(1).ok_or_else(|| Failure::told(error::used_up("dead letters")))?;
        self.meta.insert(NEWEST_KEY, id)?;
        self.letters.insert(id, (json.as_slice(), letter.payload.as_ref()))?;
        self.places.insert((sink, &position), id)?;
        self.by_sink.insert((sink, id), bytes)?;
        self.total(sink, |(count, held)| (count.saturating_add(1), held.saturating_add(bytes)))
    }

    /// Changes a letter's information; false when there is no such letter.
    fn change(
        &mut self,
        id: u64,
        change: impl FnOnce(&mut DeadLetterInfo),
    ) -> Result<bool, Failure> {
        let Some(mut letter) = letter(&self.letters, id)? else { return Ok(false) };
        change(&mut letter.info);
        let json = encode(&letter.info, id)?;
        let bytes = size(&json, &letter.payload);
        let sink = letter.info.sink_id.as_str();
        self.letters.insert(id, (json.as_slice(), letter.payload.as_ref()))?;
        let before = self.by_sink.insert((sink, id), bytes)?.map_or(0, |bytes| bytes.value());
        self.total(sink, |(count, held)| {
            (count, held.saturating_sub(before).saturating_add(bytes))
        })?;
        Ok(true)
    }

    /// Removes a letter; false when there is no such letter.
    fn remove(&mut self, id: u64) -> Result<bool, Failure> {
        let Some(letter) = letter(&self.letters, id)? else { return Ok(false) };
        let sink = letter.info.sink_id.as_str();
        self.letters.remove(id)?;
        self.places.remove((sink, &letter.info.position.to_sortable_bytes()))?;
        let bytes = self.by_sink.remove((sink, id))?.map_or(0, |bytes| bytes.value());
        self.total(sink, |(count, held)| (count.saturating_sub(1), held.saturating_sub(bytes)))?;
        Ok(true)
    }

    fn total(
        &mut self,
        sink: &str,
        next: impl FnOnce((u64, u64)) -> (u64, u64),
    ) -> Result<(), Failure> {
        let before = self.totals.get(sink)?.map_or((0, 0), |total| total.value());
        self.totals.insert(sink, next(before))?;
        Ok(())
    }
}

/// Letters and bytes of all sinks.
fn all(totals: &impl ReadableTable<&'static str, (u64, u64)>) -> Result<(u64, u64), Failure> {
    let mut sum = (0_u64, 0_u64);
    for entry in totals.iter()? {
        let (count, bytes) = entry?.1.value();
        sum = (sum.0.saturating_add(count), sum.1.saturating_add(bytes));
    }
    Ok(sum)
}

fn count(
    ids: &[u64],
    mut step: impl FnMut(u64) -> Result<bool, Failure>,
) -> Result<usize, Failure> {
    let mut done = 0;
    for id in ids {
        done += usize::from(step(*id)?);
    }
    Ok(done)
}

fn letter(
    letters: &impl ReadableTable<u64, (&'static [u8], &'static [u8])>,
    id: u64,
) -> Result<Option<DeadLetter>, Failure> {
    match letters.get(id)? {
        Some(value) => decode(id, value.value()).map(Some),
        None => Ok(None),
    }
}

fn encode(info: &DeadLetterInfo, id: u64) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(info).map_err(|source| unreadable(id, source))
}

fn decode(id: u64, (json, payload): (&[u8], &[u8])) -> Result<DeadLetter, Failure> {
    let info = serde_json::from_slice(json).map_err(|source| unreadable(id, source))?;
    Ok(DeadLetter { id, info, payload: Bytes::copy_from_slice(payload) })
}

fn unreadable(id: u64, source: serde_json::Error) -> Failure {
    Failure::Unreadable(format!("dead letter {id}"), Some(source))
}

fn missing(id: u64) -> Failure {
    Failure::Unreadable(format!("dead letter {id}"), None)
}

fn size(json: &[u8], payload: &[u8]) -> u64 {
    u64::try_from(json.len().saturating_add(payload.len())).unwrap_or(u64::MAX)
}
