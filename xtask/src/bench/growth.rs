//! How time and memory grow with the size of a transaction and with the count of tables.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use super::arena::Arena;
use super::line::{Growth, Point};
use super::measure::{Usage, median};
use super::report::{Figure, Report, Target, as_float};
use super::subject::{self, Pipeline};
use super::tools::{self, Form};
use super::workload;

const LARGE: u64 = 10_000_000;
/// A growth that bends more than this is not a straight one.
const BEND_MAX: f64 = 1.5;

/// Which sizes are measured.
#[derive(clap::Args)]
pub(super) struct Sizes {
    /// Rows of the one transaction.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    transactions: Vec<u64>,
    /// Also a transaction of ten million rows, which needs about 10 GB of disk.
    #[arg(long)]
    large: bool,
    /// Counts of captured tables.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000, 2000])]
    tables: Vec<u64>,
}

/// One transaction of each size, and then one database with each count of tables.
pub(super) async fn run(arena: &Arena<'_>, sizes: &Sizes, rounds: u32) -> anyhow::Result<Report> {
    let mut report =
        Report { name: "growth", server: arena.version().await?, rounds, ..Report::default() };
    let mut transactions = sizes.transactions.clone();
    transactions.extend(sizes.large.then_some(LARGE));
    let counts = [transactions, sizes.tables.clone()].map(|mut counts| {
        counts.sort_unstable();
        counts.dedup();
        counts
    });
    let [transactions, tables] = counts;
    report.growth.extend(by_transaction(arena, &transactions, rounds).await?);
    report.growth.extend(by_table(arena, &tables, rounds).await?);
    for growth in &report.growth {
        let target = is_ours(growth).then_some(Target::AtMost(BEND_MAX));
        let name = format!("{}: bend", growth.name);
        report.figures.extend(growth.bend().map(|bend| Figure::new(name, bend, target)));
    }
    let ours = report.growth.iter().filter(|growth| is_ours(growth));
    let peaks = ours.flat_map(|growth| growth.steps.iter().map(|step| step.memory_megabytes_peak));
    let peak = peaks.max_by(f64::total_cmp).unwrap_or(f64::NAN);
    report.figures.push(Figure::new("peak memory of cdc, MB", peak, Some(Target::AtMost(150.0))));
    report.notes.extend([
        "the line goes through the smallest and the largest size".to_owned(),
        "a bend above 1 lies below the line: larger sizes cost more than in proportion".to_owned(),
    ]);
    Ok(report)
}

fn is_ours(growth: &Growth) -> bool {
    growth.name.starts_with("cdc")
}

async fn by_transaction(
    arena: &Arena<'_>,
    sizes: &[u64],
    rounds: u32,
) -> anyhow::Result<Vec<Growth>> {
    let client = &arena.client;
    workload::create_table(client).await?;
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for rows in sizes.iter().copied().filter(|rows| *rows > 0) {
        client.batch_execute("TRUNCATE events").await?;
        workload::mark(client).await?;
        println!("inserting {rows} rows in one transaction");
        workload::insert(client, rows, rows).await?;
        let end = workload::end(client).await?;
        let (mut tool, mut cdc) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            tool.push(tools::recvlogical(arena, &end, Form::Binary).await?);
            cdc.push(subject::stream(arena, &Pipeline::STREAM, rows).await?);
        }
        theirs.push(point(rows, &median(tool)?, |usage| usage.seconds));
        ours.push(point(rows, &median(cdc)?, |usage| usage.seconds));
        workload::unmark(client).await?;
    }
    let name = |who: &str| format!("{who}, one transaction");
    Ok(vec![
        Growth::new(name("cdc"), "row", &ours),
        Growth::new(name("pg_recvlogical, binary"), "row", &theirs),
    ])
}

async fn by_table(arena: &Arena<'_>, counts: &[u64], rounds: u32) -> anyhow::Result<Vec<Growth>> {
    let (mut firsts, mut wholes) = (Vec::new(), Vec::new());
    for count in counts.iter().copied().filter(|count| *count > 0) {
        println!("{count} captured tables");
        let arena = Arena::new(arena.binary, arena.server).await?;
        workload::create_tables(&arena.client, count).await?;
        workload::mark(&arena.client).await?;
        workload::insert_into_each(&arena.client, 1).await?;
        let first = drain_tables(&arena, 1, rounds).await?;
        workload::unmark(&arena.client).await?;
        workload::mark(&arena.client).await?;
        workload::insert_into_each(&arena.client, count).await?;
        let whole = drain_tables(&arena, count, rounds).await?;
        workload::unmark(&arena.client).await?;
        // The end may come so soon after the event that nobody saw the one before the other.
        firsts.push(point(count, &first, |usage| usage.first_seconds.unwrap_or(usage.seconds)));
        wholes.push(point(count, &whole, |usage| usage.seconds));
    }
    let name = |what: &str| format!("cdc, captured tables, {what}");
    Ok(vec![
        Growth::new(name("until the first event"), "table", &firsts),
        Growth::new(name("one change in each"), "table", &wholes),
    ])
}

async fn drain_tables(arena: &Arena<'_>, changes: u64, rounds: u32) -> anyhow::Result<Usage> {
    let pipeline = Pipeline { tables: "public.*", ..Pipeline::STREAM };
    let mut runs = Vec::new();
    for _ in 0..rounds {
        runs.push(subject::stream(arena, &pipeline, changes).await?);
    }
    median(runs)
}

fn point(size: u64, usage: &Usage, seconds: impl Fn(&Usage) -> f64) -> Point {
    Point {
        size,
        seconds: seconds(usage),
        memory_megabytes_peak: as_float(usage.memory_bytes_peak) / 1e6,
    }
}
