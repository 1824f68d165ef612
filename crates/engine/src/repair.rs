//! Repairs replicas after all rows were read once more: rows that are gone from the source are found by
//! comparison, and ordered from it one by one, so that each sink is told of them as of any delete.

use crate::{
    error,
    pipeline::Shared,
    snapshot::order_snapshot,
    supervise::Restarts,
    verify::{Limits, LogState, LogView, Report, TableReport, Verdict, Verification},
};
use async_trait::async_trait;
use cdc_core::{
    Result, TableId,
    snapshot::{ROWS_MAX, SnapshotOrder},
    status::{ConnectorState, SinkStatus},
    verify::ReadLimits,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// A comparison that runs by itself is as patient as `cdc verify` is without options.
const LIMITS: Limits =
    Limits { wait: Duration::from_secs(60), attempts: 10, listed_max: ROWS_MAX, values: false };
const READ_LIMITS: ReadLimits = ReadLimits {
    statement_timeout: Duration::from_secs(3600),
    lock_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(120),
};

/// Rows in one order, which is one message in the server's log.
const ROWS_AT_ONCE: usize = 500;

/// Orders for the rows that a comparison has found to differ, as far as they have a key.
#[must_use]
pub fn orders(report: &Report) -> Vec<SnapshotOrder> {
    let mut orders = Vec::new();
    for table in &report.tables {
        let keys = table.differences.iter().filter(|difference| !difference.key.is_empty());
        let values = keys.map(|difference| {
            let values = difference.key.iter().map(|(_, value)| value.clone());
            values.collect::<Option<Vec<String>>>()
        });
        let keys: Vec<Vec<String>> = values.flatten().take(ROWS_MAX).collect();
        orders.extend(
            keys.chunks(ROWS_AT_ONCE).map(|keys| SnapshotOrder::Rows {
                table: table.table.clone(),
                keys: keys.to_vec(),
            }),
        );
    }
    orders
}

/// Compares whenever the source asks for it, until told to stop.
pub(crate) async fn supervise(shared: Arc<Shared>, stop: CancellationToken) -> Result<()> {
    let mut restarts = Restarts::new(shared.spec.retry, shared.spec.seed);
    let mut differed = None;
    while stop.run_until_cancelled(shared.status_with(|s| s.source.comparison_due)).await.is_some()
    {
        let round = Box::pin(round(&shared, differed));
        let Some(outcome) = stop.run_until_cancelled(round).await else { break };
        let failure = match outcome {
            Ok(ordered) => {
                differed = ordered;
                restarts = Restarts::new(shared.spec.retry, shared.spec.seed);
                continue;
            }
            Err(failure) => failure,
        };
        let restart = restarts.after(&failure, false);
        if shared.currency.ends() && restart.failures >= shared.spec.retry.max_attempts {
            return Err(failure);
        }
        tracing::warn!(
            error = %failure.chain(), remedy = failure.remedy.as_deref().unwrap_or_default(),
            wait_ms = restart.wait.as_millis(), "replicas could not be compared with their source",
        );
        let waited = tokio::time::sleep(restart.wait);
        if stop.run_until_cancelled(waited).await.is_none() {
            break;
        }
    }
    Ok(())
}

/// Can any of the sinks be compared here? Of a shared log one process sees only a part, and so cannot.
pub(crate) fn compares(spec: &crate::PipelineSpec) -> bool {
    !spec.is_shared()
        && spec.source.compares()
        && spec.sinks.iter().any(|sink| sink.connector.compares())
}

/// Compares all replicas, has the source tell of what differs, and waits until it has. Returns how many
/// rows that were; `None` when the comparison is done. It is, too, when as many rows differ as in the round
/// before: then somebody else writes to a replica, and telling them again would never end.
async fn round(shared: &Arc<Shared>, differed: Option<u64>) -> Result<Option<u64>> {
    let mut wanted = Vec::new();
    let mut found = 0;
    let mut open: Option<(TableId, String)> = None;
    for (index, sink) in shared.spec.sinks.iter().enumerate() {
        if !sink.connector.compares() {
            continue;
        }
        has_what_the_log_has(shared, index).await?;
        tracing::info!(sink = sink.sink_id, "comparing the replica with its source");
        let report = compare(shared, index).await?;
        wanted.extend(orders(&report));
        found += report.tables.iter().map(TableReport::found).sum::<u64>();
        let mut unknown = report.tables.into_iter().filter(|table| {
            let known = table.verdict == Verdict::Equal || table.left_out;
            // Without a key, what differs cannot be ordered.
            !known && table.differences.iter().all(|difference| difference.key.is_empty())
        });
        open = open.or(unknown.next().map(|table| {
            let keyless = || format!("{} rows without a key differ", table.found());
            (table.table.clone(), table.reason.clone().unwrap_or_else(keyless))
        }));
    }
    let spec = &shared.spec;
    let again = differed.is_some_and(|before| found >= before);
    if again {
        tracing::warn!(
            rows = found,
            "rows differ although they were delivered again: cdc verify lists them"
        );
        wanted.clear();
    }
    if wanted.is_empty() {
        if let Some((table, why)) = open {
            return Err(error::not_compared(&table, &why));
        }
        wanted.push(SnapshotOrder::Compared);
        found = 0;
    }
    for order in &wanted {
        if let SnapshotOrder::Rows { table, keys } = order {
            tracing::info!(%table, rows = keys.len(), "rows differ from their source: they are read once more");
        }
        order_snapshot(&*spec.source, &*spec.checkpoints, order).await?;
    }
    // Everything that was ordered lies below.
    let ordered = spec.source.current_position().await?;
    let carried_out = |status: &crate::PipelineStatus| {
        let reached = status.transport.captured_position.is_some_and(|at| at >= ordered);
        reached && status.source.state == ConnectorState::Running
    };
    shared.status_with(carried_out).await;
    Ok((found > 0).then_some(found))
}

/// Waits until a sink has what the log has by now: all the rows that were read once more may take it
/// long. Fails when the sink has given up.
async fn has_what_the_log_has(shared: &Shared, index: usize) -> Result<()> {
    let newest = shared.status().transport.newest_position;
    let has_it = |sink: &SinkStatus| sink.position >= newest;
    let ended = |sink: &SinkStatus| sink.state == ConnectorState::Stopped;
    shared
        .status_with(|status| status.sinks.get(index).is_none_or(|s| has_it(s) || ended(s)))
        .await;
    match shared.status().sinks.get(index) {
        Some(sink) if !has_it(sink) => Err(error::sink_gave_up(&sink.sink_id)),
        _ => Ok(()),
    }
}

async fn compare(shared: &Arc<Shared>, index: usize) -> Result<Report> {
    let nothing = || error::no_common_hash();
    let spec = &shared.spec;
    let sink = spec.sinks.get(index).ok_or_else(nothing)?;
    let context = shared.sink_context(sink);
    let source = spec.source.rows(READ_LIMITS).await?.ok_or_else(nothing)?;
    let replica = sink.connector.rows(&context, READ_LIMITS).await?.ok_or_else(nothing)?;
    let log = OwnLog { shared, index };
    let mut verification = Verification { source, replica, log: &log, limits: LIMITS };
    verification.run(|_| true, |_| {}).await
}

/// The log of this very pipeline.
struct OwnLog<'a> {
    shared: &'a Shared,
    index: usize,
}

#[async_trait]
impl LogView for OwnLog<'_> {
    async fn state(&self) -> Option<LogState> {
        let log = self.shared.status().transport;
        Some(LogState { captured: log.captured_position, newest: log.newest_position, ends: None })
    }

    async fn trouble(&self) -> Option<String> {
        let problem = self.shared.status().sinks.get(self.index)?.error.clone()?;
        Some(format!("{}: {}", problem.code, problem.message))
    }
}
