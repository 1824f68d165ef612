//! The copy of the tables that runs beside the stream.
//!
//! ```text
//!   readers: lock, snapshot, COPY a chunk ─▶ Chunk ──────────────┐
//!              └─▶ pg_logical_emit_message(watermark) ─▶ stream ─┴─▶ rows at the watermark's place
//! ```
//!
//! Each chunk is read in a short transaction of its own, so nothing depends on one long snapshot. After
//! it was read, its reader writes a watermark into the server's log, and when the stream comes to it,
//! every transaction that the chunk has seen has been handed over. There its rows go out, without
//! those that a transaction has changed which the chunk did not see: the stream has brought them newer.
//! A finished chunk is noted with the position, and never read again.
//!
//! A change that does not hold all of its row (an unchanged TOAST value) may meet a destination
//! that does not have the row yet; until the table is complete it is replaced by the row itself, read once
//! more by its key.

mod chunk;
mod progress;
mod reader;
mod schedule;
mod shared;
mod single;
mod table;
mod tid;
mod touched;
mod unseen;
mod visibility;

pub use progress::Progress;
pub(crate) use reader::WATERMARK;
pub(crate) use schedule::Finished;
pub(crate) use single::keys;

use crate::{
    config::Config,
    connection::SharedSql,
    convert::Decoder,
    schema::{self, Catalog, CatalogTable, Published, Selection},
    stream::RowChange,
};
use cdc_core::{Operation, Row, TableId, TableSchema, Value};
use chunk::Chunk;
use reader::Reader;
use schedule::Schedule;
use shared::Shared;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use table::Planner;
use tokio::{sync::Semaphore, task::JoinSet};
use touched::{Changed, Fate, Key, Touch, Touched, Verdict, key_of};

/// The piece of work that no reader does: emptying the tables.
const EMPTY_ALL: u64 = 0;

/// Can a table be copied beside the stream? Its rows have to be told apart by a published key, and its
/// changes have to come under its own name.
pub(crate) fn can_copy(table: &CatalogTable, published: &Published, via_root: bool) -> bool {
    let mut table = table.clone();
    published.narrow(&mut table);
    let is_published =
        |attnum: &i16| table.captured_columns().any(|column| column.attnum == *attnum);
    let has_key = !table.key().is_empty() && table.key().iter().all(is_published);
    !table.unlogged && has_key && (via_root || !table.partitioned)
}

/// What a copy begins with.
pub(crate) struct Begin<'a> {
    pub(crate) config: &'a Arc<Config>,
    pub(crate) selection: &'a Arc<Selection>,
    pub(crate) sql: &'a Arc<SharedSql>,
    pub(crate) catalog: &'a Catalog,
    pub(crate) published: Published,
    /// Do changes of partitions come under the name of their root?
    pub(crate) via_root: bool,
    pub(crate) progress: Progress,
    /// Is nothing read until an operator says so?
    pub(crate) paused: bool,
}

/// The copy, as the stream sees it. Dropping it ends its readers.
pub(crate) struct Backfill {
    shared: Arc<Shared>,
    touched: Touched,
    /// Numbers of the tables that are not complete.
    incomplete: BTreeSet<u32>,
    /// Those of them that the stream has brought a change of.
    changed: BTreeSet<u32>,
    /// Rows that are read on their own, by table and key, with the text of the key.
    asked: BTreeMap<u32, BTreeMap<Key, Vec<String>>>,
    /// The work whose watermark is in the transaction at hand.
    due: Option<u64>,
    /// Tables to empty at the first watermark, when an earlier copy came before this one.
    to_empty: Vec<Arc<TableSchema>>,
    _tasks: JoinSet<()>,
}

/// What goes out at a watermark.
pub(crate) enum Arrival {
    /// Rows of a table, and keys of rows that are not there.
    Rows { schema: Option<Arc<TableSchema>>, rows: Vec<Row>, absent: Vec<Row> },
    /// Word that these tables are empty now.
    Emptied(Vec<Arc<TableSchema>>),
}

