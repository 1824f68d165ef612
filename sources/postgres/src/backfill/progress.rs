//! How far the copy of the tables is: what is stored with the positions, so that a restart goes on
//! where it was.

use super::{tid::Range, touched::Key};
use crate::order::Order;
use cdc_core::{TableId, snapshot::ROWS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// More keys than this are not kept for a table: all of it is read again instead. Some 300 bytes each.
const REREAD_MAX: usize = 50_000;
/// … and if there are more than this, a restart reads the table again: they would be stored with every batch.
const REREAD_STORED_MAX: usize = 2000;

/// What is copied already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Do destinations hold rows of an earlier copy, which have to go first?
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) empty_first: bool,
    /// Tables up to this name have begun; those of them that are not in `open` are complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) through: Option<TableId>,
    /// Does no table begin by itself? Then only those in `open` are copied.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) only_open: bool,
    /// Tables that have begun and are not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) open: Vec<OpenTable>,
}

impl Progress {
    /// Nothing is copied. `again` says that destinations may hold rows of an earlier copy.
    pub(crate) fn beginning(again: bool) -> Self {
        Self { empty_first: again, ..Self::default() }
    }

    /// Nothing is to be copied but what is ordered.
    pub(crate) fn nothing() -> Self {
        Self { only_open: true, ..Self::default() }
    }

    /// What has to be remembered to go on from here.
    pub(crate) fn to_store(&self) -> Self {
        Self {
            empty_first: self.empty_first,
            through: self.through.clone(),
            only_open: self.only_open,
            open: self.open.iter().map(OpenTable::to_store).collect(),
        }
    }

    /// Rows of a table that were handed over already.
    pub(crate) fn rows(&self, oid: u32) -> u64 {
        self.open.iter().find(|open| open.oid == oid).map_or(0, |open| open.rows)
    }

    /// Carries out an order about tables. `find` knows the number of a table, and whether destinations
    /// hold its rows already; a table that is gone is left out.
    pub(crate) fn carry_out(
        &mut self,
        order: Order,
        find: impl Fn(&TableId) -> Option<(u32, bool)>,
    ) {
        match order {
            Order::Begin { tables, condition } => {
                for table in tables {
                    match find(&table) {
                        Some((oid, again)) => {
                            self.open(OpenTable {
                                condition: condition.clone(),
                                part: condition.is_some(),
                                again,
                                ..OpenTable::new(table, oid)
                            });
                        }
                        None => {
                            tracing::warn!(%table, "a snapshot was ordered of a table that is gone");
                        }
                    }
                }
            }
            Order::Rows { .. } | Order::Compared | Order::Pause | Order::Resume => {}
            Order::Cancel => self.open.retain(|open| !open.ordered),
        }
    }

    /// Has single rows of a table read, and their absence told.
    pub(crate) fn compare(&mut self, table: TableId, oid: u32, keys: Vec<(Vec<String>, Key)>) {
        let place = match self.open.iter().position(|open| open.oid == oid) {
            Some(place) => place,
            None => {
                let nothing_else = Some(Vec::new());
                let known = OpenTable::new(table, oid);
                let known = OpenTable { part: true, ordered: true, ..known };
                self.open.push(OpenTable { files: nothing_else, ..known });
                self.open.len() - 1
            }
        };
        if let Some(open) = self.open.get_mut(place) {
            open.compare(keys);
        }
    }

    fn open(&mut self, table: OpenTable) {
        let begun = self.through.as_ref().is_some_and(|last| table.table <= *last);
        let first = self.open.iter().any(|open| open.oid == table.oid && !open.ordered);
        // The first copy of a table brings all of its rows.
        if !first && (begun || self.only_open) {
            let mut table = OpenTable { ordered: true, ..table };
            if let Some(place) = self.open.iter().position(|open| open.oid == table.oid) {
                let earlier = self.open.remove(place);
                table.compare(
                    earlier.reread.into_iter().filter(|(text, _)| earlier.compared.contains(text)),
                );
            }
            self.open.push(table);
        }
    }
}

