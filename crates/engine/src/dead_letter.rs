//! Changes that a sink will not take: setting them aside, and delivering them again on request.

use crate::deliver::Target;
use cdc_codec::row;
use cdc_core::{
    Change, Checkpoint, Delivered, Error, Offset, Place, Position, Result, TableId, TopicPartition,
    dead_letter::{DeadLetter, DeadLetterInfo, DeadLetterStore},
    sink::ParkScope,
    status::Problem,
};
use std::collections::{BTreeMap, BTreeSet};

/// The name in a checkpoint of the letter redelivered last: no table's topic can be called so.
const MARKER: &str = "~dead-letter";
/// Letters looked at in one go.
const PAGE: usize = 200;

/// Where a checkpoint keeps the letter redelivered last.
pub(crate) fn marker() -> TopicPartition {
    TopicPartition::new(MARKER, 0)
}

/// Is this no place in a log but the mark of a redelivered letter?
pub(crate) fn is_marker(partition: &TopicPartition) -> bool {
    &*partition.topic == MARKER
}

/// The mark of a letter.
pub(crate) fn mark_of(letter: &DeadLetter) -> Place {
    Place { offset: Offset(letter.id), position: letter.info.position }
}

/// What one sink has set aside, as far as reading on must know it.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    count: u64,
    /// Tables whose every change is set aside, with the number of their letters.
    tables: BTreeMap<String, u64>,
    /// Letters above the checkpoint: reading will meet them again after a restart.
    ahead: BTreeSet<Position>,
}

impl Parked {
    /// Reads what the store has, and drops the letter that was redelivered just before a crash.
    pub(crate) async fn load(
        store: &dyn DeadLetterStore,
        target: &Target,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let mut parked = Self::default();
        let redelivered = checkpoint.partitions.get(&marker()).copied();
        let mut after = 0;
        loop {
            let letters = store.list(Some(&target.spec.sink_id), after, PAGE).await?;
            let Some(last) = letters.last() else { return Ok(parked) };
            after = last.id;
            for letter in &letters {
                if redelivered == Some(mark_of(letter)) {
                    store.remove(&[letter.id]).await?;
                    continue;
                }
                let info = &letter.info;
                parked.note(info);
                if reading_place(checkpoint, info).is_none_or(|read| info.position > read) {
                    parked.ahead.insert(info.position);
                }
            }
        }
    }

    fn note(&mut self, info: &DeadLetterInfo) {
        self.count += 1;
        if info.holds_table {
            *self.tables.entry(info.table.clone()).or_default() += 1;
        }
    }

    /// Must this change be passed by?
    pub(crate) fn holds(&self, change: &Change) -> bool {
        self.ahead.contains(&change.position) || self.holds_table(&change.schema.table)
    }

    pub(crate) fn holds_table(&self, table: &TableId) -> bool {
        !self.tables.is_empty() && self.tables.contains_key(&table.to_string())
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn tables(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    /// The checkpoint has passed `position`.
    pub(crate) fn passed(&mut self, position: Position) {
        self.ahead = self.ahead.split_off(&Position::new(position.commit, position.ordinal + 1));
    }

    /// Stores changes as dead letters: the one that was refused with its error, or those that follow
    /// their parked table.
    pub(crate) async fn add(
        &mut self,
        target: &Target,
        from: &TopicPartition,
        changes: &[Delivered],
        error: Option<&Error>,
        scope: ParkScope,
    ) -> Result<()> {
        let new = changes.iter().filter(|d| !self.ahead.contains(&d.change.position));
        let letters: Vec<DeadLetter> =
            new.map(|delivered| letter(target, from, delivered, error, scope)).collect();
        for letter in &letters {
            self.ahead.insert(letter.info.position);
            self.note(&letter.info);
        }
        let sink = target.spec.sink_id.clone();
        metrics::counter!("cdc_dead_letters_total", "sink" => sink).increment(letters.len() as u64);
        target.shared.spec.dead_letters.park(letters).await
    }

    /// The next letter that an operator wants delivered again, and that nothing stands before: the
    /// letters of a parked table go in order, and none goes before the checkpoint has passed its
    /// place, or a crash would bring the change back by reading.
    pub(crate) async fn next_requested(
        &self,
        store: &dyn DeadLetterStore,
        sink_id: &str,
    ) -> Result<Option<DeadLetter>> {
        let mut waiting: BTreeSet<String> = BTreeSet::new();
        let mut after = 0;
        loop {
            let letters = store.list(Some(sink_id), after, PAGE).await?;
            let Some(last) = letters.last() else { return Ok(None) };
            after = last.id;
            for letter in letters {
                let info = &letter.info;
                let passed = !self.ahead.contains(&info.position);
                if info.retry_requested && passed && !waiting.contains(&info.table) {
                    return Ok(Some(letter));
                }
                if info.holds_table {
                    waiting.insert(info.table.clone());
                }
            }
        }
    }

    /// A letter was delivered at last.
    pub(crate) fn forget(&mut self, info: &DeadLetterInfo) {
        self.count = self.count.saturating_sub(1);
        if let Some(left) = self.tables.get_mut(&info.table).filter(|_| info.holds_table) {
            *left -= 1;
            if *left == 0 {
                self.tables.remove(&info.table);
            }
        }
    }
}

/// How far the partition that a letter came from has been read.
fn reading_place(checkpoint: &Checkpoint, info: &DeadLetterInfo) -> Option<Position> {
    let places = checkpoint.partitions.iter().filter(|(at, _)| at.partition == info.partition);
    // A broker's partitions carry the topic of the table; an embedded log has one for all.
    let exact = places.clone().find(|(at, _)| *at.topic == info.topic);
    let any = places.filter(|(at, _)| !at.topic.starts_with('~')).map(|(_, place)| place);
    exact.map(|(_, place)| place).or_else(|| any.max_by_key(|p| p.position)).map(|p| p.position)
}

fn letter(
    target: &Target,
    from: &TopicPartition,
    delivered: &Delivered,
    error: Option<&Error>,
    scope: ParkScope,
) -> DeadLetter {
    let change = &delivered.change;
    let info = DeadLetterInfo {
        sink_id: target.spec.sink_id.clone(),
        topic: delivered.topic.to_string(),
        table: change.schema.table.to_string(),
        partition: from.partition,
        offset: delivered.offset,
        position: change.position,
        error_code: error.map(|error| error.code.to_owned()).unwrap_or_default(),
        error: error.map(|error| Problem::from(error).message).unwrap_or_default(),
        parked_at_ms: target.shared.now_ms(),
        retries: 0,
        retry_requested: false,
        holds_table: scope == ParkScope::Table,
    };
    DeadLetter { id: 0, info, payload: row::encode_letter(change) }
}
