//! Draining the database's log.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use cdc_testkit::services::Postgres;
use tokio_postgres::Client;

use super::measure::{self, Usage, median};
use super::report::{Contender, Figure, Report, Target};
use super::subject::Subject;
use super::workload;

const PER_TRANSACTION: u64 = 1000;
const TEN_MILLION: u64 = 10_000_000;

/// `pg_recvlogical` in text, in binary, and `cdc`, in turns on the same log.
pub(super) async fn run(
    binary: &Path,
    server: &Postgres,
    rounds: u32,
    rows: u64,
) -> anyhow::Result<Report> {
    let database = server.create_database("bench").await?;
    let client = server.connect(&database).await?;
    workload::create_table(&client).await?;
    workload::mark(&client).await?;
    println!("inserting {rows} rows in transactions of {PER_TRANSACTION}");
    workload::insert(&client, rows, PER_TRANSACTION).await?;
    let end = workload::end(&client).await?;
    let (mut text, mut binaries, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        text.push(recvlogical(server, &client, &database, &end, false).await?);
        binaries.push(recvlogical(server, &client, &database, &end, true).await?);
        ours.push(cdc(binary, server, &client, &database, rows).await?);
        println!("round {round} of {rounds} is done");
    }
    let contenders = vec![
        Contender::new("pg_recvlogical, text", rows, median(text)?),
        Contender::new("pg_recvlogical, binary", rows, median(binaries)?),
        Contender::new("cdc, to its log on disk", rows, median(ours)?),
    ];
    let [in_text, in_binary, cdc] = contenders.as_slice() else {
        anyhow::bail!("three contenders ran");
    };
    let figures = vec![
        Figure::new(
            "cdc / pg_recvlogical, binary",
            cdc.rows_per_second / in_binary.rows_per_second,
            Some(Target::AtLeast(1.15)),
        ),
        Figure::new(
            "cdc / pg_recvlogical, text",
            cdc.rows_per_second / in_text.rows_per_second,
            None,
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
    Ok(Report { name: "stream", server, rows, rounds, contenders, figures })
}

/// One transaction of ten million rows, `cdc` alone: how much memory does it need?
pub(super) async fn one_transaction(binary: &Path, server: &Postgres) -> anyhow::Result<Report> {
    let database = server.create_database("bench").await?;
    let client = server.connect(&database).await?;
    workload::create_table(&client).await?;
    workload::mark(&client).await?;
    println!("inserting {TEN_MILLION} rows in one transaction");
    workload::insert(&client, TEN_MILLION, TEN_MILLION).await?;
    let usage = cdc(binary, server, &client, &database, TEN_MILLION).await?;
    let contender = Contender::new("cdc, to its log on disk", TEN_MILLION, usage);
    let memory = contender.memory_megabytes_peak;
    let figures = vec![Figure::new("peak memory of cdc, MB", memory, Some(Target::AtMost(150.0)))];
    let server = workload::version(&client).await?;
    let name = "one transaction";
    Ok(Report { name, server, rows: TEN_MILLION, rounds: 1, contenders: vec![contender], figures })
}

async fn recvlogical(
    server: &Postgres,
    client: &Client,
    database: &str,
    end: &str,
    binary: bool,
) -> anyhow::Result<Usage> {
    let slot = "bench_recvlogical";
    workload::slot(client, slot).await?;
    let directory = tempfile::tempdir().context("create a directory")?;
    let mut command: Command = server.binaries().command("pg_recvlogical");
    command
        .args(["--host", server.host(), "--port", &server.port().to_string()])
        .args(["--username", server.superuser(), "--dbname", database])
        .args(["--slot", slot, "--start", "--no-loop", "--endpos", end])
        .args(["--option", "proto_version=1"])
        .args(["--option", &format!("publication_names={}", workload::PUBLICATION)])
        .arg("--file")
        .arg(directory.path().join("changes"))
        .env("PGPASSWORD", server.password());
    if binary {
        command.args(["--option", "binary=true"]);
    }
    let usage = measure::run(command, async || true).await?;
    workload::drop_slot(client, slot).await?;
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
    workload::slot(client, slot).await?;
    let subject = Subject::new(binary, server, database, slot, "never", None)?;
    let usage = measure::run(subject.until_current(), async || subject.has_begun().await).await?;
    subject.check_log(rows)?;
    workload::drop_slot(client, slot).await?;
    Ok(usage)
}
