//! Who reads what next.

use super::{
    progress::{File, OpenTable, Progress},
    tid::Range,
    touched::Key,
    visibility::Visibility,
};
use crate::quote;
use cdc_core::TableId;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A table that could not be read is tried again after this.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// So many rows at most are read on their own by one statement.
const KEYS_AT_ONCE_MAX: usize = 1000;

/// What a reader is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Tells this piece of work from all others of this run.
    pub(crate) number: u64,
    /// Whose rows.
    pub(crate) table: TableId,
    pub(crate) oid: u32,
    pub(crate) condition: Option<String>,
    pub(crate) what: What,
}

/// Which rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// None yet: find out which files the table has.
    Files,
    /// Those of a range of a file.
    Range { file: u32, number: u32, range: Range },
    /// None: everything is read, and what is left is to say so.
    Nothing,
    /// Those with these keys.
    Keys(Vec<(Vec<String>, Key)>),
}

/// A piece of work that somebody has.
#[derive(Debug)]
struct Taken {
    oid: u32,
    what: What,
    /// What every snapshot that is taken for it sees at least.
    floor: Option<Arc<Visibility>>,
}

/// What a finished piece of work has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) table: TableId,
    /// Rows of the table handed over so far.
    pub(crate) rows: u64,
    /// Is the table complete?
    pub(crate) complete: bool,
    /// Was that all of its rows?
    pub(crate) whole: bool,
    /// Is it empty, and has nothing told anybody of it?
    pub(crate) untold: bool,
}

/// The tables, what is left of them, and who is at it.
#[derive(Debug)]
pub(crate) struct Schedule {
    progress: Progress,
    /// Tables that have not begun, in the order of their names.
    waiting: VecDeque<(TableId, u32)>,
    taken: BTreeMap<u64, Taken>,
    next: u64,
    newest: Option<Arc<Visibility>>,
    failed: BTreeMap<u32, (Instant, String)>,
    /// Is nothing read until an operator says so?
    paused: bool,
    /// Tables that are not read yet, and why.
    held: BTreeMap<u32, String>,
    /// How rows are read on their own, by table.
    keys: BTreeMap<u32, AtKeys>,
}

/// Where reading rows on their own is.
#[derive(Debug)]
struct AtKeys {
    /// So many are read at a time.
    at_once: usize,
    /// The last one that somebody was sent for. Those behind it come next, so that rows that are asked
    /// for again and again hold up no others.
    last: Vec<String>,
}

impl Default for AtKeys {
    fn default() -> Self {
        Self { at_once: KEYS_AT_ONCE_MAX, last: Vec::new() }
    }
}

impl Schedule {
    /// Goes on from `progress` with `tables`, which are in the order of their names.
    pub(crate) fn new(
        progress: Progress,
        tables: impl IntoIterator<Item = (TableId, u32)>,
    ) -> Self {
        let begun = |table: &TableId| progress.through.as_ref().is_some_and(|last| table <= last);
        let is_open = |table: &TableId| progress.open.iter().any(|open| open.table == *table);
        let waits = |table: &TableId| !progress.only_open && !begun(table) && !is_open(table);
        let waiting = tables.into_iter().filter(|(table, _)| waits(table));
        let waiting = waiting.collect();
        Self {
            progress,
            waiting,
            taken: BTreeMap::new(),
            next: 1,
            newest: None,
            failed: BTreeMap::new(),
            paused: false,
            held: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Is everything copied?
    pub(crate) fn is_complete(&self) -> bool {
        self.waiting.is_empty() && self.progress.open.is_empty()
    }

    /// Numbers of the tables that are not complete.
    pub(crate) fn incomplete(&self) -> impl Iterator<Item = u32> + '_ {
        let open = self.progress.open.iter().map(|open| open.oid);
        open.chain(self.waiting.iter().map(|(_, oid)| *oid))
    }

    /// The next piece of work; `None` while there is none.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Work> {
        if self.progress.empty_first || self.paused {
            return None;
        }
        let (table, oid, condition, what) = loop {
            let found = self.progress.open.iter().find_map(|open| {
                let what = if self.rests(open.oid, now) { None } else { self.part_of(open) };
                what.map(|what| (open.table.clone(), open.oid, open.condition.clone(), what))
            });
            if let Some(found) = found {
                break found;
            }
            let (table, oid) = self.waiting.pop_front()?;
            self.progress.open.push(OpenTable::new(table.clone(), oid));
            self.progress.through = Some(table);
        };
        let number = self.next;
        self.next += 1;
        if let What::Keys(keys) = &what
            && let Some((last, _)) = keys.last()
        {
            self.keys.entry(oid).or_default().last.clone_from(last);
        }
        let taken = Taken { oid, what: what.clone(), floor: self.newest.clone() };
        self.taken.insert(number, taken);
        Some(Work { number, table, oid, condition, what })
    }

