//! A verification as people read it.

use crate::{
    output::{grouped, table},
    terminal::Stderr,
};
use cdc_engine::verify::{Difference, Kind, Progress, Report, Stage, TableReport, Verdict};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

const BAR_INTERVAL: Duration = Duration::from_millis(200);

/// What is being done, for people who look at it.
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    pub(super) fn new(stderr: &Stderr) -> Self {
        let bar = stderr.bars().map(|bars| bars.add(ProgressBar::new(0)));
        if let Some(bar) = &bar {
            let style = ProgressStyle::with_template("verify {bar:20} {pos}/{len} tables  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.enable_steady_tick(BAR_INTERVAL);
        }
        Self(bar)
    }

    pub(super) fn show(&self, progress: &Progress<'_>) {
        let table = progress.table;
        let text = match progress.stage {
            Stage::Hashing => format!("{table}: hashing"),
            Stage::Narrowing { ranges } => {
                format!("{table}: {} ranges differ, comparing their rows", grouped(ranges as u64))
            }
            Stage::Deciding { rows } => {
                format!("{table}: looking again at {} rows", grouped(rows as u64))
            }
        };
        match &self.0 {
            Some(bar) => {
                bar.set_length(progress.total as u64);
                bar.set_position(progress.done as u64);
                bar.set_message(text);
            }
            None => tracing::debug!(progress = text, "verifying"),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A table of all tables, and the differences below it.
pub(super) fn report(sink_id: &str, report: &Report) -> String {
    let header = ["TABLE", "ROWS", "RANGES", "DIFFERENCES", "VERDICT"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for table in &report.tables {
        let more = if table.truncated { " or more" } else { "" };
        rows.push(vec![
            table.table.to_string(),
            grouped(table.rows),
            grouped(table.ranges as u64),
            format!("{}{more}", grouped(table.found())),
            word(table.verdict).to_owned(),
        ]);
    }
    let mut out = format!("sink {sink_id}: {}\n\n{}", word(report.verdict()), self::table(&rows));
    for table in &report.tables {
        out.push_str(&notes(table));
    }
    out
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Equal => "equal",
        Verdict::NotCompared => "not compared",
        Verdict::Different => "different",
    }
}

fn notes(table: &TableReport) -> String {
    if table.reason.is_none() && table.differences.is_empty() {
        return String::new();
    }
    let mut out = format!("\n\n{}", table.table);
    if let Some(reason) = &table.reason {
        out.push_str(&format!("\n  {reason}"));
    }
    for difference in &table.differences {
        out.push_str(&line(difference));
    }
    let listed: u64 = table.differences.iter().map(|difference| difference.rows).sum();
    let more = table.found().saturating_sub(listed);
    if more > 0 {
        out.push_str(&format!("\n  and {} more: --limit COUNT lists them", grouped(more)));
    }
    out
}

fn line(difference: &Difference) -> String {
    let what = match difference.kind {
        Kind::Missing => "missing in the replica",
        Kind::Extra => "extra in the replica",
        Kind::Different => "different",
    };
    let key = if difference.key.is_empty() {
        let rows = if difference.rows == 1 { "row" } else { "rows" };
        format!("{} {rows} of a table without a key", grouped(difference.rows))
    } else {
        named(&difference.key)
    };
    let mut out = format!("\n  {what}: {key}");
    if !difference.columns.is_empty() {
        out.push_str(&format!(" in {}", difference.columns.join(", ")));
    }
    for (side, values) in [("source ", &difference.source), ("replica", &difference.replica)] {
        if let Some(values) = values {
            out.push_str(&format!("\n    {side}  {}", named(values)));
        }
    }
    out
}

fn named(values: &[(String, Option<String>)]) -> String {
    let one = |(name, value): &(String, Option<String>)| match value {
        None => format!("{name}=NULL"),
        Some(value) => format!("{name}={}", quoted(value)),
    };
    values.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// In quotes where it would not be clear where it ends.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.:+/@".contains(c);
    if !value.is_empty() && value != "NULL" && value.chars().all(plain) {
        return value.to_owned();
    }
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_well() {
        let value = |value: &str| Some(value.to_owned());
        let key = [
            ("id".to_owned(), value("5")),
            ("name".to_owned(), value("Zoë M.")),
            ("note".to_owned(), None),
            ("empty".to_owned(), value("")),
        ];
        assert_eq!(named(&key), "id=5 name=\"Zoë M.\" note=NULL empty=\"\"");
    }
}