impl Backfill {
    /// Begins, or goes on. `None` when there is nothing left to copy.
    pub(crate) fn start(begin: Begin<'_>) -> Option<Self> {
        let Begin { config, selection, sql, catalog, published, via_root, progress, paused } =
            begin;
        let tables = catalog.tables.iter().filter(|table| can_copy(table, &published, via_root));
        let empty_first = progress.empty_first;
        let mut schedule =
            Schedule::new(progress, tables.map(|table| (table.table.clone(), table.oid)));
        if schedule.is_complete() {
            return None;
        }
        let incomplete: BTreeSet<u32> = schedule.incomplete().collect();
        let to_empty = catalog.tables.iter().filter(|table| incomplete.contains(&table.oid));
        let to_empty = match empty_first {
            true => to_empty.map(|table| schema::table_schema(table, &catalog.types)).collect(),
            false => Vec::new(),
        };
        let asked = schedule.progress().open.iter().map(|open| {
            let keys = open.reread.iter().map(|(text, key)| (key.clone(), text.clone()));
            (open.oid, keys.collect())
        });
        let asked = asked.collect();
        if paused {
            schedule.pause();
        }
        schedule.hold(&incomplete, incomplete.iter().map(|oid| (*oid, String::new())).collect());
        let run = format!("{}/{:016x}", config.slot_name, rand::random::<u64>());
        let planner = Planner::new(Arc::clone(&catalog.types), published);
        let shared = Shared::new(Arc::clone(selection), run, Arc::clone(sql), planner, schedule);
        let shared = Arc::new(shared);
        let readers = usize::try_from(config.snapshot_readers).unwrap_or(1).max(1);
        // One more than there are readers: while a chunk waits for its watermark, the next is read.
        let permits = Arc::new(Semaphore::new(readers + 1));
        let mut tasks = JoinSet::new();
        for _ in 0..readers {
            let reader = Reader {
                config: Arc::clone(config),
                shared: Arc::clone(&shared),
                permits: Arc::clone(&permits),
                connection: None,
            };
            tasks.spawn(Box::pin(reader.run()));
        }
        tasks.spawn(unseen::release(Arc::clone(config), Arc::clone(&shared), incomplete.clone()));
        if empty_first {
            tasks.spawn(reader::announce(Arc::clone(config), shared.watermark(EMPTY_ALL)));
        }
        Some(Self {
            shared,
            touched: Touched::default(),
            incomplete,
            changed: BTreeSet::new(),
            asked,
            due: None,
            to_empty,
            _tasks: tasks,
        })
    }

    /// What has to be remembered to go on from here.
    pub(crate) fn progress(&self) -> Progress {
        self.shared.schedule().progress().to_store()
    }