    /// Has nothing more read.
    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// Is the table left alone for now?
    fn rests(&self, oid: u32, now: Instant) -> bool {
        self.held.contains_key(&oid) || self.failed.get(&oid).is_some_and(|(until, _)| *until > now)
    }

    /// Of these tables, only those that `why` does not name may be read from now on. Says whether that is
    /// all of them.
    pub(crate) fn hold(&mut self, tables: &BTreeSet<u32>, mut why: BTreeMap<u32, String>) -> bool {
        let mut all = true;
        for table in tables {
            match why.remove(table) {
                Some(why) => {
                    all = false;
                    self.held.insert(*table, why);
                }
                None => {
                    self.held.remove(table);
                }
            }
        }
        all
    }

    /// A part of the table that nobody is at.
    fn part_of(&self, open: &OpenTable) -> Option<What> {
        let taken = || self.taken.values().filter(|taken| taken.oid == open.oid);
        let Some(files) = &open.files else {
            return taken().next().is_none().then_some(What::Files);
        };
        if files.is_empty() && open.reread.is_empty() {
            // What was read last has not ended the table: a row was still asked for, which then came in
            // the stream.
            return taken().next().is_none().then_some(What::Nothing);
        }
        let at_keys = taken().any(|taken| matches!(taken.what, What::Keys(_)));
        if !open.reread.is_empty() && !at_keys {
            return Some(What::Keys(self.next_keys(open)));
        }
        let free = |file: &File| {
            let mut left = file.left.clone();
            for taken in taken() {
                if let What::Range { file: oid, range, .. } = taken.what
                    && oid == file.oid
                {
                    left = left.iter().flat_map(|left| left.without(range)).collect();
                }
            }
            let (range, _) = left.first()?.cut(file.blocks);
            Some(What::Range { file: file.oid, number: file.number, range })
        };
        files.iter().find_map(free)
    }

    fn next_keys(&self, open: &OpenTable) -> Vec<(Vec<String>, Key)> {
        let first = AtKeys::default();
        let AtKeys { at_once, last } = self.keys.get(&open.oid).unwrap_or(&first);
        let behind = open.reread.range::<Vec<String>, _>((Bound::Excluded(last), Bound::Unbounded));
        let before = open.reread.range::<Vec<String>, _>(..=last);
        let keys = behind.chain(before).take(*at_once);
        keys.map(|(text, key)| (text.clone(), key.clone())).collect()
    }

    /// A snapshot of the server was taken for a piece of work.
    pub(crate) fn saw(&mut self, seen: &Arc<Visibility>) {
        if self.newest.as_ref().is_none_or(|newest| seen.covers(newest)) {
            self.newest = Some(Arc::clone(seen));
        }
    }

    /// What every chunk that is under way or will be taken sees at least.
    pub(crate) fn floor(&self) -> Option<Arc<Visibility>> {
        match self.taken.first_key_value() {
            // Snapshots only grow, so the oldest piece of work has the lowest floor.
            Some((_, oldest)) => oldest.floor.clone(),
            None => self.newest.clone(),
        }
    }

