//! `cdc verify`: are the replicas equal to the source? Nothing is changed, unless a repair is asked for.

mod pipeline;
mod repair;
mod shown;
mod topics;

use super::Manner;
use crate::{
    failure::{Failure, Outcome},
    output::{say, say_json},
    settings::{Files, Settings},
    tables::Filter,
};
use cdc_core::{
    snapshot::ROWS_MAX,
    verify::{ReadLimits, ReplicaRows},
};
use cdc_engine::verify::{Limits, Report, Verdict, Verification};
use pipeline::RunningPipeline;
use serde_json::json;
use std::time::Duration;
use topics::Topics;

/// A view of one side is open for as long as the other side is waited for, and then some.
const IDLE_GRACE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// Only this sink; without it, every sink that keeps replicas
    #[arg(long, value_name = "ID")]
    sink: Option<String>,
    /// Only these tables: schema.table, where * and ? match parts of a name
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// Have rows that differ read once more from the source and delivered again, rows that are gone as
    /// deletes, and compare again until nothing differs
    #[arg(long)]
    repair: bool,
    /// Show the beginning of each value of rows that differ
    #[arg(long)]
    show_values: bool,
    /// How many differences of a table are listed; all are counted
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=10_000))]
    limit: u32,
    /// How long the sink may take to catch up with what was read from the source
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(..=86_400))]
    wait_seconds: u64,
    /// How often a row that differs is looked at again before it counts as undecided
    #[arg(long, value_name = "COUNT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1000))]
    attempts: u32,
    /// Longest run of one statement on either server
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    statement_timeout_seconds: u64,
    /// Longest wait for a lock that somebody else holds on a table
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    lock_timeout_seconds: u64,
}

impl Args {
    fn limits(&self) -> Limits {
        Limits {
            wait: self.wait(),
            attempts: self.attempts,
            listed_max: match self.repair {
                true => ROWS_MAX,
                false => self.listed(),
            },
            values: self.show_values,
        }
    }

    fn wait(&self) -> Duration {
        Duration::from_secs(self.wait_seconds)
    }

    fn listed(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    fn read_limits(&self) -> ReadLimits {
        ReadLimits {
            statement_timeout: Duration::from_secs(self.statement_timeout_seconds),
            lock_timeout: Duration::from_secs(self.lock_timeout_seconds),
            idle_timeout: Duration::from_secs(self.wait_seconds).saturating_add(IDLE_GRACE),
        }
    }
}

pub(super) async fn run(args: &Args, manner: &Manner) -> Outcome {
    let settings = args.files.load()?;
    let topics = Topics::open(&settings).await?;
    let topics = topics.as_ref();
    let mut reports = compare_all(args, &settings, topics, manner).await?;
    if args.repair {
        let mut left = differing(&reports);
        while repair::repair(&settings, topics, &reports, args.wait()).await? {
            reports = compare_all(args, &settings, topics, manner).await?;
            let still = differing(&reports);
            if still >= left {
                break;
            }
            left = still;
        }
    }
    for table in reports.iter_mut().flat_map(|(_, report)| &mut report.tables) {
        table.differences.truncate(args.listed());
    }
    show(&settings, &reports, manner)
}

/// Compares every replica that was asked for.
async fn compare_all(
    args: &Args,
    settings: &Settings,
    topics: Option<&Topics>,
    manner: &Manner,
) -> Outcome<Vec<(String, Report)>> {
    let replicas = replicas(args, settings).await?;
    let mut reports = Vec::with_capacity(replicas.len());
    for (sink_id, replica) in replicas {
        let pipeline = RunningPipeline::new(settings, topics, &sink_id);
        let mut report = compare(args, settings, &pipeline, replica, manner).await?;
        pipeline.explain(&mut report).await;
        reports.push((sink_id, report));
    }
    Ok(reports)
}

fn differing(reports: &[(String, Report)]) -> u64 {
    let tables = reports.iter().flat_map(|(_, report)| &report.tables);
    tables.map(cdc_engine::verify::TableReport::found).sum()
}

fn show(settings: &Settings, reports: &[(String, Report)], manner: &Manner) -> Outcome {
    let verdict = reports.iter().map(|(_, report)| report.verdict()).max();
    let verdict = verdict.unwrap_or(Verdict::Equal);
    if manner.json {
        let sinks = reports.iter().map(|(sink_id, report)| {
            json!({ "sink_id": sink_id, "verdict": report.verdict(), "tables": report.tables })
        });
        let sinks = sinks.collect::<Vec<_>>();
        say_json(&json!({ "pipeline_id": settings.id(), "verdict": verdict, "sinks": sinks }))?;
    } else {
        let texts: Vec<String> =
            reports.iter().map(|(sink_id, report)| shown::report(sink_id, report)).collect();
        say(texts.join("\n\n"))?;
    }
    match verdict {
        Verdict::Equal => Ok(()),
        Verdict::Different => Err(Failure::Differs),
        Verdict::NotCompared => Err(Failure::NotCompared),
    }
}

/// The sinks that can be compared, or the one that was asked for.
async fn replicas(
    args: &Args,
    settings: &Settings,
) -> Outcome<Vec<(String, Box<dyn ReplicaRows>)>> {
    let mut found = Vec::new();
    let mut known = Vec::new();
    for sink in &settings.sinks {
        known.push(sink.sink_id.clone());
        if args.sink.as_ref().is_some_and(|wanted| *wanted != sink.sink_id) {
            continue;
        }
        let context = settings.sink_context(&sink.sink_id);
        if let Some(rows) = sink.connector.rows(&context, args.read_limits()).await? {
            found.push((sink.sink_id.clone(), rows));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let context = match &args.sink {
        Some(sink) if !known.contains(sink) => format!("there is no sink `{sink}` that is enabled"),
        Some(sink) => format!("sink `{sink}` keeps no replica"),
        None => "no sink of this pipeline keeps a replica".to_owned(),
    };
    let remedy = "name a sink of type postgres in mode replica: --sink ID";
    Err(Failure::usage("CDC-0130", context, remedy))
}

async fn compare(
    args: &Args,
    settings: &Settings,
    pipeline: &RunningPipeline<'_>,
    replica: Box<dyn ReplicaRows>,
    manner: &Manner,
) -> Outcome<Report> {
    let Some(source) = settings.source.rows(args.read_limits()).await? else {
        let context = format!("a source of type {} cannot be compared", settings.source.kind());
        return Err(Failure::usage("CDC-0130", context, "this version compares postgres sources"));
    };
    let limits = args.limits();
    let mut verification = Verification { source, replica, log: pipeline, limits };
    let filter = Filter::new(&args.table);
    let bar = shown::Bar::new(&manner.stderr);
    let report =
        Box::pin(verification.run(|table| filter.takes(table), |progress| bar.show(&progress)))
            .await;
    bar.finish();
    let report = report?;
    if report.tables.is_empty() {
        let context = "no captured table has such a name".to_owned();
        let remedy = "look at the captured tables with cdc check; names are schema.table";
        return Err(Failure::usage("CDC-0131", context, remedy));
    }
    Ok(report)
}
