//! Records to changes: which of them are duplicates.

use crate::error;
use cdc_core::{
    Delivered, Position, RecordBatch, Result, SchemaId,
    format::{Decoded, Decoder},
};

/// A change that the sink has not had, and the number of its schema.
pub(crate) struct Fresh {
    pub(crate) delivered: Delivered,
    pub(crate) schema: SchemaId,
}

/// Do the positions come from different ways to capture? The source's own begin with a commit; where
/// another program captures, they are offsets of its topic, below all of those.
fn of_another_capture(newest: Position, position: Position) -> bool {
    newest != Position::default() && (newest.commit == 0) != (position.commit == 0)
}

/// The changes of a batch that lie above `newest`. A replayed run can sit inside one batch, so each
/// change is compared with the newest kept so far. What is older is decoded all the same: it may be the
/// schema of what follows.
pub(crate) async fn fresh(
    decoder: &mut dyn Decoder,
    batch: RecordBatch,
    mut newest: Option<Position>,
) -> Result<Vec<Fresh>> {
    let mut fresh = Vec::with_capacity(batch.records.len());
    for stored in batch.records {
        let Some(decoded) = decoder.decode(&stored).await? else { continue };
        let Decoded { change, topic, schema } = decoded;
        if newest.is_some_and(|newest| of_another_capture(newest, change.position)) {
            return Err(error::another_capture(&topic));
        }
        if newest.is_some_and(|newest| change.position <= newest) {
            continue;
        }
        newest = Some(change.position);
        let delivered = Delivered { change, topic, offset: stored.offset };
        fresh.push(Fresh { delivered, schema });
    }
    Ok(fresh)
}
