//! The first copy of one table.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use cdc_testkit::services::Postgres;
use tokio_postgres::Client;

use super::measure::{self, Usage, median};
use super::report::{Contender, Figure, Report, Target};
use super::subject::Subject;
use super::workload;

const PER_TRANSACTION: u64 = 100_000;

/// `COPY … TO STDOUT (FORMAT binary)` into a file, and `cdc`, in turns.
pub(super) async fn run(
    binary: &Path,
    server: &Postgres,
    rounds: u32,
    rows: u64,
) -> anyhow::Result<Report> {
    let database = server.create_database("bench").await?;
    let client = server.connect(&database).await?;
    workload::create_table(&client).await?;
    println!("inserting {rows} rows");
    workload::insert(&client, rows, PER_TRANSACTION).await?;
    client.batch_execute("VACUUM (ANALYZE, FREEZE) events").await?;
    let (mut copies, mut ours) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        copies.push(copy(server, &database).await?);
        ours.push(cdc(binary, server, &client, &database, rows).await?);
        println!("round {round} of {rounds} is done");
    }
    let contenders = vec![
        Contender::new("COPY, binary", rows, median(copies)?),
        Contender::new("cdc, to its log on disk", rows, median(ours)?),
    ];
    let [copy, cdc] = contenders.as_slice() else { anyhow::bail!("two contenders ran") };
    let figures = vec![
        Figure::new(
            "cdc / COPY",
            cdc.rows_per_second / copy.rows_per_second,
            Some(Target::AtLeast(0.5)),
        ),
        Figure::new(
            "peak memory of cdc, MB",
            cdc.memory_megabytes_peak,
            Some(Target::AtMost(100.0)),
        ),
        Figure::new(
            "first event of cdc, s",
            cdc.first_event_seconds.unwrap_or(f64::INFINITY),
            Some(Target::AtMost(0.5)),
        ),
    ];
    let server = workload::version(&client).await?;
    Ok(Report { name: "snapshot", server, rows, rounds, contenders, figures })
}

async fn copy(server: &Postgres, database: &str) -> anyhow::Result<Usage> {
    let directory = tempfile::tempdir().context("create a directory")?;
    let mut command = server.binaries().command("psql");
    command
        .args(["--host", server.host(), "--port", &server.port().to_string()])
        .args(["--username", server.superuser(), "--dbname", database, "--no-psqlrc"])
        .args(["--command", "COPY events TO STDOUT (FORMAT binary)"])
        .stdout(File::create(directory.path().join("rows"))?)
        .env("PGPASSWORD", server.password());
    let usage = measure::run(command, async || true).await?;
    Ok(Usage { first_seconds: None, ..usage })
}

async fn cdc(
    binary: &Path,
    server: &Postgres,
    client: &Client,
    database: &str,
    rows: u64,
) -> anyhow::Result<Usage> {
    let slot = "bench_cdc";
    let subject = Subject::new(binary, server, database, slot, "initial", None)?;
    let usage = measure::run(subject.until_current(), async || subject.has_begun().await).await?;
    subject.check_log(rows)?;
    workload::drop_slot(client, slot).await?;
    Ok(usage)
}
