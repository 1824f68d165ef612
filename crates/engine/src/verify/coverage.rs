//! Waiting until a replica has everything that a view of the source shows.

use crate::{dead_letter::is_marker, refill::is_mark};
use async_trait::async_trait;
use cdc_core::{
    Checkpoint, Position, Result,
    verify::{ReplicaRows, SourceRows},
};
use std::time::Duration;
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(50);

/// How far the log of a running pipeline has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Everything captured up to here is in the log.
    pub captured: Option<Position>,
    /// The newest position in the log, told no earlier than `captured`.
    pub newest: Option<Position>,
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
            if covers(has, state, needed) {
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
fn covers(has: Option<Position>, log: LogState, needed: Position) -> bool {
    let Some(has) = has else { return false };
    has >= needed
        || log.captured.is_some_and(|captured| captured >= needed)
            && log.newest.is_some_and(|newest| has >= newest)
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

    #[test]
    fn a_quiet_log_covers_what_was_captured_and_nothing_more() {
        let at = |commit| Some(Position::new(commit, 1));
        let needed = Position::new(50, 0);
        let log = |captured, newest| LogState { captured, newest };
        for (has, state, expected) in [
            (None, log(at(60), at(10)), false),
            (at(50), LogState::default(), true),
            (at(49), LogState::default(), false),
            (at(10), log(at(60), at(10)), true),
            (at(10), log(at(60), at(11)), false),
            (at(10), log(at(49), at(10)), false),
            (at(10), log(at(60), None), false),
        ] {
            assert_eq!(covers(has, state, needed), expected, "{has:?} {state:?}");
        }
    }
}
