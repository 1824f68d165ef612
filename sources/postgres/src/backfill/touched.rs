//! Rows that the stream has changed while chunks were being read.
//!
//! A chunk shows each row as its snapshot of the server saw it, and is filled in at a later point of
//! the stream. What a transaction between the two has changed is newer than the chunk, unless the
//! snapshot saw that transaction.

use super::visibility::Visibility;
use bytes::BytesMut;
use cdc_codec::row;
use cdc_core::{Row, Value};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// More bytes of keys than this are not kept: what they belong to is read again instead.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// More transactions than this are not kept apart.
const TRANSACTIONS_MAX: usize = 20_000;
/// What a key costs besides its bytes.
const KEY_OVERHEAD_BYTES: usize = 48;

/// The key of a row as bytes; equal keys have equal bytes.
pub(crate) type Key = Box<[u8]>;

/// The bytes of a row's key; `None` where it is not known.
pub(crate) fn key_of(key: &[u16], values: &[Value]) -> Option<Key> {
    let known = |index: &u16| {
        values.get(usize::from(*index)).is_some_and(|value| *value != Value::Unchanged)
    };
    if key.is_empty() || !key.iter().all(known) {
        return None;
    }
    let mut out = BytesMut::new();
    row::encode_key(key, values, &mut out);
    Some(Box::from(&out[..]))
}

/// What the transactions of the stream have changed, as long as a chunk may not have seen it.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// What came before the transactions that are kept apart.
    earlier: Earlier,
    transactions: VecDeque<Transaction>,
    bytes: usize,
}

/// Many transactions as one: chunks of these tables must see all of them. Four bytes for each transaction
/// that comes while one chunk is read.
#[derive(Debug, Default)]
struct Earlier {
    xids: Vec<u32>,
    tables: BTreeSet<u32>,
}

#[derive(Debug)]
struct Transaction {
    xid: u32,
    tables: BTreeMap<u32, Rows>,
}

#[derive(Debug)]
enum Rows {
    These(BTreeMap<Key, Touch>),
    /// Any of them.
    All,
}

/// What a transaction did to a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Touch {
    /// The stream has handed it over: destinations hold the row as it is now.
    Handed,
    /// It changed some values of the row, which was not handed over: `Unchanged` marks the others.
    Part(Row),
    /// The row as it is now was not handed over, and cannot be made from a chunk.
    Lost,
}

impl Touch {
    /// This, after `earlier` of the same row.
    fn after(self, earlier: &Self) -> Self {
        match (earlier, self) {
            (Self::Part(below), Self::Part(above)) => Self::Part(overlay(below, above)),
            (Self::Handed | Self::Lost, Self::Part(_)) => Self::Lost,
            (_, touch @ (Self::Handed | Self::Lost)) => touch,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Part(row) => {
                row.iter().map(|value| size_of::<Value>() + value.heap_bytes()).sum()
            }
            Self::Handed | Self::Lost => 0,
        }
    }
}

/// The values of a row under those that a change of it knows.
fn overlay(below: &Row, above: Row) -> Row {
    let pick = |(below, above): (&Value, Value)| match above {
        Value::Unchanged => below.clone(),
        above => above,
    };
    below.iter().zip(above.into_vec()).map(pick).collect()
}

/// What of a chunk is still true.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    /// Every row but those that were changed since.
    AllBut(Changed<'a>),
    /// It has to be read again.
    Stale,
}

/// Rows that were changed since a snapshot, by each transaction in the order of the stream.
#[derive(Debug)]
pub(crate) struct Changed<'a>(Vec<&'a BTreeMap<Key, Touch>>);

/// What becomes of a row that was read.
#[derive(Debug, PartialEq)]
pub(crate) enum Fate {
    /// It goes out like this.
    Goes(Row),
    /// Destinations hold it, newer.
    Held,
    /// It has to be read again.
    Again,
}

impl Changed<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Was the row changed?
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.0.iter().any(|rows| rows.contains_key(key))
    }

    /// What becomes of a row of the chunk.
    pub(crate) fn fate(&self, key: &Key, mut row: Row) -> Fate {
        let mut last = None;
        for touch in self.0.iter().filter_map(|rows| rows.get(key)) {
            let touch = match last {
                None => touch.clone(),
                Some(earlier) => touch.clone().after(&earlier),
            };
            last = Some(touch);
        }
        match last {
            None => Fate::Goes(row),
            Some(Touch::Part(above)) => {
                row = overlay(&row, above);
                Fate::Goes(row)
            }
            Some(Touch::Handed) => Fate::Held,
            Some(Touch::Lost) => Fate::Again,
        }
    }
}

