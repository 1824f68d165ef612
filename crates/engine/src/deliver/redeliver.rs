//! Delivering a dead letter again.

use super::{session::End, write::Writer};
use crate::dead_letter::{Parked, mark_of, marker};
use cdc_codec::row;
use cdc_core::{
    Delivered, Error, Result, Retry, SinkBatch, TopicPartition, dead_letter::DeadLetter,
    sink::CommitBoundary, status::Problem,
};
use std::sync::Arc;

/// So many letters at a time, so that reading goes on in between.
const LETTERS_MAX: usize = 100;

impl Writer<'_> {
    /// Between two batches, with nothing uncommitted, letters can be looked at.
    pub(super) fn may_redeliver(&self) -> bool {
        self.parked.count() > 0 && self.progress.uncommitted() == 0 && self.progress.at_boundary()
    }

    /// Delivers the letters that an operator asked for. Data, checkpoint and the mark of the letter are
    /// one commit, so that a crash before the letter is removed does not deliver it twice.
    pub(super) async fn redeliver(&mut self) -> Result<Option<End>> {
        let store = Arc::clone(&self.target.shared.spec.dead_letters);
        let sink_id = &self.target.spec.sink_id;
        if store.count(Some(sink_id)).await? != self.parked.count() {
            // An operator has discarded some.
            self.parked = Parked::load(&*store, self.target, self.progress.checkpoint()).await?;
            self.show_parked();
        }
        for _ in 0..LETTERS_MAX {
            let Some(letter) = self.parked.next_requested(&*store, sink_id).await? else { break };
            match self.deliver_again(&letter).await {
                Ok(()) => {
                    store.remove(&[letter.id]).await?;
                    self.parked.forget(&letter.info);
                    self.show_parked();
                }
                Err(refusal) if refusal.retry == Retry::Never => {
                    let message = Problem::from(&refusal).message;
                    store.retry_failed(letter.id, refusal.code, &message).await?;
                    if self.sink.commit_boundary() == CommitBoundary::Transaction {
                        return Ok(Some(End::Again));
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(None)
    }

    async fn deliver_again(&mut self, letter: &DeadLetter) -> Result<()> {
        let change = row::decode_letter(&letter.payload, letter.info.position)?;
        let table = change.schema.table.clone();
        let ids = self.target.shared.spec.schemas.register(&[&*change.schema]).await?;
        let old = self.prepared.get(&table);
        if let Some(id) = ids.first().copied()
            && old.is_none_or(|(prepared, _)| *prepared != id)
        {
            let old = old.map(|(_, schema)| Arc::clone(schema));
            self.sink.prepare(old.as_deref(), &change.schema).await?;
            self.prepared.insert(table, (id, Arc::clone(&change.schema)));
        }
        let topic: Arc<str> = letter.info.topic.as_str().into();
        let partition = TopicPartition::new(Arc::clone(&topic), letter.info.partition);
        let delivered = Delivered { change, topic, offset: letter.info.offset };
        let batch = SinkBatch { partition, changes: vec![delivered] };
        self.sink.write(&batch).await.map_err(|failed| -> Error { failed.error })?;
        self.progress.mark(marker(), mark_of(letter));
        self.commit().await
    }
}
