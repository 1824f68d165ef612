//! Orders about snapshots, on their way from an operator to the source.

use crate::{error, resume};
use cdc_core::{
    Result, TableId, catalog::SourceConnector, snapshot::SnapshotOrder, store::CheckpointStore,
};

/// Gives an order to the source of a pipeline, whether that runs or not, and returns the tables that it
/// is about. It is durable on return.
pub async fn order_snapshot(
    source: &dyn SourceConnector,
    checkpoints: &dyn CheckpointStore,
    order: &SnapshotOrder,
) -> Result<Vec<TableId>> {
    let stored = checkpoints.load_capture().await?.ok_or_else(error::nothing_captured)?;
    let ordered = source.order_snapshot(order, &resume::of_source(stored)).await?;
    ordered.ok_or_else(|| error::no_orders(source.kind()))
}