    fn open_mut(&mut self, oid: u32) -> Option<&mut OpenTable> {
        self.progress.open.iter_mut().find(|open| open.oid == oid)
    }

    /// The files of a table were looked up. `false` when there is nothing in them to read: then the
    /// work is not done before it is finished.
    pub(crate) fn found(&mut self, work: &Work, mut files: Vec<File>) -> bool {
        files.retain(|file| !file.left.is_empty());
        let any = !files.is_empty();
        if let Some(open) = self.open_mut(work.oid) {
            open.files = Some(files);
        }
        if any {
            self.taken.remove(&work.number);
        }
        any
    }

    /// The name of the relation that holds a file.
    pub(crate) fn file_name(&self, work: &Work, file: u32) -> String {
        let open = self.progress.open.iter().find(|open| open.oid == work.oid);
        let files = open.and_then(|open| open.files.as_ref()).into_iter().flatten();
        let found = files.into_iter().find(|one| one.oid == file);
        found.map_or_else(|| quote::table(&work.table), |file| file.name.clone())
    }

    /// A piece of work is done: its rows, so many, were handed over. `None` when nobody was at it.
    pub(crate) fn finish(&mut self, number: u64, rows: u64) -> Option<Finished> {
        let Taken { oid, what, .. } = self.taken.remove(&number)?;
        self.failed.remove(&oid);
        let open = self.open_mut(oid)?;
        open.rows += rows;
        match what {
            What::Files | What::Nothing => {}
            What::Range { file, range, .. } => open.copied(file, range),
            What::Keys(keys) => open.reread_done(keys.iter().map(|(text, _)| text)),
        }
        Some(self.settle(oid))
    }

    fn settle(&mut self, oid: u32) -> Finished {
        let busy = self.taken.values().any(|taken| taken.oid == oid);
        let place = self.progress.open.iter().position(|open| open.oid == oid);
        let Some(open) = place.and_then(|place| self.progress.open.get_mut(place)) else {
            let table = TableId::new("", "");
            return Finished { table, rows: 0, complete: true, whole: false, untold: false };
        };
        let all_read = open.reread.is_empty() && open.files.as_ref().is_some_and(Vec::is_empty);
        if all_read && open.another_pass && !busy {
            open.begin_again();
        }
        let complete = open.is_read() && !busy;
        let finished = Finished {
            table: open.table.clone(),
            rows: open.rows,
            complete,
            whole: complete && !open.part,
            untold: complete && open.rows == 0 && !open.changed && !open.ordered,
        };
        if complete && let Some(place) = place {
            self.progress.open.remove(place);
        }
        finished
    }

    /// A piece of work has to be done again.
    pub(crate) fn give_back(&mut self, number: u64) {
        self.taken.remove(&number);
    }

    /// A piece of work is more than is read at a time: smaller ones from now on. `false` for one row.
    pub(crate) fn shrink(&mut self, number: u64) -> bool {
        let Some(taken) = self.taken.get(&number) else { return false };
        let oid = taken.oid;
        let (file, range) = match &taken.what {
            What::Range { file, range, .. } => (file, range),
            What::Keys(keys) => {
                let at_once = (keys.len() / 2).max(1);
                self.taken.remove(&number);
                self.keys.entry(oid).or_default().at_once = at_once;
                return true;
            }
            What::Files | What::Nothing => return false,
        };
        let (file, Some(half)) = (*file, range.half()) else { return false };
        self.taken.remove(&number);
        let blocks = half.blocks().max(1);
        let files = self.open_mut(oid).and_then(|open| open.files.as_mut());
        for one in files.into_iter().flatten().filter(|one| one.oid == file) {
            one.blocks = one.blocks.min(blocks);
            // The next cut ends where the half ends, however small it is.
            one.left = one.left.iter().flat_map(|left| split_at(*left, half)).collect();
        }
        true
    }

