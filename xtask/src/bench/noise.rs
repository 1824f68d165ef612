//! Very many tiny transactions on a table that nobody captures.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tempfile::TempDir;
use tokio_postgres::Client;

use super::arena::Arena;
use super::measure::Running;
use super::tools::tool;

// One call runs so many transactions inside the server: a round trip for each would be the limit.
const BURST: u64 = 100;
const CLIENTS: &str = "2";

/// A running `pgbench`, which ends with this value.
pub(super) struct Noise {
    _pgbench: Running,
    _script: TempDir,
}

impl Noise {
    /// Creates the table; this is no noise yet.
    pub(super) async fn prepare(client: &Client) -> anyhow::Result<()> {
        let sql = "CREATE TABLE noise (n bigint);
             CREATE PROCEDURE burst(transactions int) LANGUAGE plpgsql AS $$ BEGIN
               FOR n IN 1 .. transactions LOOP
                 INSERT INTO noise VALUES (n);
                 COMMIT;
               END LOOP;
             END $$";
        client.batch_execute(sql).await.context("create the table that nobody captures")
    }

    /// Aims at so many transactions a second, for at most this time.
    pub(super) fn start(arena: &Arena<'_>, rate: u64, limit: Duration) -> anyhow::Result<Self> {
        let script = tempfile::tempdir().context("create a directory")?;
        let file = script.path().join("burst.sql");
        std::fs::write(&file, format!("CALL burst({BURST});\n"))?;
        let mut command = tool(arena, "pgbench");
        command
            .args(["--no-vacuum", "--client", CLIENTS, "--jobs", "1"])
            .args(["--rate", &rate.div_ceil(BURST).max(1).to_string()])
            .args(["--time", &limit.as_secs().max(1).to_string()])
            .arg("--file")
            .arg(&file)
            // Otherwise the wait for each commit would be the limit.
            .env("PGOPTIONS", "-c synchronous_commit=off")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self { _pgbench: Running::start(&mut command)?, _script: script })
    }
}

/// How many transactions that write the server has begun since it exists.
pub(super) async fn transactions(client: &Client) -> anyhow::Result<u64> {
    let sql = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
    let text: String = client.query_one(sql, &[]).await?.try_get(0)?;
    text.parse().context("a transaction has a number")
}
