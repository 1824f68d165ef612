//! Delivering a dead letter again.

use super::{session::End, write::Writer};
use crate::dead_letter::{mark_of, partition_of};
use cdc_codec::row;
use cdc_core::{
    Delivered, Error, Result, Retry, SinkBatch, dead_letter::DeadLetter, sink::CommitBoundary,
    status::Problem,
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
        if store.count(Some(sink_id)).await? != self.parked.stored() {
            // An operator has discarded some, or another process has delivered or parked some.
            self.find_parked().await?;
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
        let mark = self.parked.mark_for(letter);
        if self.is_shared() && !self.progress.checkpoint().partitions.contains_key(&mark) {
            // Parked since the partition was taken over: its mark is not claimed yet.
            self.claim_mark(&mark).await?;
        }
        let table = change.schema.table.clone();
        let old = self.prepared.get(&table).map(|(_, schema)| Arc::clone(schema));
        if old.as_ref() != Some(&change.schema) {
            self.sink.prepare(old.as_deref(), &change.schema).await?;
            // The next change read from the log is prepared for again, whatever number its schema has.
            self.prepared.remove(&table);
        }
        let topic: Arc<str> = letter.info.topic.as_str().into();
        let partition = partition_of(&letter.info);
        let delivered = Delivered { change, topic, offset: letter.info.offset };
        let batch = SinkBatch { partition, changes: vec![delivered] };
        self.sink.write(&batch).await.map_err(|failed| -> Error { failed.error })?;
        self.progress.mark(mark, mark_of(letter));
        self.progress.touch(&partition_of(&letter.info));
        self.commit().await
    }
}
