use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use futures::TryStreamExt as _;
use serde::Deserialize;
use tokio_postgres::Client;

use super::items;

const UNCHANGED: &str = "__debezium_unavailable_value";

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    position: Cow<'a, str>,
    #[serde(borrow)]
    value: Envelope<'a>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    source: Place<'a>,
    #[serde(borrow)]
    before: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow)]
    after: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Place<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Key {
    id: i64,
}

#[derive(Deserialize)]
struct Item<'a> {
    id: i64,
    #[serde(borrow)]
    v: Cow<'a, str>,
    n: i64,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
}

/// Hashes of a row: of its short columns and of its body.
type Hashes = (u64, u64);

/// The rows of the table of items as the changes left them, in few bytes a row.
#[derive(Default)]
pub(super) struct Ledger {
    rows: BTreeMap<i64, Hashes>,
    /// Rows that were copied.
    pub(super) copied: u64,
    /// Changes of the table, copied rows included.
    pub(super) changes: u64,
    /// Changes of other tables.
    pub(super) others: u64,
}

impl Ledger {
    /// Reads a file whose positions must only grow.
    pub(super) fn from_file(path: &Path) -> Result<Self, String> {
        let mut ledger = Self::default();
        let mut reader = BufReader::with_capacity(1 << 20, File::open(path).unwrap());
        let (mut text, mut number, mut newest) = (String::new(), 0u64, None);
        while reader.read_line(&mut text).unwrap() > 0 {
            number += 1;
            let at = |what: String| format!("line {number}: {what}");
            let line: Line<'_> = serde_json::from_str(&text).map_err(|e| at(e.to_string()))?;
            let position = position(&line.position).ok_or_else(|| at("no position".to_owned()))?;
            if newest.is_some_and(|newest| newest >= position) {
                return Err(at(format!("{position:x?} comes after {newest:x?}")));
            }
            newest = Some(position);
            ledger.apply(&line.value).map_err(at)?;
            text.clear();
        }
        Ok(ledger)
    }

    fn apply(&mut self, change: &Envelope<'_>) -> Result<(), String> {
        if change.source.table != "items" {
            self.others += 1;
            return Ok(());
        }
        self.changes += 1;
        let row =
            |raw: Option<&'_ serde_json::value::RawValue>| raw.map(|raw| raw.get().to_owned());
        let (before, after) = (row(change.before), row(change.after));
        let before: Option<Key> = before.map(|text| serde_json::from_str(&text).unwrap());
        let after: Option<Item<'_>> = match &after {
            Some(text) => Some(serde_json::from_str(text).map_err(|error| error.to_string())?),
            None => None,
        };
        match (&*change.op, before, after) {
            ("r", _, Some(item)) => {
                self.copied += 1;
                self.rows.insert(item.id, hashes(&item));
            }
            ("c", _, Some(item)) => {
                if self.rows.insert(item.id, hashes(&item)).is_some() {
                    return Err(format!("inserts {}, which is there already", item.id));
                }
            }
            ("u", before, Some(item)) => {
                let old = self.rows.remove(&before.map_or(item.id, |key| key.id));
                let (short, mut body) = hashes(&item);
                if item.body.as_deref() == Some(UNCHANGED) {
                    let old =
                        old.ok_or_else(|| format!("updates a part of {}: no row", item.id))?;
                    body = old.1;
                }
                self.rows.insert(item.id, (short, body));
            }
            ("d", Some(key), None) => {
                self.rows.remove(&key.id);
            }
            ("t", ..) => self.rows.clear(),
            (other, ..) => return Err(format!("`{other}` is no change of a row")),
        }
        Ok(())
    }

    /// The first difference to the rows of the table itself.
    pub(super) async fn difference(&self, client: &Client) -> Option<String> {
        let sql = format!("SELECT id, v, n, body FROM {}", items::TABLE);
        let none: [&str; 0] = [];
        let mut rows = std::pin::pin!(client.query_raw(&sql, none).await.unwrap());
        let mut count = 0;
        while let Some(row) = rows.try_next().await.unwrap() {
            count += 1;
            let (id, body) = (row.get(0), row.get::<_, Option<&str>>(3).map(Cow::Borrowed));
            let item = Item { id, v: Cow::Borrowed(row.get(1)), n: row.get(2), body };
            match self.rows.get(&id) {
                Some(found) if *found == hashes(&item) => {}
                Some(_) => return Some(format!("row {id} has other values in the file")),
                None => return Some(format!("row {id} is not in the file")),
            }
        }
        let found = self.rows.len();
        (count != found).then(|| format!("{count} rows in the table, {found} in the file"))
    }
}

fn hashes(item: &Item<'_>) -> Hashes {
    (hash(&(&item.v, item.n)), hash(&item.body))
}

fn hash(value: &impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn position(text: &str) -> Option<(u128, u64)> {
    let (commit, ordinal) = text.split_once(':')?;
    Some((u128::from_str_radix(commit, 16).ok()?, ordinal.parse().ok()?))
}
