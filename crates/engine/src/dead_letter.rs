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

/// The same for the letters of one partition, where processes share the partitions.
pub(crate) fn marker_of(partition: &TopicPartition) -> TopicPartition {
    TopicPartition::new(format!("{MARKER}/{}", partition.topic), partition.partition)
}

/// Is this no place in a log but the mark of a redelivered letter?
pub(crate) fn is_marker(partition: &TopicPartition) -> bool {
    partition.topic.starts_with(MARKER)
}

/// The partition that a letter was read from, by the name that the letter has for it.
pub(crate) fn partition_of(info: &DeadLetterInfo) -> TopicPartition {
    TopicPartition::new(info.topic.as_str(), info.partition)
}

/// The mark of a letter.
pub(crate) fn mark_of(letter: &DeadLetter) -> Place {
    Place { offset: Offset(letter.id), position: letter.info.position }
}

/// What one sink has set aside, as far as reading on must know it.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    count: u64,
    /// Letters of the sink in the store, those in other processes' partitions included.
    stored: u64,
    /// Tables whose every change is set aside, with the number of their letters.
    tables: BTreeMap<String, u64>,
    /// Letters above the checkpoint, and their partitions: reading will meet them again after a restart.
    ahead: BTreeMap<Position, TopicPartition>,
    /// The partitions that have letters, where this process has not all of them.
    partitions: Option<BTreeSet<TopicPartition>>,
}

impl Parked {
    /// Reads what the store has, and drops the letter that was redelivered just before a crash.
    pub(crate) async fn load(
        store: &dyn DeadLetterStore,
        target: &Target,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let mut parked = Self::default();
        if target.shared.is_shared() {
            parked.partitions = Some(BTreeSet::new());
        }
        let mut after = 0;
        loop {
            let letters = store.list(Some(&target.spec.sink_id), after, PAGE).await?;
            let Some(last) = letters.last() else { return Ok(parked) };
            after = last.id;
            for letter in &letters {
                let at = partition_of(&letter.info);
                let mark = if parked.partitions.is_some() { marker_of(&at) } else { marker() };
                if checkpoint.partitions.get(&mark) == Some(&mark_of(letter)) {
                    store.remove(&[letter.id]).await?;
                    continue;
                }
                parked.stored += 1;
                if let Some(partitions) = &mut parked.partitions {
                    if !checkpoint.partitions.contains_key(&at) {
                        continue;
                    }
                    partitions.insert(at.clone());
                }
                parked.note(&letter.info);
                let position = letter.info.position;
                if reading_place(checkpoint, &at).is_none_or(|read| position > read) {
                    parked.ahead.insert(position, at);
                }
            }
        }
    }

    /// The partitions that have letters, where this process has not all of them.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.partitions.iter().flatten()
    }

    /// Letters of the sink in the store when it was last looked, and since then as far as this process
    /// knows.
    pub(crate) fn stored(&self) -> u64 {
        self.stored
    }

    /// Where the letter is marked as redelivered.
    pub(crate) fn mark_for(&self, letter: &DeadLetter) -> TopicPartition {
        match &self.partitions {
            Some(_) => marker_of(&partition_of(&letter.info)),
            None => marker(),
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
        self.ahead.contains_key(&change.position) || self.holds_table(&change.schema.table)
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

    /// The checkpoint has moved.
    pub(crate) fn passed(&mut self, checkpoint: &Checkpoint) {
        self.ahead.retain(|position, at| {
            reading_place(checkpoint, at).is_none_or(|read| *position > read)
        });
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
        let new = changes.iter().filter(|d| !self.ahead.contains_key(&d.change.position));
        let letters: Vec<DeadLetter> =
            new.map(|delivered| letter(target, from, delivered, error, scope)).collect();
        for letter in &letters {
            let at = partition_of(&letter.info);
            if let Some(partitions) = &mut self.partitions {
                partitions.insert(at.clone());
            }
            self.ahead.insert(letter.info.position, at);
            self.stored += 1;
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
                if self.partitions.as_ref().is_some_and(|ours| !ours.contains(&partition_of(info)))
                {
                    continue;
                }
                let passed = !self.ahead.contains_key(&info.position);
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
        self.stored = self.stored.saturating_sub(1);
        if let Some(left) = self.tables.get_mut(&info.table).filter(|_| info.holds_table) {
            *left -= 1;
            if *left == 0 {
                self.tables.remove(&info.table);
            }
        }
    }
}

/// How far the partition that a letter came from has been read.
fn reading_place(checkpoint: &Checkpoint, letter: &TopicPartition) -> Option<Position> {
    if let Some(place) = checkpoint.partitions.get(letter) {
        return Some(place.position);
    }
    // A broker's partitions carry the topic of the table; an embedded log has one for all.
    let places = checkpoint.partitions.iter().filter(|(at, _)| at.partition == letter.partition);
    let any = places.filter(|(at, _)| !at.topic.starts_with('~')).map(|(_, place)| place.position);
    any.max()
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
        topic: match target.shared.is_shared() {
            true => from.topic.to_string(),
            false => delivered.topic.to_string(),
        },
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