impl Touched {
    /// The transaction has changed a row of the table; without a key, any of its rows.
    pub(crate) fn note(&mut self, xid: u32, table: u32, key: Option<Key>, touch: Touch) {
        if self.transactions.back().is_none_or(|newest| newest.xid != xid) {
            self.transactions.push_back(Transaction { xid, tables: BTreeMap::new() });
        }
        let Some(newest) = self.transactions.back_mut() else { return };
        let rows = newest.tables.entry(table).or_insert_with(|| Rows::These(BTreeMap::new()));
        match (&mut *rows, key) {
            (Rows::All, _) => {}
            (Rows::These(_), None) => *rows = Rows::All,
            (Rows::These(rows), Some(key)) => {
                self.bytes += key.len() + KEY_OVERHEAD_BYTES + touch.bytes();
                let touch = match rows.get(&key) {
                    Some(earlier) => touch.after(earlier),
                    None => touch,
                };
                rows.insert(key, touch);
            }
        }
        if self.bytes > BYTES_MAX {
            self.forget_keys();
        }
    }

    /// Keeps which tables were changed, and not which rows.
    fn forget_keys(&mut self) {
        for rows in self.transactions.iter_mut().flat_map(|one| one.tables.values_mut()) {
            *rows = Rows::All;
        }
        self.bytes = 0;
    }

    /// Keeps the number of transactions small, given what every chunk sees by now.
    pub(crate) fn make_room(&mut self, floor: impl FnOnce() -> Option<Arc<Visibility>>) {
        if self.transactions.len() < TRANSACTIONS_MAX {
            return;
        }
        if let Some(floor) = floor() {
            self.prune(&floor);
        }
        if self.transactions.len() > TRANSACTIONS_MAX / 2 {
            for one in self.transactions.drain(..TRANSACTIONS_MAX / 2) {
                self.earlier.xids.push(one.xid);
                self.earlier.tables.extend(one.tables.keys());
            }
            self.count_bytes();
        }
    }

    /// From here on chunks of these tables must see everything that has come before.
    pub(crate) fn settle(&mut self, tables: &BTreeSet<u32>) {
        for one in &mut self.transactions {
            for (_, rows) in one.tables.iter_mut().filter(|(table, _)| tables.contains(table)) {
                *rows = Rows::All;
            }
        }
    }

    /// Every chunk that is or will be read sees what `floor` sees.
    pub(crate) fn prune(&mut self, floor: &Visibility) {
        self.transactions.retain(|one| !floor.sees(one.xid));
        self.earlier.xids.retain(|xid| !floor.sees(*xid));
        if self.earlier.xids.is_empty() {
            self.earlier = Earlier::default();
        }
        self.count_bytes();
    }

    fn count_bytes(&mut self) {
        let bytes = |rows: &Rows| match rows {
            Rows::These(rows) => {
                rows.iter().map(|(key, touch)| key.len() + KEY_OVERHEAD_BYTES + touch.bytes()).sum()
            }
            Rows::All => 0,
        };
        self.bytes = self.transactions.iter().flat_map(|one| one.tables.values()).map(bytes).sum();
    }