    /// A table could not be read: it waits, and the others go on.
    pub(crate) fn fail(&mut self, number: u64, why: String) {
        if let Some(taken) = self.taken.remove(&number) {
            self.failed.insert(taken.oid, (Instant::now() + RETRY_AFTER, why));
        }
    }

    /// The tables that could not be read, and why.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (&TableId, &str)> {
        self.progress.open.iter().filter_map(|open| {
            let held = self.held.get(&open.oid).filter(|why| !why.is_empty());
            let why = held.or_else(|| self.failed.get(&open.oid).map(|(_, why)| why))?;
            Some((&open.table, why.as_str()))
        })
    }

    /// The rows of a table have moved to another file.
    pub(crate) fn moved(&mut self, number: u64) {
        if let Some(taken) = self.taken.remove(&number)
            && let Some(open) = self.open_mut(taken.oid)
        {
            open.begin_again();
        }
    }

    /// A table has another name now, or (`None`) is no longer there.
    pub(crate) fn renamed(&mut self, number: u64, name: Option<TableId>) {
        let Some(taken) = self.taken.remove(&number) else { return };
        match name {
            Some(name) => {
                if let Some(open) = self.open_mut(taken.oid) {
                    open.table = name;
                }
            }
            None => self.progress.open.retain(|open| open.oid != taken.oid),
        }
    }

    /// The stream has brought a change of a table.
    pub(crate) fn changed(&mut self, oid: u32) {
        if let Some(open) = self.open_mut(oid) {
            open.changed = true;
        }
    }

    /// A row of a table has to be read on its own. `false` when instead the whole table is going to
    /// be: it has not begun, or there are too many of them.
    pub(crate) fn ask_for(&mut self, oid: u32, text: Vec<String>, key: Key) -> bool {
        self.open_mut(oid).is_some_and(|open| open.ask_for(text, key))
    }

    /// Of the rows that were read on their own, those that `again` tells are not done with this piece of
    /// work.
    pub(crate) fn keep_asking(&mut self, number: u64, again: impl Fn(&Key) -> bool) {
        if let Some(Taken { what: What::Keys(keys), .. }) = self.taken.get_mut(&number) {
            keys.retain(|(_, key)| !again(key));
        }
    }

    /// The keys that a piece of work is about.
    pub(crate) fn keys_of(&self, number: u64) -> &[(Vec<String>, Key)] {
        match self.taken.get(&number).map(|taken| &taken.what) {
            Some(What::Keys(keys)) => keys,
            _ => &[],
        }
    }

    /// Those of them whose absence has to be told.
    pub(crate) fn compared_of(&self, number: u64) -> Vec<(Vec<String>, Key)> {
        let oid = self.taken.get(&number).map(|taken| taken.oid);
        let open = self.progress.open.iter().find(|open| Some(open.oid) == oid);
        let Some(open) = open.filter(|open| !open.compared.is_empty()) else { return Vec::new() };
        let keys = self.keys_of(number).iter();
        keys.filter(|(text, _)| open.compared.contains(text)).cloned().collect()
    }

    /// Destinations hold a row that was to be read on its own.
    pub(crate) fn unask(&mut self, oid: u32, text: &Vec<String>) {
        if let Some(open) = self.open_mut(oid) {
            open.reread_done([text]);
        }
    }

    /// Do destinations hold every row of a table but those that are read on their own?
    pub(crate) fn is_closing(&self, oid: u32) -> bool {
        self.progress.open.iter().any(|open| open.oid == oid && open.is_closing())
    }

    /// Are changes of the table that do not hold the whole row replaced by the row?
    pub(crate) fn folds(&self, oid: u32) -> bool {
        !self.progress.open.iter().any(|open| open.oid == oid && open.again)
    }

    /// Destinations have removed the rows of an earlier copy.
    pub(crate) fn emptied(&mut self) {
        self.progress.empty_first = false;
    }
}

