//! How far a snapshot is: a bar for people, log lines for everybody else.

use crate::{output::grouped, terminal::Stderr};
use cdc_core::status::{ConnectorState, SnapshotProgress};
use cdc_engine::PipelineStatus;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

/// How often a log line tells the progress.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How often the bar moves.
const BAR_INTERVAL: Duration = Duration::from_millis(200);

/// All tables of a snapshot together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Total {
    tables: usize,
    done: usize,
    rows: u64,
    /// Rows expected; never below what has been read. `None` where the database does not know.
    expected: Option<u64>,
}

impl Total {
    fn of(tables: &[SnapshotProgress]) -> Self {
        let expected = tables.iter().try_fold(0_u64, |sum, table| {
            let rows = if table.done { Some(table.rows) } else { table.rows_estimated };
            rows.map(|rows| sum.saturating_add(rows.max(table.rows)))
        });
        Self {
            tables: tables.len(),
            done: tables.iter().filter(|table| table.done).count(),
            rows: tables.iter().map(|table| table.rows).sum(),
            expected,
        }
    }
}

/// Shows every snapshot of a run. Never ends by itself.
pub(crate) async fn follow(status: watch::Receiver<PipelineStatus>, stderr: Stderr) {
    let pace = if stderr.bars().is_some() { BAR_INTERVAL } else { LINE_INTERVAL };
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown: Option<Shown> = None;
    loop {
        ticks.tick().await;
        let (snapshotting, total, table) = {
            let status = status.borrow();
            let tables = &status.source.snapshot;
            let current = tables.iter().find(|table| !table.done);
            (
                status.source.state == ConnectorState::Snapshotting,
                Total::of(tables),
                current.map(|table| table.table.to_string()).unwrap_or_default(),
            )
        };
        if snapshotting && total.tables > 0 {
            let shown = shown.get_or_insert_with(|| Shown::new(&stderr, total));
            shown.update(total, &table);
        } else if let Some(shown) = shown.take() {
            shown.finish(total);
        }
    }
}

/// One snapshot on the screen or in the log.
struct Shown {
    bar: Option<ProgressBar>,
    started: Instant,
    rows_before: u64,
}

impl Shown {
    fn new(stderr: &Stderr, total: Total) -> Self {
        let bar = stderr.bars().map(|bars| bars.add(ProgressBar::new(total.expected.unwrap_or(0))));
        Self { bar, started: Instant::now(), rows_before: total.rows }
    }

    fn update(&self, total: Total, table: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_style(style(total.expected.is_some()));
                bar.set_length(total.expected.unwrap_or(total.rows));
                bar.set_position(total.rows);
                bar.set_message(format!("{}/{} {table}", total.done, total.tables));
            }
            None => {
                let rate = self.rate(total.rows);
                let left = total.expected.map(|expected| expected.saturating_sub(total.rows));
                let seconds_left = left.filter(|_| rate > 0).map(|left| left / rate);
                tracing::info!(
                    table,
                    tables_done = total.done,
                    tables = total.tables,
                    rows = total.rows,
                    rows_estimated = total.expected,
                    rows_per_second = rate,
                    seconds_left,
                    "snapshot progress"
                );
            }
        }
    }

    fn rate(&self, rows: u64) -> u64 {
        let milliseconds = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        rows.saturating_sub(self.rows_before).saturating_mul(1_000) / milliseconds.max(1)
    }

    fn finish(self, total: Total) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let rows = grouped(total.rows);
        tracing::info!(tables = total.tables, rows, seconds, "snapshot ended");
    }
}

fn style(known: bool) -> ProgressStyle {
    let template = if known {
        "snapshot {bar:30} {human_pos}/{human_len} rows  {per_sec}  {eta} left  {msg}"
    } else {
        "snapshot {spinner} {human_pos} rows  {per_sec}  {msg}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::TableId;

    fn table(rows: u64, rows_estimated: Option<u64>, done: bool) -> SnapshotProgress {
        SnapshotProgress { table: TableId::new("public", "t"), rows, rows_estimated, done }
    }

    #[test]
    fn what_is_expected_is_never_below_what_was_read() {
        let tables =
            [table(10, Some(7), true), table(9, Some(5), false), table(0, Some(100), false)];
        assert_eq!(Total::of(&tables), Total { tables: 3, done: 1, rows: 19, expected: Some(119) });
    }

    #[test]
    fn one_unknown_table_makes_the_whole_unknown() {
        let tables = [table(10, None, true), table(9, None, false)];
        assert_eq!(Total::of(&tables).expected, None);
        assert_eq!(Total::of(&tables[..1]).expected, Some(10));
    }
}
