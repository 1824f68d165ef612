//! The partitions that a sink has in this process, where several processes share them.

use super::{
    session::Session,
    write::{Writer, newest},
};
use crate::{
    dead_letter::{Parked, marker_of},
    error,
};
use cdc_core::{Offset, Place, Position, Result, TopicPartition, checkpoint::Places};
use std::collections::BTreeSet;

impl Session<'_> {
    /// Goes on with partitions where whoever had them before left off.
    pub(super) async fn assign(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        if self.writer.is_shared() {
            self.writer.take_over(&partitions).await?;
        }
        for partition in partitions {
            let from = self.writer.progress.next_offset(&partition);
            self.readers.assign(partition, from).await?;
        }
        Ok(())
    }

    /// Commits what was taken from these partitions, and reads them no more.
    pub(super) async fn revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        if self.writer.is_worth_a_commit() {
            self.writer.commit().await?;
        }
        for partition in partitions {
            self.readers.revoke(partition);
        }
        if self.writer.is_shared() {
            self.writer.let_go(partitions).await?;
        }
        Ok(())
    }
}

impl Writer<'_> {
    pub(super) fn is_shared(&self) -> bool {
        self.target.shared.is_shared()
    }

    async fn take_over(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        if let Some(several) = partitions.iter().find(|at| at.partition > 0)
            && self.sink.keeps_rows()
        {
            return Err(error::several_partitions(&self.target.spec.sink_id, several));
        }
        // The claim must not become part of what is uncommitted.
        if self.progress.uncommitted() > 0 {
            self.commit().await?;
        }
        let places = self.claim(partitions).await?;
        let transport = &self.target.shared.spec.transport;
        for partition in partitions {
            let stored = places.get(partition).copied();
            let mut place = stored.unwrap_or(NOWHERE);
            if place.offset == Offset(0) {
                place.offset = transport.first(partition).await?;
                if place.offset > Offset(0) && self.sink.keeps_rows() {
                    self.warn_of_missing_rows(partition, place.offset);
                }
            }
            self.progress.hold(partition.clone(), place);
        }
        self.find_parked().await
    }

    /// Makes this session the only writer of partitions, and finds where each of them goes on.
    async fn claim(&mut self, partitions: &[TopicPartition]) -> Result<Places> {
        let spec = &self.target.shared.spec;
        let kept = self.sink.claim_partitions(spec.transport.log(), partitions).await?;
        self.kept_by_sink = kept.is_some();
        if let Some(kept) = kept {
            // Where the log has lost them, whoever looks there finds them again.
            self.offsets.note(reached(&kept));
            return Ok(kept);
        }
        let group = &self.target.spec.sink_id;
        let mut places = spec.transport.committed(group, partitions).await?;
        let recalled = self.recall(partitions, &places).await?;
        self.offsets.note(reached(&recalled));
        places.extend(recalled);
        Ok(places)
    }

    async fn let_go(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        if let Err(error) = self.offsets.tell(self.target).await {
            // The next owner goes on from what the sink says, or delivers again.
            tracing::debug!(error = %error.chain(), "the log was not told of the last offsets");
        }
        for partition in partitions {
            self.progress.let_go(partition);
            self.offsets.forget(partition);
        }
        self.find_parked().await
    }

    /// Looks for letters in the partitions that this sink has now.
    pub(super) async fn find_parked(&mut self) -> Result<()> {
        let letters = &*self.target.shared.spec.dead_letters;
        let mut parked = Parked::load(letters, self.target, self.progress.checkpoint()).await?;
        let marks: BTreeSet<TopicPartition> = parked.partitions().map(marker_of).collect();
        if self.is_shared() && !marks.is_empty() {
            let marks: Vec<TopicPartition> = marks.into_iter().collect();
            let log = self.target.shared.spec.transport.log();
            let found = self.sink.claim_partitions(log, &marks).await?.unwrap_or_default();
            for (mark, place) in found {
                self.progress.hold(mark, place);
            }
            parked = Parked::load(letters, self.target, self.progress.checkpoint()).await?;
        }
        self.parked = parked;
        self.show_parked();
        let newest = newest(self.progress.checkpoint());
        self.target.shared.update_sink(self.target.index, |status| status.position = newest);
        Ok(())
    }

    /// Makes this session the only writer of the mark of a partition's letters.
    pub(super) async fn claim_mark(&mut self, mark: &TopicPartition) -> Result<()> {
        let log = self.target.shared.spec.transport.log();
        self.sink.claim_partitions(log, std::slice::from_ref(mark)).await?;
        Ok(())
    }

    fn warn_of_missing_rows(&self, partition: &TopicPartition, first: Offset) {
        tracing::warn!(
            sink_id = self.target.spec.sink_id, %partition, first_offset = first.0,
            remedy = "bring them with `cdc snapshot`, or compare with `cdc verify --repair`",
            "records before the first one were removed by the log's retention: rows may be missing",
        );
    }
}

/// Places with an offset; those of another log have a position only.
fn reached(places: &Places) -> Places {
    let reached = places.iter().filter(|(_, place)| place.offset > Offset(0));
    reached.map(|(at, place)| (at.clone(), *place)).collect()
}

const NOWHERE: Place = Place { offset: Offset(0), position: Position { commit: 0, ordinal: 0 } };
