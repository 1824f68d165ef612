//! Benchmarks against PostgreSQL's own tools and Debezium, measured alternately in one run: ratios
//! count, since absolute figures say more about the machine.
#![expect(clippy::print_stdout, reason = "the output of a command")]

mod arena;
mod contest;
mod debezium;
mod growth;
mod idle;
mod kafka;
mod latency;
mod line;
mod measure;
mod noise;
mod percentile;
mod processes;
mod report;
mod snapshot;
mod stream;
mod subject;
mod tools;
mod webhook;
mod workload;

use std::path::PathBuf;

use anyhow::Context as _;

use self::arena::Arena;
use self::debezium::Debezium;
use self::report::Report;
use crate::paths;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure.
    #[command(subcommand)]
    what: What,
    /// How often each contender runs; the median counts.
    #[arg(long, default_value_t = 3, global = true)]
    rounds: u32,
    /// Rows to insert, or to snapshot.
    #[arg(long, default_value_t = 2_000_000, global = true)]
    rows: u64,
    /// PostgreSQL major; without it the oldest that is installed.
    #[arg(long, global = true)]
    major: Option<u16>,
    /// Do not run Debezium, which takes most of the time.
    #[arg(long, global = true)]
    without_debezium: bool,
    /// Also write the figures to this file, as JSON.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum What {
    /// From the database's log to the embedded log, against `pg_recvlogical` and Debezium.
    Stream,
    /// The first copy of one table into the embedded log, against `COPY … TO STDOUT` and Debezium.
    Snapshot {
        /// Counts of sessions that copy, each as a contender, for example 1,2,4.
        #[arg(long, value_delimiter = ',')]
        readers: Vec<u8>,
    },
    /// From before the INSERT to the arrival at a webhook, at a thousand changes a second.
    Latency {
        /// How long to insert.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// From the database's log to topics of Kafka in JSON and Avro, against Debezium on Kafka Connect.
    Kafka {
        /// How long to insert at a thousand changes a second.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Time and memory by the size of a transaction and by the count of tables, beside a straight line.
    Growth(growth::Sizes),
    /// One captured row a second beside very many transactions on a table that is not captured.
    Idle(idle::Load),
}

/// Builds the release binary, measures and prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let binary = paths::build_cdc("release")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        tokio::select! {
            biased;
            ended = tokio::signal::ctrl_c() => ended.map(|()| None).context("wait for Ctrl-C"),
            report = measure(&binary, arguments) => report.map(Some),
        }
    })?;
    let Some(report) = report else { return Ok(()) };
    print!("{report}");
    if let Some(path) = &arguments.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

async fn measure(binary: &std::path::Path, arguments: &Arguments) -> anyhow::Result<Report> {
    let debezium = || Debezium::prepare(!arguments.without_debezium);
    let server = workload::start(arguments.major)?;
    let arena = Arena::new(binary, &server).await?;
    let (rounds, rows) = (arguments.rounds.max(1), arguments.rows.max(1));
    match &arguments.what {
        What::Stream => stream::run(&arena, &debezium(), rounds, rows).await,
        What::Snapshot { readers } => {
            snapshot::run(&arena, &debezium(), readers, rounds, rows).await
        }
        What::Latency { seconds } => latency::run(&arena, *seconds).await,
        What::Kafka { seconds } => {
            kafka::run(&arena, !arguments.without_debezium, rounds, rows, *seconds).await
        }
        What::Growth(sizes) => growth::run(&arena, sizes, rounds).await,
        What::Idle(load) => idle::run(&arena, load).await,
    }
}