    /// Is everything copied?
    pub(crate) fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }

    /// Why tables cannot be copied at the moment; `None` when nothing is in the way.
    pub(crate) fn trouble(&self) -> Option<String> {
        let schedule = self.shared.schedule();
        let mut failures = schedule.failures();
        let (table, why) = failures.next()?;
        let more = match failures.count() {
            0 => String::new(),
            more => format!(" (and {more} more tables)"),
        };
        Some(format!("{table} cannot be copied now, and is tried again: {why}{more}"))
    }

    /// Is the table being copied, or is it going to be?
    #[inline]
    pub(crate) fn concerns(&self, oid: u32) -> bool {
        self.incomplete.contains(&oid)
    }

    /// The stream has announced a table: it may look different from here on.
    pub(crate) fn announced(&self, oid: u32) {
        self.shared.announce(oid);
    }

    /// A message of the product's own came along in the transaction at hand.
    pub(crate) fn watermark(&mut self, content: &str) {
        if let Some(number) = self.shared.work_of(content) {
            self.due = Some(number);
        }
    }

    /// The work whose watermark was in the transaction that has just ended.
    pub(crate) fn due(&mut self) -> Option<u64> {
        self.due.take()
    }

    /// Notes a change of a table that is being copied, and says what of it goes out.
    pub(crate) fn pass(
        &mut self,
        xid: u32,
        oid: u32,
        change: RowChange,
        decoder: &Decoder,
    ) -> Option<RowChange> {
        if self.changed.insert(oid) {
            self.shared.schedule().changed(oid);
        }
        self.touched.make_room(|| self.shared.schedule().floor());
        let key = &change.schema.key;
        let of = |row: &Option<Row>| row.as_ref().and_then(|row| key_of(key, row));
        let (before, after) = (of(&change.before), of(&change.after));
        if change.operation == Operation::Truncate {
            self.touched.note(xid, oid, None, Touch::Handed);
            return Some(change);
        }
        let old = before.as_ref().or(after.as_ref());
        let partial = change.after.as_ref().is_some_and(|row| row.contains(&Value::Unchanged));
        if partial && self.folds(oid, old) {
            return self.fold(xid, oid, change, decoder, (before, after));
        }
        for key in [&before, &after].into_iter().flatten() {
            self.touched.note(xid, oid, Some(key.clone()), Touch::Handed);
            self.unask(oid, key);
        }
        if before.is_none() && after.is_none() {
            self.touched.note(xid, oid, None, Touch::Handed);
        }
        Some(change)
    }

    /// Is a change that does not hold its whole row replaced by the row itself?
    fn folds(&self, oid: u32, key: Option<&Key>) -> bool {
        let schedule = self.shared.schedule();
        if !schedule.folds(oid) {
            return false;
        }
        let asked =
            key.is_none_or(|key| self.asked.get(&oid).is_some_and(|rows| rows.contains_key(key)));
        asked || !schedule.is_closing(oid)
    }

    /// Destinations hold a row: it need not be read on its own.
    fn unask(&mut self, oid: u32, key: &Key) {
        if let Some(text) = self.asked.get_mut(&oid).and_then(|rows| rows.remove(key)) {
            self.shared.schedule().unask(oid, &text);
        }
    }

    /// Has the row itself read instead of a change that does not hold all of it.
    fn fold(
        &mut self,
        xid: u32,
        oid: u32,
        change: RowChange,
        decoder: &Decoder,
        (before, after): (Option<Key>, Option<Key>),
    ) -> Option<RowChange> {
        let row = change.after.as_ref();
        let text = |index: &u16| {
            let index = usize::from(*index);
            Some(decoder.print(index, row?.get(index)?))
        };
        let text: Option<Vec<String>> = change.schema.key.iter().map(text).collect();
        let moved = before.is_some() && before != after;
        let asked = match (&text, &after) {
            (Some(text), Some(key)) => {
                self.shared.schedule().ask_for(oid, text.clone(), key.clone())
            }
            _ => false,
        };
        let touch = match row {
            Some(row) if !moved => Touch::Part(row.clone()),
            _ => Touch::Lost,
        };
        match (asked, text, after) {
            (true, Some(text), Some(key)) => {
                self.touched.note(xid, oid, Some(key.clone()), touch);
                self.asked.entry(oid).or_default().insert(key, text);
            }
            // Then only a chunk that has seen this transaction brings the row.
            _ => self.touched.note(xid, oid, None, Touch::Lost),
        }
        if let Some(key) = before.filter(|_| moved) {
            self.touched.note(xid, oid, Some(key.clone()), Touch::Handed);
            self.unask(oid, &key);
        }
        self.shared.wake();
        // Under its old key the row is gone.
        moved.then(|| RowChange { operation: Operation::Delete, after: None, ..change })
    }

    /// What goes out at the watermark of a piece of work; `None` when nothing does. `newest` tells how
    /// the stream knows a table.
    pub(crate) fn arrive(
        &mut self,
        number: u64,
        newest: impl Fn(&TableId) -> Option<Arc<TableSchema>>,
    ) -> Option<Arrival> {
        if number == EMPTY_ALL {
            return Some(Arrival::Emptied(std::mem::take(&mut self.to_empty)));
        }
        let chunk = self.shared.take(number)?;
        let Chunk { oid, plan, seen, rows, announced, .. } = chunk;
        let Some(plan) = plan else {
            return Some(Arrival::Rows { schema: None, rows: Vec::new(), absent: Vec::new() });
        };
        let schema = Arc::clone(&plan.schema);
        let compared = self.shared.schedule().compared_of(number);
        let read: BTreeSet<Key> = match compared.is_empty() {
            true => BTreeSet::new(),
            false => rows.iter().filter_map(|row| key_of(&schema.key, row)).collect(),
        };
        // The stream may have gone on to another shape of the table while the chunk was read.
        let streamed = newest(&schema.table).filter(|_| announced != self.shared.announced(oid));
        let outdated = streamed.is_some_and(|streamed| streamed != schema);
        let gone = |touched: &dyn Fn(&Key) -> bool| {
            single::absent(&schema, &plan.decoder, &compared, &read, touched)
        };
        let (rows, absent) = match self.touched.verdict(oid, &seen) {
            Verdict::AllBut(changed) if !outdated && changed.is_empty() => (rows, gone(&|_| false)),
            Verdict::AllBut(changed) if !outdated => {
                let absent = gone(&|key| changed.contains(key));
                let (rows, again) = part(&schema, rows, &changed);
                let keys = again.rows;
                let again = |key: &Key| {
                    keys.contains(key) || (changed.contains(key) && !again.read.contains(key))
                };
                self.shared.schedule().keep_asking(number, again);
                (rows, absent)
            }
            Verdict::AllBut(_) | Verdict::Stale => {
                self.shared.give_back(number);
                return None;
            }
        };
        if let Some(asked) = self.asked.get_mut(&oid) {
            for (_, key) in self.shared.schedule().keys_of(number) {
                asked.remove(key);
            }
        }
        Some(Arrival::Rows { schema: Some(schema), rows, absent })
    }

    /// The rows of a piece of work, so many, have gone out.
    pub(crate) fn finish(&mut self, number: u64, rows: u64) -> Option<Finished> {
        if number == EMPTY_ALL {
            self.touched.settle(&self.incomplete);
            self.shared.schedule().emptied();
            self.shared.wake();
            return None;
        }
        let finished = self.shared.finish(number, rows);
        let schedule = self.shared.schedule();
        if let Some(floor) = schedule.floor() {
            self.touched.prune(&floor);
        }
        self.incomplete = schedule.incomplete().collect();
        finished
    }
}

/// Keys of rows that were read, and of those among them that have to be read again.
struct Again {
    read: BTreeSet<Key>,
    rows: BTreeSet<Key>,
}

/// The rows of a chunk that go out, as they are by now.
fn part(schema: &TableSchema, rows: Vec<Row>, changed: &Changed<'_>) -> (Vec<Row>, Again) {
    let mut again = Again { read: BTreeSet::new(), rows: BTreeSet::new() };
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(key) = key_of(&schema.key, &row) else { continue };
        if !changed.contains(&key) {
            out.push(row);
            continue;
        }
        match changed.fate(&key, row) {
            Fate::Goes(row) => out.push(row),
            Fate::Held => {}
            Fate::Again => {
                again.rows.insert(key.clone());
            }
        }
        again.read.insert(key);
    }
    (out, again)
}
