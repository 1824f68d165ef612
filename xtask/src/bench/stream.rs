//! Draining the database's log.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use super::arena::Arena;
use super::contest::Contest;
use super::debezium::{self, Debezium, Task};
use super::report::{Figure, Report, Target};
use super::subject::{self, Pipeline};
use super::tools::{self, Form};
use super::workload;

const PER_TRANSACTION: u64 = 1000;
const TEXT: &str = "pg_recvlogical, text";
const BINARY: &str = "pg_recvlogical, binary";
const CDC: &str = "cdc, to its log on disk";

/// `pg_recvlogical` in text, in binary, `cdc` and Debezium, in turns on the same log.
pub(super) async fn run(
    arena: &Arena<'_>,
    debezium: &Debezium,
    rounds: u32,
    rows: u64,
) -> anyhow::Result<Report> {
    let client = &arena.client;
    workload::create_table(client).await?;
    workload::mark(client).await?;
    println!("inserting {rows} rows in transactions of {PER_TRANSACTION}");
    workload::insert(client, rows, PER_TRANSACTION).await?;
    let end = workload::end(client).await?;
    let mut contest = Contest::default();
    for round in 1..=rounds {
        contest.note(TEXT, tools::recvlogical(arena, &end, Form::Text).await?);
        contest.note(BINARY, tools::recvlogical(arena, &end, Form::Binary).await?);
        contest.note(CDC, subject::stream(arena, &Pipeline::STREAM, rows).await?);
        debezium.take_turn(&mut contest, arena, Task::Stream, rows).await?;
        println!("round {round} of {rounds} is done");
    }
    let (contenders, not_run) = contest.end(rows)?;
    let mut report = Report {
        name: "stream",
        server: arena.version().await?,
        rows,
        rounds,
        contenders,
        not_run,
        notes: debezium.notes(),
        ..Report::default()
    };
    report.compare(CDC, BINARY, Some(Target::AtLeast(1.15)));
    report.compare(CDC, TEXT, None);
    report.compare(CDC, debezium::DEFAULTS, Some(Target::AtLeast(10.0)));
    report.compare_costs(CDC, debezium::DEFAULTS);
    report.compare(CDC, debezium::TUNED, None);
    report.compare_costs(CDC, debezium::TUNED);
    let (memory, first) = report
        .contender(CDC)
        .map_or((f64::NAN, None), |cdc| (cdc.memory_megabytes_peak, cdc.first_event_seconds));
    report.figures.extend([
        Figure::new("peak memory of cdc, MB", memory, Some(Target::AtMost(100.0))),
        Figure::new(
            "first event of cdc, s",
            first.unwrap_or(f64::INFINITY),
            Some(Target::AtMost(0.5)),
        ),
    ]);
    Ok(report)
}
