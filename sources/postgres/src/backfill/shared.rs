//! What the readers and the stream share.

use super::{
    chunk::Chunk,
    progress::File,
    schedule::{Finished, Schedule, Work},
    table::{Planner, TablePlan},
    visibility::Visibility,
};
use crate::{connection::SharedSql, schema::Selection};
use cdc_core::{Result, TableId};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// A reader without work looks for some this often, since tables that failed come back by themselves.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One copy of the tables, seen from all sides.
pub(crate) struct Shared {
    pub(crate) selection: Arc<Selection>,
    /// Tells the watermarks of this run from all others.
    run: String,
    sql: Arc<SharedSql>,
    planner: tokio::sync::Mutex<Planner>,
    schedule: Mutex<Schedule>,
    /// Chunks whose watermark has not come yet.
    chunks: Mutex<BTreeMap<u64, Chunk>>,
    /// How often the stream has announced each table.
    announced: Mutex<BTreeMap<u32, u64>>,
    work: Notify,
}

impl Shared {
    pub(crate) fn new(
        selection: Arc<Selection>,
        run: String,
        sql: Arc<SharedSql>,
        planner: Planner,
        schedule: Schedule,
    ) -> Self {
        Self {
            selection,
            run,
            sql,
            planner: tokio::sync::Mutex::new(planner),
            schedule: Mutex::new(schedule),
            chunks: Mutex::default(),
            announced: Mutex::new(BTreeMap::new()),
            work: Notify::new(),
        }
    }

    /// The schedule. Held for short looks only, never across a wait.
    pub(crate) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The text of the watermark of a piece of work.
    pub(crate) fn watermark(&self, number: u64) -> String {
        format!("{}/{number}", self.run)
    }

    /// The piece of work whose watermark this is, when it is one of this run.
    pub(crate) fn work_of(&self, watermark: &str) -> Option<u64> {
        watermark.strip_prefix(&self.run)?.strip_prefix('/')?.parse().ok()
    }

    /// Waits for work; `None` once there is none left.
    pub(super) async fn next(&self) -> Option<Work> {
        loop {
            let woken = self.work.notified();
            {
                let mut schedule = self.schedule();
                if schedule.is_complete() {
                    return None;
                }
                if let Some(work) = schedule.take(Instant::now()) {
                    return Some(work);
                }
            }
            tokio::select! { biased;
                () = woken => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Of these tables, only those that `why` does not name may be read from now on. Says whether that is
    /// all of them.
    pub(super) fn hold(&self, tables: &BTreeSet<u32>, why: BTreeMap<u32, String>) -> bool {
        let all = self.schedule().hold(tables, why);
        self.work.notify_waiters();
        all
    }

    /// A chunk waits for its watermark from here on.
    pub(super) fn put(&self, chunk: Chunk) {
        self.chunks().insert(chunk.number, chunk);
    }

    /// The chunk of a piece of work, when it waits.
    pub(super) fn take(&self, number: u64) -> Option<Chunk> {
        self.chunks().remove(&number)
    }

    fn chunks(&self) -> MutexGuard<'_, BTreeMap<u64, Chunk>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn plan(&self, oid: u32, fingerprint: &str) -> Result<Option<Arc<TablePlan>>> {
        self.planner.lock().await.plan(&self.sql, oid, fingerprint).await
    }

    pub(super) fn saw(&self, seen: &Arc<Visibility>) {
        self.schedule().saw(seen);
    }

    /// The files of a table were looked up. `false` when there is nothing in them to read, so that the
    /// work is done once the stream has come to its watermark.
    pub(super) fn found(&self, work: &Work, files: Vec<File>) -> bool {
        let found = self.schedule().found(work, files);
        self.work.notify_waiters();
        found
    }

    pub(super) fn file_name(&self, work: &Work, file: u32) -> String {
        self.schedule().file_name(work, file)
    }

    /// A piece of work has to be done again; what was read for it is dropped.
    pub(super) fn give_back(&self, number: u64) {
        drop(self.take(number));
        self.schedule().give_back(number);
        self.work.notify_waiters();
    }

    pub(super) fn fail(&self, number: u64, why: String) {
        drop(self.take(number));
        self.schedule().fail(number, why);
    }

    pub(super) fn moved(&self, number: u64) {
        self.schedule().moved(number);
        self.work.notify_waiters();
    }

    pub(super) fn renamed(&self, number: u64, name: Option<TableId>) {
        self.schedule().renamed(number, name);
        self.work.notify_waiters();
    }

    pub(super) fn shrink(&self, number: u64) {
        self.schedule().shrink(number);
        self.work.notify_waiters();
    }

    /// The rows of a piece of work have been handed over.
    pub(super) fn finish(&self, number: u64, rows: u64) -> Option<Finished> {
        let finished = self.schedule().finish(number, rows);
        self.work.notify_waiters();
        finished
    }

    /// The stream has announced a table: it may look different now.
    pub(super) fn announce(&self, oid: u32) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        *announced.entry(oid).or_default() += 1;
    }

    /// How often the stream has announced a table.
    pub(super) fn announced(&self, oid: u32) -> u64 {
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.get(&oid).copied().unwrap_or(0)
    }

    /// More may be there to do.
    pub(super) fn wake(&self) {
        self.work.notify_waiters();
    }
}