/// For `serde`, which hands over a reference.
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A table that is being copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenTable {
    /// Its name.
    pub(crate) table: TableId,
    /// Its number.
    pub(crate) oid: u32,
    /// Only rows that meet this condition, as SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<String>,
    /// Is only a part of its rows read: those that meet the condition, or single ones?
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) part: bool,
    /// Did an operator ask for it?
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) ordered: bool,
    /// Do destinations hold its rows already, so that every change of it is delivered as it is?
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) again: bool,
    /// The files that hold its rows, with what is left of them; `None` before they were looked up.
    pub(crate) files: Option<Vec<File>>,
    /// Keys of rows that are read on their own, as the server prints them and as the stream knows them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "keys")]
    pub(crate) reread: BTreeMap<Vec<String>, Key>,
    /// Those of them whose absence has to be told: destinations may hold them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) compared: BTreeSet<Vec<String>>,
    /// Were there more keys than are kept?
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) another_pass: bool,
    /// Rows handed over so far.
    pub(crate) rows: u64,
    /// Has the stream brought a change of it since it began?
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) changed: bool,
}

/// A file of a table: its own, or that of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    /// The relation's number.
    pub(crate) oid: u32,
    /// The relation's name, ready to be used in a statement.
    pub(crate) name: String,
    /// The file's number: another one means that the rows have moved. 0 where rows have no place that
    /// could be asked for.
    pub(crate) number: u32,
    /// So many blocks are read at a time.
    pub(crate) blocks: u64,
    /// What is not copied yet, in order.
    pub(crate) left: Vec<Range>,
}

impl OpenTable {
    pub(crate) fn new(table: TableId, oid: u32) -> Self {
        Self {
            table,
            oid,
            condition: None,
            part: false,
            ordered: false,
            again: false,
            files: None,
            reread: BTreeMap::new(),
            compared: BTreeSet::new(),
            another_pass: false,
            rows: 0,
            changed: false,
        }
    }

    fn to_store(&self) -> Self {
        let few = self.reread.len() <= REREAD_STORED_MAX + self.compared.len();
        Self {
            table: self.table.clone(),
            oid: self.oid,
            condition: self.condition.clone(),
            part: self.part,
            ordered: self.ordered,
            again: self.again,
            files: self.files.clone(),
            reread: if few { self.reread.clone() } else { self.only_compared() },
            compared: self.compared.clone(),
            another_pass: self.another_pass || !few,
            rows: self.rows,
            changed: self.changed,
        }
    }

    /// Is there nothing left to read?
    pub(crate) fn is_read(&self) -> bool {
        let files = self.files.as_ref();
        self.reread.is_empty()
            && !self.another_pass
            && files.is_some_and(|files| files.iter().all(|file| file.left.is_empty()))
    }

    /// A range of a file was copied.
    pub(crate) fn copied(&mut self, file: u32, range: Range) {
        for file in self.files.iter_mut().flatten().filter(|one| one.oid == file) {
            file.left = file.left.iter().flat_map(|left| left.without(range)).collect();
        }
        // What is complete need not be remembered.
        if let Some(files) = &mut self.files {
            files.retain(|file| !file.left.is_empty());
        }
    }

    /// A row has to be read on its own. `false` when there are too many of them: then the whole table
    /// will be read again.
    pub(crate) fn ask_for(&mut self, text: Vec<String>, key: Key) -> bool {
        self.reread.insert(text, key);
        let few = self.reread.len() <= REREAD_MAX + self.compared.len();
        if !few {
            self.reread = self.only_compared();
            self.another_pass = true;
        }
        few
    }

    /// Rows have to be read on their own, and their absence told. What is more than is kept is left to the
    /// next comparison.
    fn compare(&mut self, keys: impl IntoIterator<Item = (Vec<String>, Key)>) {
        for (text, key) in keys {
            if self.compared.len() >= ROWS_MAX {
                tracing::warn!(table = %self.table, "more rows were ordered at a time than are kept");
                return;
            }
            self.compared.insert(text.clone());
            self.reread.insert(text, key);
        }
    }

    fn only_compared(&self) -> BTreeMap<Vec<String>, Key> {
        let keys = self.reread.iter().filter(|(text, _)| self.compared.contains(*text));
        keys.map(|(text, key)| (text.clone(), key.clone())).collect()
    }

    /// Rows need not be read on their own any more.
    pub(crate) fn reread_done<'a>(&mut self, keys: impl IntoIterator<Item = &'a Vec<String>>) {
        for key in keys {
            self.reread.remove(key);
            self.compared.remove(key);
        }
    }

    /// Do destinations hold every row but those that are read on their own?
    pub(crate) fn is_closing(&self) -> bool {
        !self.another_pass && self.files.as_ref().is_some_and(Vec::is_empty)
    }

    /// Its rows lie elsewhere now, or more of them have to be read: it is read from its beginning.
    pub(crate) fn begin_again(&mut self) {
        self.files = None;
        self.another_pass = false;
    }
}