/// A range in two parts, the first of which ends where `half` ends.
fn split_at(range: Range, half: Range) -> impl Iterator<Item = Range> {
    let inside = range.from <= half.from && half.to < range.to;
    let front = Range { from: range.from, to: half.to };
    let rest = Range { from: half.to, to: range.to };
    let parts =
        if inside { [front, rest] } else { [range, Range { from: range.to, to: range.to }] };
    parts.into_iter().filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(number: u32) -> TableId {
        TableId::new("public", format!("t{number:03}"))
    }

    fn key(number: u8) -> Key {
        Box::from([number])
    }

    fn files(oid: u32, blocks: u64) -> Vec<File> {
        let left = vec![Range::of_blocks(blocks)].into_iter().filter(|range| !range.is_empty());
        vec![File { oid, name: name(oid).name, number: 1, blocks: 7, left: left.collect() }]
    }

    /// As a restart finds it.
    fn stored(schedule: &Schedule, tables: u32) -> Schedule {
        let bytes = serde_json::to_vec(schedule.progress()).unwrap();
        let progress = serde_json::from_slice(&bytes).unwrap();
        Schedule::new(progress, (0..tables).map(|number| (name(number), number)))
    }

    proptest! {
        /// Whatever rows are asked for, and come by themselves, and whatever becomes of the work: in the end
        /// every table is complete.
        #[test]
        fn every_table_ends(
            blocks in 0_u64..4,
            steps in prop::collection::vec((0_u8..9, any::<u8>(), any::<usize>()), 0..200),
        ) {
            let mut schedule = Schedule::new(Progress::default(), [(name(0), 0)]);
            let mut work: Vec<Work> = Vec::new();
            let now = Instant::now();
            let text = |row: u8| vec![row.to_string()];
            let mut steps = steps.into_iter();
            for _ in 0..2_000 {
                if schedule.is_complete() {
                    break;
                }
                let (step, row, which) = steps.next().unwrap_or((0, 0, 0));
                let row = row % 3;
                if work.len() < 3 && let Some(taken) = schedule.take(now) {
                    work.push(taken);
                }
                match step {
                    2 | 3 => { schedule.ask_for(0, text(row), key(row)); }
                    4 | 5 => schedule.unask(0, &text(row)),
                    _ => {
                        prop_assert!(!work.is_empty(), "nothing to do, and not complete");
                        let one = work.remove(which % work.len());
                        match (step, &one.what) {
                            (6, _) => schedule.give_back(one.number),
                            (7 | 8, What::Keys(_)) => {
                                schedule.keep_asking(one.number, |asked| *asked == key(row));
                                schedule.finish(one.number, 1);
                            }
                            (_, What::Files) => {
                                if !schedule.found(&one, files(0, blocks)) {
                                    schedule.finish(one.number, 0);
                                }
                            }
                            _ => { schedule.finish(one.number, 1); }
                        }
                    }
                }
            }
            prop_assert!(schedule.is_complete());
        }

        /// However work is finished, given back, cut short by restarts or made smaller, each block of
        /// each table is finished once and no more often.
        #[test]
        fn every_block_is_copied_once(
            sizes in prop::collection::vec(0_u64..60, 1..8),
            steps in prop::collection::vec((0_u8..10, any::<usize>()), 0..400),
        ) {
            let tables = u32::try_from(sizes.len()).unwrap();
            let mut schedule = Schedule::new(Progress::default(), (0..tables).map(|n| (name(n), n)));
            let mut work: Vec<Work> = Vec::new();
            let mut copied: BTreeMap<u32, Vec<Range>> = BTreeMap::new();
            let mut steps = steps.into_iter();
            let now = Instant::now();
            for _ in 0..20_000 {
                if schedule.is_complete() {
                    break;
                }
                let (step, which) = steps.next().unwrap_or((0, 0));
                if work.len() < 4 && let Some(taken) = schedule.take(now) {
                    work.push(taken);
                }
                prop_assert!(!work.is_empty(), "nothing to do, and not complete");
                let one = work.remove(which % work.len());
                match (step, &one.what) {
                    (0..=5, What::Files) => {
                        let size = sizes[usize::try_from(one.oid).unwrap()];
                        if !schedule.found(&one, files(one.oid, size)) {
                            schedule.finish(one.number, 0);
                        }
                    }
                    (0..=5, What::Range { range, .. }) => {
                        schedule.finish(one.number, 1).unwrap();
                        copied.entry(one.oid).or_default().push(*range);
                    }
                    (6, What::Range { .. }) => {
                        schedule.shrink(one.number);
                        schedule.give_back(one.number);
                    }
                    (7, _) => {
                        schedule = stored(&schedule, tables);
                        work.clear();
                    }
                    _ => schedule.give_back(one.number),
                }
            }
            prop_assert!(schedule.is_complete());
            for (number, blocks) in sizes.iter().enumerate() {
                let mut left = vec![Range::of_blocks(*blocks)];
                left.retain(|range| !range.is_empty());
                for range in copied.remove(&u32::try_from(number).unwrap()).unwrap_or_default() {
                    let before: u64 = left.iter().map(|left| left.blocks()).sum();
                    left = left.iter().flat_map(|left| left.without(range)).collect();
                    let after: u64 = left.iter().map(|left| left.blocks()).sum();
                    prop_assert!(after < before || range.blocks() <= 1, "{range:?} was copied twice");
                }
                prop_assert!(left.is_empty(), "{left:?} of table {number} was not copied");
            }
        }
    }

    #[test]
    fn rows_that_are_asked_for_keep_a_table_open() {
        let mut schedule = Schedule::new(Progress::default(), [(name(0), 0)]);
        let now = Instant::now();
        let work = schedule.take(now).unwrap();
        assert!(!schedule.ask_for(1, vec!["x".to_owned()], key(1)), "a table that has not begun");
        assert!(schedule.ask_for(0, vec!["7".to_owned()], key(7)));
        assert!(!schedule.found(&work, files(0, 0)));
        assert!(!schedule.finish(work.number, 0).unwrap().complete);
        let work = schedule.take(now).unwrap();
        assert_eq!(work.what, What::Keys(vec![(vec!["7".to_owned()], key(7))]));
        assert_eq!(schedule.take(now), None, "nobody else is sent for the same rows");
        schedule.keep_asking(work.number, |_| true);
        assert!(!schedule.finish(work.number, 0).unwrap().complete, "it was changed meanwhile");
        let work = schedule.take(now).unwrap();
        assert!(schedule.finish(work.number, 1).unwrap().complete);
        assert!(schedule.is_complete());
    }

    #[test]
    fn rows_that_are_asked_for_are_known_again_after_a_restart() {
        let mut schedule = Schedule::new(Progress::default(), [(name(0), 0)]);
        let work = schedule.take(Instant::now()).unwrap();
        assert!(schedule.ask_for(0, vec!["7".to_owned()], key(7)));
        schedule.finish(work.number, 0);
        let mut schedule = stored(&schedule, 1);
        let now = Instant::now();
        while let Some(work) = schedule.take(now) {
            if let What::Keys(keys) = &work.what {
                assert_eq!(*keys, [(vec!["7".to_owned()], key(7))]);
                // Another row of the table was changed meanwhile.
                schedule.keep_asking(work.number, |changed| *changed == key(8));
            }
            if work.what != What::Files || !schedule.found(&work, Vec::new()) {
                schedule.finish(work.number, 1);
            }
        }
        assert!(schedule.is_complete());
    }

    #[test]
    fn rows_that_are_asked_for_again_hold_up_no_others() {
        let mut schedule = Schedule::new(Progress::default(), [(name(0), 0)]);
        let now = Instant::now();
        let work = schedule.take(now).unwrap();
        let rows = 3 * KEYS_AT_ONCE_MAX;
        for row in 0..rows {
            assert!(schedule.ask_for(0, vec![format!("{row:05}")], key(0)));
        }
        assert!(!schedule.found(&work, Vec::new()));
        schedule.finish(work.number, 0);
        let mut read = BTreeSet::new();
        for _ in 0..3 {
            let work = schedule.take(now).unwrap();
            let What::Keys(keys) = &work.what else { panic!("{work:?}") };
            read.extend(keys.iter().map(|(text, _)| text.clone()));
            // All of them were changed meanwhile.
            schedule.keep_asking(work.number, |_| true);
            schedule.finish(work.number, 0);
        }
        assert_eq!(read.len(), rows);
        // Large rows are read fewer at a time.
        let work = schedule.take(now).unwrap();
        assert!(schedule.shrink(work.number));
        let What::Keys(keys) = schedule.take(now).unwrap().what else { panic!("no keys") };
        assert_eq!(keys.len(), KEYS_AT_ONCE_MAX / 2);
    }

    #[test]
    fn a_table_that_is_held_lets_the_others_go_on() {
        let tables = [(name(0), 0), (name(1), 1)];
        let mut schedule = Schedule::new(Progress::default(), tables);
        let (all, now) = (BTreeSet::from([0, 1]), Instant::now());
        assert!(!schedule.hold(&all, BTreeMap::from([(0, "held".to_owned()), (1, String::new())])));
        assert_eq!(schedule.take(now), None);
        assert_eq!(schedule.failures().collect::<Vec<_>>(), [(&name(0), "held")]);
        assert!(!schedule.hold(&all, BTreeMap::from([(0, "held".to_owned())])));
        let work = schedule.take(now).unwrap();
        assert_eq!(work.oid, 1);
        assert_eq!(schedule.take(now), None);
        // A restart begins with the first again.
        let mut again = stored(&schedule, 2);
        assert_eq!(again.take(now).unwrap().oid, 0);
        assert!(schedule.hold(&all, BTreeMap::new()));
        assert_eq!(schedule.take(now).unwrap().oid, 0);
    }

    #[test]
    fn a_table_ends_although_the_last_row_that_was_asked_for_came_by_itself() {
        let mut schedule = Schedule::new(Progress::default(), [(name(0), 0)]);
        let now = Instant::now();
        let work = schedule.take(now).unwrap();
        assert!(schedule.ask_for(0, vec!["7".to_owned()], key(7)));
        assert!(!schedule.found(&work, Vec::new()));
        schedule.finish(work.number, 0);
        let work = schedule.take(now).unwrap();
        schedule.unask(0, &vec!["7".to_owned()]);
        schedule.give_back(work.number);
        let work = schedule.take(now).expect("its end is yet to be told");
        assert_eq!(schedule.take(now), None);
        assert!(schedule.finish(work.number, 0).unwrap().complete);
        assert!(schedule.is_complete());
    }

    #[test]
    fn too_many_rows_to_ask_for_are_another_pass() {
        let mut schedule = Schedule::new(Progress::default(), [(name(0), 0)]);
        let now = Instant::now();
        let work = schedule.take(now).unwrap();
        assert!(schedule.found(&work, files(0, 5)));
        let asked =
            (0..100_000).all(|number| schedule.ask_for(0, vec![number.to_string()], key(1)));
        assert!(!asked);
        let mut passes = 0;
        while let Some(work) = schedule.take(now) {
            match work.what {
                What::Files => {
                    passes += 1;
                    schedule.found(&work, files(0, 5));
                }
                What::Range { .. } | What::Nothing | What::Keys(_) => {
                    schedule.finish(work.number, 0);
                }
            }
        }
        assert!(schedule.is_complete());
        assert_eq!(passes, 1);
    }
}
