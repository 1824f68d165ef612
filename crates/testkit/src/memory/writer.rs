//! Records that become visible together with their writer's place.

use cdc_core::{
    Error, Offset, Origin, Position, Record, Result, Retry, TopicPartition, transport::Writing,
};
use std::{collections::BTreeMap, mem};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// The newest writer of each name.
#[derive(Debug, Default)]
pub(super) struct Writers(BTreeMap<String, Newest>);

#[derive(Debug, Default)]
struct Newest {
    place: Option<Position>,
    deposed: CancellationToken,
}

/// What one writer has appended and not sealed.
#[derive(Debug)]
pub(super) struct Writer {
    name: String,
    deposed: CancellationToken,
    staged: Vec<Staged>,
}

/// One append.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) to: TopicPartition,
    pub(super) records: Vec<Record>,
    pub(super) receipt: oneshot::Sender<Result<Offset>>,
}

impl Writers {
    /// Shuts the writer of this name out that began before.
    pub(super) fn begin(&mut self, name: &str) -> (Writer, Writing) {
        let newest = self.0.entry(name.to_owned()).or_default();
        let deposed = CancellationToken::new();
        mem::replace(&mut newest.deposed, deposed.clone()).cancel();
        let place = newest.place;
        let writing = Writing { in_transactions: true, place, deposed: deposed.clone() };
        (Writer { name: name.to_owned(), deposed, staged: Vec::new() }, writing)
    }

    /// Moves the writer's place, unless it is shut out.
    pub(super) fn seal(&mut self, writer: &mut Writer, place: Position) -> Result<Vec<Staged>> {
        writer.refusal()?;
        self.0.entry(writer.name.clone()).or_default().place = Some(place);
        Ok(mem::take(&mut writer.staged))
    }
}

impl Writer {
    fn refusal(&self) -> Result<()> {
        if !self.deposed.is_cancelled() {
            return Ok(());
        }
        let context = format!("another writer has begun as {}", self.name);
        Err(Error::new("CDC-2116", Origin::Transport, Retry::Backoff, context))
    }

    pub(super) fn stage(&mut self, staged: Staged) -> Result<()> {
        self.refusal()?;
        self.staged.push(staged);
        Ok(())
    }
}

/// A transport in transactions takes records of a writer only.
pub(super) fn not_begun() -> Error {
    let context = "no writer has begun";
    Error::new("CDC-2107", Origin::Transport, Retry::Backoff, context)
}