/// Keys as pairs, since a list cannot be the name of a value in JSON.
mod keys {
    use super::Key;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(
        keys: &BTreeMap<Vec<String>, Key>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(keys)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Vec<String>, Key>, D::Error> {
        let keys = Vec::<(Vec<String>, Key)>::deserialize(deserializer)?;
        Ok(keys.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TableId {
        TableId::new("public", name)
    }

    fn begin(table: &str, condition: Option<&str>) -> Order {
        Order::Begin { tables: vec![name(table)], condition: condition.map(str::to_owned) }
    }

    fn find(table: &TableId) -> Option<(u32, bool)> {
        let number = table.name.strip_prefix('t')?.parse().ok()?;
        Some((number, number != 4))
    }

    #[test]
    fn an_order_opens_a_table_and_another_takes_its_place() {
        let mut progress = Progress::nothing();
        progress.carry_out(begin("t1", Some("a")), find);
        progress.carry_out(begin("gone", None), find);
        progress.carry_out(begin("t1", None), find);
        assert_eq!(progress.open.len(), 1);
        assert!(progress.open[0].again && progress.open[0].condition.is_none());
        // Its earlier rows were never copied.
        progress.carry_out(begin("t4", None), find);
        assert!(!progress.open[1].again);
        progress.carry_out(Order::Cancel, find);
        assert_eq!(progress, Progress::nothing());
    }

    #[test]
    fn keys_that_are_too_many_to_store_are_another_pass_after_a_restart_only() {
        let mut table = OpenTable::new(name("t1"), 1);
        for number in 0..=REREAD_STORED_MAX {
            assert!(table.ask_for(vec![number.to_string()], Box::from(number.to_be_bytes())));
        }
        assert!(!table.another_pass && table.reread.len() > REREAD_STORED_MAX);
        let stored = table.to_store();
        assert!(stored.another_pass && stored.reread.is_empty());
        table.reread_done([&vec!["0".to_owned()]]);
        assert_eq!(table.to_store(), table);
        let asked = (0..).find(|number: &usize| {
            !table.ask_for(vec![number.to_string()], Box::from(number.to_be_bytes()))
        });
        assert_eq!(asked, Some(REREAD_MAX));
        assert!(table.another_pass && table.reread.is_empty());
    }

    #[test]
    fn rows_to_compare_are_kept_whatever_else_is_read() {
        let key = |text: &str| (vec![text.to_owned()], Key::from(text.as_bytes()));
        let mut progress = Progress::nothing();
        progress.compare(name("t1"), 1, vec![key("a"), key("b")]);
        assert!(progress.open[0].ordered && !progress.open[0].is_read());
        // The whole table is ordered.
        progress.carry_out(begin("t1", None), find);
        progress.compare(name("t1"), 1, vec![key("c")]);
        let table = &mut progress.open[0];
        assert_eq!((table.compared.len(), table.files.is_none()), (3, true));
        // So many other rows are read on their own that the table is read again instead.
        while table.ask_for(vec![format!("x{}", table.reread.len())], Box::default()) {}
        assert_eq!((table.reread.len(), table.another_pass), (3, true));
        let stored = table.to_store();
        assert_eq!((stored.reread.len(), stored.compared.len()), (3, 3));
        table.reread_done([&key("b").0]);
        assert_eq!(table.compared.len(), 2);
        progress.carry_out(Order::Cancel, find);
        assert_eq!(progress, Progress::nothing());
    }

    #[test]
    fn no_more_rows_are_compared_than_are_kept() {
        let keys = (0..=ROWS_MAX).map(|key| (vec![key.to_string()], Box::default()));
        let mut progress = Progress::nothing();
        progress.compare(name("t1"), 1, keys.collect());
        assert_eq!(progress.open[0].to_store().compared.len(), ROWS_MAX);
    }

    #[test]
    fn the_first_copy_is_neither_narrowed_nor_given_up() {
        let mut progress = Progress::beginning(false);
        progress.through = Some(name("t2"));
        progress.open.push(OpenTable::new(name("t2"), 2));
        let before = progress.clone();
        // At it, and not begun.
        progress.carry_out(begin("t2", Some("a")), find);
        progress.carry_out(begin("t3", None), find);
        assert_eq!(progress, before);
        // Complete.
        progress.carry_out(begin("t1", None), find);
        assert_eq!(progress.open.len(), 2);
        progress.carry_out(Order::Cancel, find);
        assert_eq!(progress, before);
    }
}
