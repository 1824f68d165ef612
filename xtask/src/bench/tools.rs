//! PostgreSQL's own tools, as the benchmarks run them.

use std::fs::File;
use std::process::Command;

use anyhow::Context as _;

use super::arena::Arena;
use super::measure::{self, Usage};
use super::workload;

/// In which form values come out of the server.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Text,
    Binary,
}

/// `pg_recvlogical` into a file, from the marked place to `end`.
pub(super) async fn recvlogical(arena: &Arena<'_>, end: &str, form: Form) -> anyhow::Result<Usage> {
    let slot = "bench_recvlogical";
    workload::slot(&arena.client, slot).await?;
    let directory = tempfile::tempdir().context("create a directory")?;
    let mut command = tool(arena, "pg_recvlogical");
    command
        .args([
            "--dbname",
            &arena.database,
            "--slot",
            slot,
            "--start",
            "--no-loop",
            "--endpos",
            end,
        ])
        .args(["--option", "proto_version=1"])
        .args(["--option", &format!("publication_names={}", workload::PUBLICATION)])
        .arg("--file")
        .arg(directory.path().join("changes"));
    if matches!(form, Form::Binary) {
        command.args(["--option", "binary=true"]);
    }
    let usage = measure::run(command, arena.server, async || true).await?;
    workload::drop_slot(&arena.client, slot).await?;
    Ok(Usage { first_seconds: None, ..usage })
}

/// `COPY … TO STDOUT (FORMAT binary)` into a file.
pub(super) async fn copy(arena: &Arena<'_>) -> anyhow::Result<Usage> {
    let directory = tempfile::tempdir().context("create a directory")?;
    let mut command = tool(arena, "psql");
    command
        .args(["--no-psqlrc", "--command", "COPY events TO STDOUT (FORMAT binary)"])
        .stdout(File::create(directory.path().join("rows"))?);
    let usage = measure::run(command, arena.server, async || true).await?;
    Ok(Usage { first_seconds: None, ..usage })
}

/// A program of the server's version that connects to the database as its superuser.
pub(super) fn tool(arena: &Arena<'_>, program: &str) -> Command {
    let server = arena.server;
    let mut command = server.binaries().command(program);
    command
        .args(["--host", server.host(), "--port", &server.port().to_string()])
        .args(["--username", server.superuser()])
        .env("PGPASSWORD", server.password())
        .env("PGDATABASE", &arena.database);
    command
}
