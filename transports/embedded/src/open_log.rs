//! What appenders, the writer thread and the readers of one open log share.

use crate::{
    append::Inbox,
    config::Config,
    error,
    frame::Seal,
    view::{Place, View},
};
use cdc_core::{Error, LogId, Result, TopicPartition, transport::Condition};
use std::{
    path::PathBuf,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

/// Accepted records that are not on disk yet take at most this much memory; a larger single append
/// comes alone.
pub(crate) const QUEUE_BYTES_MAX: usize = 16 << 20;

/// How far readers may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Offset after the newest durable record.
    pub(crate) end: u64,
    pub(crate) closed: bool,
}

/// Why appends are refused.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    Closed,
    Failed(String),
    ReadOnly,
}

/// One log, open in this process.
#[derive(Debug)]
pub(crate) struct OpenLog {
    pub(crate) id: LogId,
    pub(crate) seal: Seal,
    pub(crate) partition: TopicPartition,
    pub(crate) dir: PathBuf,
    pub(crate) config: Config,
    /// Written by another process: readers look for progress instead of being told.
    pub(crate) read_only: bool,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) condition: watch::Sender<Condition>,
    pub(crate) room: Semaphore,
    pub(crate) wake: Condvar,
    inbox: Mutex<Inbox>,
    view: Mutex<View>,
}

impl OpenLog {
    pub(crate) fn new(
        id: LogId,
        name: &str,
        dir: PathBuf,
        config: Config,
        view: View,
        read_only: bool,
    ) -> Self {
        let refusal = read_only.then_some(Refusal::ReadOnly);
        Self {
            id,
            seal: Seal::of(id),
            partition: TopicPartition::new(name, 0),
            dir,
            config,
            read_only,
            progress: watch::Sender::new(Progress { end: view.end, closed: false }),
            condition: watch::Sender::default(),
            room: Semaphore::new(QUEUE_BYTES_MAX),
            wake: Condvar::new(),
            inbox: Mutex::new(Inbox { refusal, ..Inbox::default() }),
            view: Mutex::new(view),
        }
    }

    pub(crate) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is something to do, at most for a while.
    pub(crate) fn wait<'a>(
        &self,
        inbox: MutexGuard<'a, Inbox>,
        limit: Duration,
        idle: impl FnMut(&mut Inbox) -> bool,
    ) -> MutexGuard<'a, Inbox> {
        let waited = self.wake.wait_timeout_while(inbox, limit, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn verify_partition(&self, asked: &TopicPartition) -> Result<()> {
        if *asked == self.partition {
            Ok(())
        } else {
            Err(error::unknown_partition(asked, &self.partition))
        }
    }

    /// The error of everything that is refused from now on.
    pub(crate) fn refused(&self, refusal: &Refusal) -> Error {
        match refusal {
            Refusal::Closed => error::closed(&self.dir),
            Refusal::Failed(what) => error::failed(&self.dir, what),
            Refusal::ReadOnly => error::read_only(&self.dir),
        }
    }

    /// Takes no more appends; what waits for room is refused.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.inbox().refusal.get_or_insert(refusal);
        self.room.close();
    }

    /// Where an offset is on disk.
    pub(crate) fn place_of(&self, offset: u64) -> Result<Place> {
        let (place, start, end) = {
            let view = self.view();
            (view.place_of(offset), view.start(), view.end)
        };
        if offset > end {
            return Err(error::beyond_end(&self.partition, offset, end));
        }
        place.ok_or_else(|| error::below_start(&self.partition, offset, start))
    }

    /// Says whether appends go through, and says it to the log once.
    pub(crate) fn set_condition(&self, condition: Condition) {
        self.condition.send_if_modified(|now| {
            if *now == condition {
                return false;
            }
            match &condition {
                Condition::Writable => tracing::info!(log = %self.partition, "appends go on"),
                Condition::Paused { reason } => {
                    tracing::warn!(log = %self.partition, reason, "appends are paused");
                }
            }
            *now = condition;
            true
        });
    }
}
