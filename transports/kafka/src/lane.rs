//! What waits for its acknowledgement in one partition.

use crate::error;
use cdc_core::{Error, Offset, Result, TopicPartition};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};

/// The records of one partition that were sent and not yet acknowledged, batch by batch.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) partition: TopicPartition,
    state: Mutex<State>,
}

/// Batches in append order.
#[derive(Debug, Default)]
pub(crate) struct State {
    pending: VecDeque<Pending>,
    /// Offset after the newest acknowledged record, where it is known.
    end: Option<Offset>,
    /// Why the partition takes nothing more.
    failed: Option<String>,
}

#[derive(Debug)]
struct Pending {
    unacknowledged: usize,
    since: Instant,
    receipt: oneshot::Sender<Result<Offset>>,
    _room: OwnedSemaphorePermit,
}

impl Lane {
    pub(crate) fn new(partition: TopicPartition) -> Self {
        Self { partition, state: Mutex::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record is on the brokers; `None` where they did not say at which offset.
    pub(crate) fn acknowledged(&self, offset: Option<u64>) {
        let mut state = self.state();
        state.end = offset.map(|offset| Offset(offset + 1));
        state.count_one();
        state.resolve();
    }

    /// Fails what waits and all that comes.
    pub(crate) fn fail(&self, why: &str) {
        let mut state = self.state();
        let why = state.failed.get_or_insert_with(|| why.to_owned()).clone();
        for batch in std::mem::take(&mut state.pending) {
            // Nobody may be waiting any more.
            drop(batch.receipt.send(Err(error::append_failed(&self.partition, &why))));
        }
    }

    pub(crate) fn refusal(&self, state: &State) -> Option<Error> {
        state.failed.as_ref().map(|why| error::append_failed(&self.partition, why))
    }

    /// Does a batch wait only for the partition's end to be looked up?
    pub(crate) fn wants_end(&self) -> bool {
        let state = self.state();
        state.end.is_none() && state.pending.front().is_some_and(|batch| batch.unacknowledged == 0)
    }

    /// Tells the end that was looked up after everything before was acknowledged.
    pub(crate) fn settle(&self, end: Offset) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        state.resolve();
    }

    /// Since when the oldest batch waits.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.state().pending.front().map(|batch| batch.since)
    }
}

impl State {
    pub(crate) fn push(
        &mut self,
        records: usize,
        room: OwnedSemaphorePermit,
        receipt: oneshot::Sender<Result<Offset>>,
    ) {
        let since = Instant::now();
        self.pending.push_back(Pending { unacknowledged: records, since, receipt, _room: room });
        self.resolve();
    }

    fn count_one(&mut self) {
        let waiting = self.pending.iter_mut().find(|batch| batch.unacknowledged > 0);
        if let Some(batch) = waiting {
            batch.unacknowledged -= 1;
        }
    }

    fn resolve(&mut self) {
        let Some(end) = self.end else { return };
        while self.pending.front().is_some_and(|batch| batch.unacknowledged == 0) {
            if let Some(batch) = self.pending.pop_front() {
                // Nobody may be waiting any more.
                drop(batch.receipt.send(Ok(end)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    fn push(lane: &Lane, records: usize) -> oneshot::Receiver<Result<Offset>> {
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (sender, receipt) = oneshot::channel();
        lane.state().push(records, room, sender);
        receipt
    }

    #[test]
    fn receipts_resolve_batch_by_batch() {
        let lane = Lane::new(TopicPartition::new("t", 0));
        let (mut first, mut empty, mut last) = (push(&lane, 2), push(&lane, 0), push(&lane, 1));
        lane.acknowledged(Some(4));
        assert!(first.try_recv().is_err());
        lane.acknowledged(Some(5));
        assert_eq!(first.try_recv().unwrap().unwrap(), Offset(6));
        assert_eq!(empty.try_recv().unwrap().unwrap(), Offset(6));
        lane.acknowledged(Some(9));
        assert_eq!(last.try_recv().unwrap().unwrap(), Offset(10));
    }

    #[test]
    fn an_acknowledgement_without_offset_waits_for_the_end() {
        let lane = Lane::new(TopicPartition::new("t", 0));
        let mut receipt = push(&lane, 1);
        lane.acknowledged(None);
        assert!(receipt.try_recv().is_err() && lane.wants_end());
        lane.settle(Offset(7));
        assert_eq!(receipt.try_recv().unwrap().unwrap(), Offset(7));
    }

    #[test]
    fn after_a_failure_everything_fails() {
        let lane = Lane::new(TopicPartition::new("t", 0));
        let mut receipt = push(&lane, 2);
        lane.acknowledged(Some(0));
        lane.fail("gone");
        lane.acknowledged(Some(1));
        assert_eq!(receipt.try_recv().unwrap().unwrap_err().code, "CDC-2107");
        assert!(lane.refusal(&lane.state()).is_some());
    }
}