    /// What of a chunk of `table` is still true, which was read under `seen`.
    pub(crate) fn verdict(&self, table: u32, seen: &Visibility) -> Verdict<'_> {
        let Earlier { xids, tables } = &self.earlier;
        if tables.contains(&table) && xids.iter().any(|xid| !seen.sees(*xid)) {
            return Verdict::Stale;
        }
        let mut changed = Vec::new();
        for one in self.transactions.iter().filter(|one| !seen.sees(one.xid)) {
            match one.tables.get(&table) {
                Some(Rows::All) => return Verdict::Stale,
                Some(Rows::These(keys)) => changed.push(keys),
                None => {}
            }
        }
        Verdict::AllBut(Changed(changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: u32 = 7;

    fn key(number: i64) -> Key {
        key_of(&[0], &[Value::Int(number)]).unwrap()
    }

    fn seen(text: &str) -> Visibility {
        text.parse().unwrap()
    }

    fn changed(touched: &Touched, seen: &Visibility, number: i64) -> bool {
        fate(touched, seen, number) != Fate::Goes(row(&[number, 0]))
    }

    fn row(values: &[i64]) -> Row {
        values.iter().map(|number| Value::Int(*number)).collect()
    }

    fn fate(touched: &Touched, seen: &Visibility, number: i64) -> Fate {
        match touched.verdict(TABLE, seen) {
            Verdict::AllBut(changed) => changed.fate(&key(number), row(&[number, 0])),
            Verdict::Stale => panic!("stale"),
        }
    }

    #[test]
    fn only_what_a_snapshot_did_not_see_is_newer_than_its_chunk() {
        let mut touched = Touched::default();
        touched.note(10, TABLE, Some(key(1)), Touch::Handed);
        touched.note(11, TABLE, Some(key(2)), Touch::Handed);
        touched.note(12, TABLE + 1, Some(key(3)), Touch::Handed);
        let before_eleven = seen("11:11:");
        assert!(!changed(&touched, &before_eleven, 1));
        assert!(changed(&touched, &before_eleven, 2));
        assert!(!changed(&touched, &before_eleven, 3), "of another table");
        touched.prune(&seen("11:13:11"));
        assert_eq!(touched.transactions.len(), 1);
        assert!(changed(&touched, &before_eleven, 2));
    }

    #[test]
    fn what_touches_every_row_makes_a_chunk_stale() {
        let mut touched = Touched::default();
        touched.note(10, TABLE, None, Touch::Handed);
        assert!(matches!(touched.verdict(TABLE, &seen("10:10:")), Verdict::Stale));
        assert!(matches!(touched.verdict(TABLE, &seen("11:11:")), Verdict::AllBut(_)));
        touched.note(20, TABLE, Some(key(1)), Touch::Handed);
        touched.settle(&BTreeSet::from([TABLE]));
        assert!(matches!(touched.verdict(TABLE, &seen("20:20:")), Verdict::Stale));
    }

    #[test]
    fn memory_is_bounded_however_many_rows_are_changed() {
        let mut touched = Touched::default();
        for number in 0..1_000_000 {
            touched.note(10, TABLE, Some(key(number)), Touch::Handed);
        }
        assert!(touched.bytes <= BYTES_MAX);
        assert!(matches!(touched.verdict(TABLE, &seen("10:10:")), Verdict::Stale));
        touched.prune(&seen("11:11:"));
        assert!(touched.transactions.is_empty() && touched.bytes == 0);
    }

    #[test]
    fn memory_is_bounded_however_many_transactions_there_are() {
        let mut touched = Touched::default();
        let first = u32::MAX - 1000;
        for number in 0..1_000_000_u32 {
            touched.make_room(|| None);
            touched.note(first.wrapping_add(number), TABLE, Some(key(1)), Touch::Handed);
        }
        assert!(touched.transactions.len() <= TRANSACTIONS_MAX);
        assert!(touched.bytes <= TRANSACTIONS_MAX * 100);
        let wrapped = (1_u64 << 32) - 1001;
        let at = |number: u64| seen(&format!("{0}:{0}:", wrapped + number));
        assert!(matches!(touched.verdict(TABLE, &at(900_000)), Verdict::Stale));
        assert!(matches!(touched.verdict(TABLE + 1, &at(900_000)), Verdict::AllBut(_)));
        let open = seen(&format!("5:{0}:5", wrapped + 1_000_000));
        assert!(matches!(touched.verdict(TABLE, &open), Verdict::AllBut(_)), "open for long");
        assert!(matches!(touched.verdict(TABLE, &at(1_000_000)), Verdict::AllBut(_)));
        touched.prune(&at(1_000_000));
        assert!(touched.transactions.is_empty() && touched.earlier.xids.is_empty());
    }

    #[test]
    fn changes_of_some_values_are_laid_over_what_was_read() {
        let part = |number| Touch::Part(Box::new([Value::Unchanged, Value::Int(number)]));
        let mut touched = Touched::default();
        touched.note(10, TABLE, Some(key(1)), part(7));
        touched.note(10, TABLE, Some(key(1)), part(8));
        touched.note(11, TABLE, Some(key(2)), Touch::Handed);
        touched.note(12, TABLE, Some(key(2)), part(9));
        touched.note(13, TABLE, Some(key(3)), part(9));
        touched.note(14, TABLE, Some(key(3)), Touch::Handed);
        let nothing = seen("10:10:");
        assert_eq!(fate(&touched, &nothing, 1), Fate::Goes(row(&[1, 8])));
        assert_eq!(fate(&touched, &nothing, 2), Fate::Again);
        assert_eq!(fate(&touched, &seen("12:12:"), 2), Fate::Goes(row(&[2, 9])));
        assert_eq!(fate(&touched, &nothing, 3), Fate::Held);
        assert_eq!(fate(&touched, &nothing, 4), Fate::Goes(row(&[4, 0])));
    }

    #[test]
    fn a_key_that_was_not_logged_is_no_key() {
        let row = [Value::Int(1), Value::Unchanged];
        assert!(key_of(&[0, 1], &row).is_none());
        assert!(key_of(&[], &row).is_none());
        assert!(key_of(&[0], &row).is_some());
    }
}
