//! Waiting until a replica has everything that a view of the source shows.

use crate::{dead_letter::is_marker, refill::is_mark};
use async_trait::async_trait;
use cdc_core::{
    Checkpoint, Offset, Position, Result, TopicPartition,
    verify::{ReplicaRows, SourceRows},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(50);

/// How far the log of a running pipeline has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Everything captured up to here is in the log.
    pub captured: Option<Position>,
    /// The newest position in the log, told no earlier than `captured`.
    pub newest: Option<Position>,
    /// Where each partition ends, told no earlier than `captured`, in a log without one order for all.
    pub ends: Option<BTreeMap<TopicPartition, Offset>>,
}

/// Tells how far the log has got.
#[async_trait]
pub trait LogView: Send + Sync {
    /// `None` when nobody can tell, as when the pipeline does not run.
    async fn state(&self) -> Option<LogState>;

    /// What is known about the pipeline and may explain that the sink does not get on.
    async fn trouble(&self) -> Option<String>;
}

/// Whether the replica got as far as it had to.
pub(super) enum Covered<T> {
    /// It did.
    Yes(T),
    /// It did not in time; says how far behind it is.
    No(String),
}

/// Patience, of which only so much is spent on a replica that does not move.
pub(super) struct Coverage {
    wait: Duration,
    exhausted: bool,
}

impl Coverage {
    pub(super) fn new(wait: Duration) -> Self {
        Self { wait, exhausted: false }
    }

    /// Begins a view of the replica that has everything below `needed`.
    pub(super) async fn begin(
        &mut self,
        source: &dyn SourceRows,
        replica: &mut dyn ReplicaRows,
        log: &dyn LogView,
        needed: Position,
    ) -> Result<Covered<()>> {
        // A replica that was given up on once is asked, but not waited for.
        let patience = if self.exhausted { Duration::ZERO } else { self.wait };
        let deadline = Instant::now() + patience;
        loop {
            let state = log.state().await.unwrap_or_default();
            let checkpoint = replica.begin().await?;
            let has = checkpoint.as_ref().and_then(position);
            if covers(checkpoint.as_ref(), &state, needed) {
                self.exhausted = false;
                return Ok(Covered::Yes(()));
            }
            replica.end().await?;
            if Instant::now() >= deadline {
                self.exhausted = true;
                let bytes = has.and_then(|has| source.bytes_between(has, needed));
                return Ok(Covered::No(behind(bytes, log.trouble().await)));
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// How far a sink has got: the least of its partitions.
fn position(checkpoint: &Checkpoint) -> Option<Position> {
    let places = checkpoint.partitions.iter();
    let read = places.filter(|(at, _)| !is_marker(at) && !is_mark(at));
    read.map(|(_, place)| place.position).min()
}

/// Where captured tables are quiet, the checkpoint stays at their last change: then it is enough that
/// the log has nothing newer.
fn covers(checkpoint: Option<&Checkpoint>, log: &LogState, needed: Position) -> bool {
    let captured = log.captured.is_some_and(|captured| captured >= needed);
    if let Some(ends) = &log.ends {
        return captured && checkpoint.is_some_and(|checkpoint| is_at_the_end(checkpoint, ends));
    }
    let Some(has) = checkpoint.and_then(position) else { return false };
    has >= needed || captured && log.newest.is_some_and(|newest| has >= newest)
}

/// Has a sink read every partition to its end?
fn is_at_the_end(checkpoint: &Checkpoint, ends: &BTreeMap<TopicPartition, Offset>) -> bool {
    let read = |at| checkpoint.partitions.get(at).map_or(Offset(0), |place| place.offset);
    ends.iter().all(|(at, end)| read(at) >= *end)
}

fn behind(bytes: Option<u64>, trouble: Option<String>) -> String {
    let mut text = match bytes {
        Some(bytes) => format!("could not be compared: the sink is {bytes} bytes behind"),
        None => "could not be compared: the sink has committed nothing yet".to_owned(),
    };
    if let Some(trouble) = trouble {
        text.push_str(&format!(" ({trouble})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::Place;

    #[test]
    fn a_quiet_log_covers_what_was_captured_and_nothing_more() {
        let at = |commit| Some(Position::new(commit, 1));
        let needed = Position::new(50, 0);
        let log = |captured, newest| LogState { captured, newest, ends: None };
        let checkpoint = |has: Option<Position>| {
            let place = Place { offset: Offset(1), position: has? };
            let partitions = [(TopicPartition::new("log", 0), place)].into();
            Some(Checkpoint { partitions, ..Checkpoint::default() })
        };
        for (has, state, expected) in [
            (None, log(at(60), at(10)), false),
            (at(50), LogState::default(), true),
            (at(49), LogState::default(), false),
            (at(10), log(at(60), at(10)), true),
            (at(10), log(at(60), at(11)), false),
            (at(10), log(at(49), at(10)), false),
            (at(10), log(at(60), None), false),
        ] {
            let covered = covers(checkpoint(has).as_ref(), &state, needed);
            assert_eq!(covered, expected, "{has:?} {state:?}");
        }
    }

    #[test]
    fn partitions_without_one_order_are_covered_by_their_ends() {
        let at = |partition| TopicPartition::new("t", partition);
        let state = |captured, ends: [u64; 2]| LogState {
            captured: Some(Position::new(captured, 0)),
            newest: None,
            ends: Some([(at(0), Offset(ends[0])), (at(1), Offset(ends[1]))].into()),
        };
        let place = Place { offset: Offset(7), position: Position::new(20, 0) };
        let partitions = [(at(0), place)].into();
        let checkpoint = Checkpoint { partitions, ..Checkpoint::default() };
        for (captured, ends, expected) in
            [(50, [7, 0], true), (49, [7, 0], false), (50, [8, 0], false), (50, [7, 1], false)]
        {
            let state = state(captured, ends);
            let covered = covers(Some(&checkpoint), &state, Position::new(50, 0));
            assert_eq!(covered, expected, "{state:?}");
        }
        assert!(!covers(None, &state(50, [1, 0]), Position::new(50, 0)));
        assert!(!covers(Some(&checkpoint), &LogState::default(), Position::new(50, 0)));
    }
}
