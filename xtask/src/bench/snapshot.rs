//! The first copy of one table.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use super::arena::Arena;
use super::contest::Contest;
use super::debezium::{self, Debezium, Task};
use super::report::{Figure, Report, Target};
use super::{subject, tools, workload};

const PER_TRANSACTION: u64 = 100_000;
const COPY: &str = "COPY, binary";

/// `COPY … TO STDOUT (FORMAT binary)` into a file, `cdc` with each count of readers, and Debezium, in
/// turns. Without counts `cdc` takes what it takes by itself.
pub(super) async fn run(
    arena: &Arena<'_>,
    debezium: &Debezium,
    readers: &[u8],
    rounds: u32,
    rows: u64,
) -> anyhow::Result<Report> {
    let client = &arena.client;
    workload::create_table(client).await?;
    println!("inserting {rows} rows");
    workload::insert(client, rows, PER_TRANSACTION).await?;
    client.batch_execute("VACUUM (ANALYZE, FREEZE) events").await?;
    let ours = contenders(readers);
    let mut contest = Contest::default();
    for round in 1..=rounds {
        contest.note(COPY, tools::copy(arena).await?);
        for (name, readers) in &ours {
            contest.note(name, subject::snapshot(arena, *readers, rows).await?);
        }
        debezium.take_turn(&mut contest, arena, Task::Snapshot, rows).await?;
        println!("round {round} of {rounds} is done");
    }
    let (contenders, not_run) = contest.end(rows)?;
    let mut report = Report {
        name: "snapshot",
        server: arena.version().await?,
        rows,
        rounds,
        contenders,
        not_run,
        notes: debezium.notes(),
        ..Report::default()
    };
    for (name, _) in &ours {
        add_figures(&mut report, name);
    }
    Ok(report)
}

fn contenders(readers: &[u8]) -> Vec<(String, Option<u8>)> {
    if readers.is_empty() {
        return vec![("cdc, to its log on disk".to_owned(), None)];
    }
    let contender = |count: &u8| {
        let plural = if *count == 1 { "" } else { "s" };
        (format!("cdc, {count} reader{plural}"), Some(*count))
    };
    readers.iter().map(contender).collect()
}

fn add_figures(report: &mut Report, name: &str) {
    report.compare(name, COPY, Some(Target::AtLeast(0.5)));
    for rival in [debezium::DEFAULTS, debezium::TUNED] {
        report.compare(name, rival, None);
        report.compare_costs(name, rival);
    }
    let (memory, first) = report
        .contender(name)
        .map_or((f64::NAN, None), |cdc| (cdc.memory_megabytes_peak, cdc.first_event_seconds));
    report.figures.extend([
        Figure::new(format!("{name}: peak memory, MB"), memory, Some(Target::AtMost(100.0))),
        Figure::new(
            format!("{name}: first event, s"),
            first.unwrap_or(f64::INFINITY),
            Some(Target::AtMost(0.5)),
        ),
    ]);
}

#[cfg(test)]
mod tests {
    use super::contenders;

    #[test]
    fn each_count_of_readers_is_a_contender_and_none_is_what_cdc_takes() {
        let names = |readers: &[u8]| -> Vec<String> {
            contenders(readers).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&[1, 4]), ["cdc, 1 reader", "cdc, 4 readers"]);
        assert_eq!(names(&[]), ["cdc, to its log on disk"]);
        assert_eq!(contenders(&[4])[0].1, Some(4));
    }
}
