//! Has rows that differ delivered again.

use super::{super::snapshot::give, pipeline::RunningPipeline, topics::Topics};
use crate::{
    failure::{Failure, Outcome},
    settings::Settings,
};
use cdc_engine::verify::Report;
use std::time::Duration;
use tokio::time::Instant;

const POLL: Duration = Duration::from_millis(100);

/// Orders the rows that differ, and waits until the source has handed them over. `false` when there is
/// nothing that could be ordered.
pub(super) async fn repair(
    settings: &Settings,
    topics: Option<&Topics>,
    reports: &[(String, Report)],
    wait: Duration,
) -> Outcome<bool> {
    let orders: Vec<_> =
        reports.iter().flat_map(|(_, report)| cdc_engine::orders(report)).collect();
    if orders.is_empty() {
        return Ok(false);
    }
    let mut runs = false;
    for order in &orders {
        (_, runs) = give(settings, order).await?;
    }
    if !runs {
        let context = "the rows are ordered, but the pipeline does not run".to_owned();
        let remedy = "start it with cdc run, and verify again once it is current";
        return Err(Failure::new("CDC-0132", context, remedy));
    }
    tracing::info!(orders = orders.len(), "rows that differ are read once more from the source");
    // Everything that was ordered lies below.
    let ordered = settings.source.current_position().await?;
    let pipeline = RunningPipeline::new(settings, topics, "");
    let deadline = Instant::now() + wait;
    while !pipeline.has_copied(ordered).await {
        if Instant::now() >= deadline {
            let context = "the rows are ordered, but not read yet".to_owned();
            let remedy = "watch them with cdc snapshot, and verify again when it is complete; or raise --wait-seconds";
            return Err(Failure::new("CDC-0132", context, remedy));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(true)
}
