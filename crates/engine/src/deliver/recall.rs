//! Places of a group that the log has lost, from where they are kept beside it.

use super::write::Writer;
use crate::error;
use cdc_core::{
    Offset, Place, Position, Result, TopicPartition, Transport, checkpoint::Places, format::Decoder,
};
use std::time::Duration;

/// So many records before a place are looked at.
const WITNESSES: u64 = 64;
/// Bytes of them that one read asks for.
const READ_BYTES: usize = 1 << 20;
/// Records that are there come within this time.
const WITNESSES_WAIT: Duration = Duration::from_secs(10);

impl Writer<'_> {
    /// The places of partitions that the log has none of. A log that has never heard of a group and one
    /// that has lost it look the same; what is kept beside the log tells them apart.
    pub(super) async fn recall(
        &mut self,
        partitions: &[TopicPartition],
        known: &Places,
    ) -> Result<Places> {
        let absent: Vec<TopicPartition> =
            partitions.iter().filter(|at| !known.contains_key(at)).cloned().collect();
        if absent.is_empty() {
            return Ok(Places::new());
        }
        let spec = &self.target.shared.spec;
        let kept = spec.transport.kept(&self.target.spec.sink_id, &absent).await?;
        check_places(&*spec.transport, &mut *spec.format.decoder(), &kept).await?;
        for (partition, place) in &kept {
            tracing::warn!(
                sink_id = self.target.spec.sink_id, %partition,
                offset = place.offset.0, position = %place.position,
                "the log has lost the offset of this sink; it goes on from the stored one",
            );
        }
        Ok(kept)
    }
}

/// Fails where a place is not one of the partition that is there now: its offset does not exist, or a
/// change before it is newer than everything that was delivered up to it.
pub async fn check_places(
    transport: &dyn Transport,
    decoder: &mut dyn Decoder,
    places: &Places,
) -> Result<()> {
    for (partition, place) in places {
        // A place of another log has a position only.
        if place.offset == Offset(0) {
            continue;
        }
        let there = transport.read(partition, place.offset).await;
        drop(there.map_err(|failure| error::no_such_place(partition, failure))?);
        // An offset that an operator has set has none.
        if place.position == Position::default() {
            continue;
        }
        let newest = newest_before(transport, decoder, partition, place);
        match tokio::time::timeout(WITNESSES_WAIT, newest).await {
            Ok(Err(error)) => return Err(error),
            Ok(Ok(Some(newest))) if newest > place.position => {
                return Err(error::foreign_place(partition, place, newest));
            }
            Ok(Ok(_)) => {}
            Err(_) => {
                tracing::warn!(%partition, "the records before a stored offset cannot be looked at");
            }
        }
    }
    Ok(())
}

/// The newest position among the changes right before a place.
async fn newest_before(
    transport: &dyn Transport,
    decoder: &mut dyn Decoder,
    partition: &TopicPartition,
    place: &Place,
) -> Result<Option<Position>> {
    let first = transport.first(partition).await?;
    let mut from = Offset(place.offset.0.saturating_sub(WITNESSES)).max(first);
    let mut newest = None;
    if from >= place.offset {
        return Ok(newest);
    }
    let mut reader = transport.read(partition, from).await?;
    while from < place.offset {
        let batch = reader.next(READ_BYTES).await?;
        for stored in batch.records.iter().filter(|stored| stored.offset < place.offset) {
            let decoded = decoder.decode(stored).await?;
            newest = newest.max(decoded.map(|decoded| decoded.change.position));
        }
        from = batch.next;
    }
    Ok(newest)
}
