//! Writing to a sink, and what follows when it refuses.

use super::{
    Memory, Target,
    offsets::Offsets,
    session::{End, consumer},
};
use crate::{
    OnRejected, PipelineStatus,
    commit::Progress,
    dead_letter::{Parked, is_marker},
    error,
    intake::Fresh,
    refill,
};
use cdc_core::{
    Change, Checkpoint, Delivered, Error, Offset, Operation, Position, Result, Retry, SchemaId,
    Sink, SinkBatch, TableId, TableSchema, TopicPartition, WriteError,
    sink::{CommitBoundary, ParkScope},
    status::ConnectorState,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::time::Instant;

/// One session's hold on its sink.
pub(crate) struct Writer<'a> {
    pub(super) target: &'a Target,
    memory: &'a mut Memory,
    pub(super) sink: Box<dyn Sink>,
    pub(super) kept_by_sink: bool,
    pub(super) progress: Progress,
    pub(super) offsets: Offsets,
    pub(super) parked: Parked,
    pub(super) prepared: BTreeMap<TableId, (SchemaId, Arc<TableSchema>)>,
    snapshotting: bool,
    newest_commit_ms: u64,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        target: &'a Target,
        memory: &'a mut Memory,
        sink: Box<dyn Sink>,
        kept_by_sink: bool,
        progress: Progress,
        parked: Parked,
    ) -> Self {
        let prepared = BTreeMap::new();
        Self {
            target,
            memory,
            sink,
            kept_by_sink,
            progress,
            offsets: Offsets::default(),
            parked,
            prepared,
            snapshotting: false,
            newest_commit_ms: 0,
        }
    }

    /// Passes changes on in order. `Some` ends the session without an error.
    pub(super) async fn write(
        &mut self,
        from: &TopicPartition,
        fresh: Vec<Fresh>,
    ) -> Result<Option<End>> {
        let Some(last) = fresh.last() else { return Ok(None) };
        let inside_transaction = !last.delivered.change.ends_transaction;
        let mut run = Vec::with_capacity(fresh.len());
        let mut aside = Vec::new();
        for Fresh { delivered, schema } in fresh {
            if self.is_set_aside(&delivered.change) {
                aside.push(delivered);
                continue;
            }
            if !self.is_prepared(&delivered.change, schema) {
                if let Some(end) = self.flush(from, std::mem::take(&mut run)).await? {
                    return Ok(Some(end));
                }
                if let Some(end) = self.prepare(from, &delivered, schema).await? {
                    return Ok(Some(end));
                }
            }
            let emptied = refill::truncate_before(self.progress.checkpoint(), &delivered);
            if let Some((truncate, noted, place)) = emptied {
                if let Some(end) = self.flush(from, std::mem::take(&mut run)).await? {
                    return Ok(Some(end));
                }
                let changes = vec![truncate];
                let batch = SinkBatch { partition: from.clone(), changes };
                self.sink.write(&batch).await.map_err(|failed| failed.error)?;
                self.progress.mark(noted, place);
            }
            run.push(delivered);
        }
        if let Some(end) = self.flush(from, run).await? {
            return Ok(Some(end));
        }
        self.set_aside(from, &aside).await?;
        self.progress.inside_transaction(inside_transaction);
        Ok(None)
    }

    fn is_prepared(&self, change: &Change, id: SchemaId) -> bool {
        self.prepared.get(&change.schema.table).is_some_and(|(prepared, _)| *prepared == id)
    }

    async fn prepare(
        &mut self,
        from: &TopicPartition,
        delivered: &Delivered,
        id: SchemaId,
    ) -> Result<Option<End>> {
        let new = &delivered.change.schema;
        let old = self.prepared.get(&new.table).map(|(_, schema)| &**schema);
        match self.sink.prepare(old, new).await {
            Ok(()) => {
                self.prepared.insert(new.table.clone(), (id, Arc::clone(new)));
                Ok(None)
            }
            Err(refusal) if refusal.retry == Retry::Never => {
                self.reject(from, delivered, refusal).await?;
                Ok(Some(End::Again))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Writes a run of changes whose schemas are prepared.
    async fn flush(
        &mut self,
        from: &TopicPartition,
        changes: Vec<Delivered>,
    ) -> Result<Option<End>> {
        let mut batch = SinkBatch { partition: from.clone(), changes };
        while !batch.changes.is_empty() {
            let Err(failed) = self.sink.write(&batch).await else {
                self.took(from, &batch.changes);
                return Ok(None);
            };
            let WriteError { error, accepted, rejected } = failed;
            let (taken, left) = batch.changes.split_at(accepted.min(batch.changes.len()));
            self.took(from, taken);
            let refused = rejected.and_then(|index| batch.changes.get(index));
            match refused.filter(|refused| self.is_final(&error, &refused.change)) {
                Some(refused) => {
                    let goes_on = rejected == Some(accepted);
                    let refused = refused.clone();
                    let left = left.get(1..).unwrap_or_default().to_vec();
                    self.reject(from, &refused, error).await?;
                    if !goes_on || self.sink.commit_boundary() == CommitBoundary::Transaction {
                        return Ok(Some(End::Again));
                    }
                    self.progress.took(from, refused.offset, &refused.change);
                    batch.changes = left;
                }
                None => {
                    if accepted > 0 && self.progress.at_boundary() {
                        self.commit().await?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// Is the sink's refusal of this change its last word?
    fn is_final(&mut self, error: &Error, change: &Change) -> bool {
        match error.retry {
            Retry::Never => true,
            Retry::AfterOperator => false,
            Retry::Backoff => {
                let before = match self.memory.refused {
                    Some((position, count)) if position == change.position => count,
                    Some(_) | None => 0,
                };
                self.memory.refused = Some((change.position, before + 1));
                before + 1 >= self.target.spec.retry.max_attempts
            }
        }
    }

    fn took(&mut self, from: &TopicPartition, changes: &[Delivered]) {
        for delivered in changes {
            self.progress.took(from, delivered.offset, &delivered.change);
        }
        if let Some(last) = changes.last() {
            self.snapshotting = last.change.operation == Operation::Snapshot;
            let micros = last.change.transaction.commit_time.to_micros().unwrap_or(0);
            self.newest_commit_ms = u64::try_from(micros / 1_000).unwrap_or(0);
        }
    }

    fn is_set_aside(&self, change: &Change) -> bool {
        self.memory.skipped.contains(&change.position) || self.parked.holds(change)
    }

    /// Passes changes by: they are dead letters already, become ones with their table, or are skipped.
    async fn set_aside(&mut self, from: &TopicPartition, changes: &[Delivered]) -> Result<()> {
        let held = |d: &&Delivered| self.parked.holds_table(&d.change.schema.table);
        let letters: Vec<Delivered> = changes.iter().filter(held).cloned().collect();
        if !letters.is_empty() {
            self.parked.add(self.target, from, &letters, None, ParkScope::Table).await?;
        }
        for delivered in changes {
            self.progress.took(from, delivered.offset, &delivered.change);
        }
        Ok(())
    }

    /// A change that the destination will not take.
    async fn reject(
        &mut self,
        from: &TopicPartition,
        delivered: &Delivered,
        error: Error,
    ) -> Result<()> {
        let position = delivered.change.position;
        let table = &delivered.change.schema.table;
        let sink_id = &self.target.spec.sink_id;
        match self.target.spec.on_rejected {
            OnRejected::Stop => Err(error::stopped_at_rejected(sink_id, error)),
            OnRejected::Skip => {
                tracing::warn!(%sink_id, %table, %position, error = %error.chain(), "change skipped");
                self.memory.skipped.insert(position);
                Ok(())
            }
            OnRejected::Park => {
                tracing::warn!(%sink_id, %table, %position, error = %error.chain(), "change parked");
                let scope = self.sink.park_scope();
                self.parked
                    .add(self.target, from, std::slice::from_ref(delivered), Some(&error), scope)
                    .await
            }
        }
    }

    pub(super) fn is_worth_a_commit(&self) -> bool {
        self.progress.uncommitted() > 0 && self.progress.at_boundary()
    }

    /// When there is something to commit, or to tell the log.
    pub(super) fn commit_due_at(&self) -> Option<Instant> {
        let told = self.offsets.due_at();
        let due = self.progress.due_at();
        match (due, told) {
            (Some(due), Some(told)) => Some(due.min(told)),
            (one, other) => one.or(other),
        }
    }

    pub(super) async fn commit_what_is_due(&mut self) -> Result<()> {
        if self.progress.due(Instant::now()) {
            return self.commit().await;
        }
        self.tell_offsets().await
    }

    /// Makes what was written durable together with its checkpoint.
    pub(super) async fn commit(&mut self) -> Result<()> {
        let checkpoint = self.progress.to_store();
        self.sink.commit(&checkpoint).await?;
        let stored = checkpoint.into_owned();
        let shared = self.is_shared();
        let spec = &self.target.shared.spec;
        if shared {
            let places = stored.partitions.iter().filter(|(at, _)| !is_note(at));
            self.offsets.note(places.map(|(at, place)| (at.clone(), *place)).collect());
            if !self.kept_by_sink {
                self.offsets.tell(self.target).await?;
            }
        } else if !self.kept_by_sink {
            spec.checkpoints.save(&consumer(&self.target.context), &stored).await?;
        }
        self.memory.progressed = true;
        let newest = newest(self.progress.checkpoint());
        if let Some(newest) = newest {
            self.memory.skipped.retain(|position| *position > newest);
            self.parked.passed(self.progress.checkpoint());
        }
        let changes = self.progress.committed();
        for (partition, place) in stored.partitions {
            release(self.target, &partition, place.offset).await?;
        }
        self.note_commit(changes, newest);
        Ok(())
    }

    /// Places that moved past records that hold no change: nobody has to read those again.
    pub(super) fn note_moved(&mut self) {
        if self.progress.has_moved() && self.progress.uncommitted() == 0 {
            let moved = self.progress.to_store().into_owned().partitions;
            self.offsets.note(moved.into_iter().filter(|(at, _)| !is_note(at)).collect());
        }
    }

    /// Tells the log what it does not know yet of a sink that keeps its own checkpoint.
    async fn tell_offsets(&mut self) -> Result<()> {
        match self.offsets.tell(self.target).await {
            Err(error) if self.kept_by_sink => {
                tracing::debug!(error = %error.chain(), "the log was not told of offsets");
                Ok(())
            }
            told => told,
        }
    }

    fn note_commit(&self, changes: u64, newest: Option<Position>) {
        let sink_id = self.target.spec.sink_id.clone();
        metrics::counter!("cdc_changes_delivered_total", "sink" => sink_id).increment(changes);
        let now = self.target.shared.now_ms();
        let state =
            if self.snapshotting { ConnectorState::Snapshotting } else { ConnectorState::Running };
        self.target.shared.update_sink(self.target.index, |status| {
            status.delivered += changes;
            status.position = newest;
            status.lag_records = status.lag_records.saturating_sub(changes);
            status.lag_ms = match status.lag_records {
                0 => 0,
                _ => now.saturating_sub(self.newest_commit_ms),
            };
            status.state = state;
            status.error = None;
            status.dead_letters = self.parked.count();
            status.parked_tables = self.parked.tables();
        });
        self.target.shared.update(PipelineStatus::settle_sinks);
    }

    pub(super) fn show_parked(&self) {
        self.target.shared.update_sink(self.target.index, |status| {
            status.dead_letters = self.parked.count();
            status.parked_tables = self.parked.tables();
        });
    }

    /// Commits what may be committed, and closes the sink.
    pub(super) async fn finish(mut self) -> Result<()> {
        if self.is_worth_a_commit() {
            self.commit().await?;
        }
        self.note_moved();
        self.tell_offsets().await?;
        self.sink.close().await
    }
}

/// The newest position that a checkpoint holds.
pub(super) fn newest(checkpoint: &Checkpoint) -> Option<Position> {
    let reading = checkpoint.partitions.iter().filter(|(at, _)| !is_note(at));
    reading.map(|(_, place)| place.position).max()
}

/// Is this no place in a log?
fn is_note(partition: &TopicPartition) -> bool {
    is_marker(partition) || refill::is_mark(partition)
}

/// Lets the log drop what every sink has passed.
pub(super) async fn release(
    target: &Target,
    partition: &TopicPartition,
    offset: Offset,
) -> Result<()> {
    if is_note(partition) {
        return Ok(());
    }
    match target.shared.release.passed(target.index, partition, offset) {
        Some(before) => target.shared.spec.transport.release(partition, before).await,
        None => Ok(()),
    }
}
