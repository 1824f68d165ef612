//! Commits that the stream has brought and nobody sees yet, as those that wait for a synchronous standby.

use crate::{
    backfill::{LARGE, check, copying},
    harness::{PATIENCE, Pipeline, Running, database},
};
use cdc_core::{Change, Operation, Value};
use cdc_source_postgres::Config;
use cdc_testkit::services::{Options as PostgresOptions, Postgres};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_postgres::Client;

fn server() -> Postgres {
    Postgres::start(PostgresOptions { major: 15, ..PostgresOptions::default() }).unwrap()
}

/// From here on commits wait for a standby that never comes, or no longer do.
async fn commits_wait(client: &Client, wait: bool) {
    let names = if wait { "nobody" } else { "" };
    let statement = format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'");
    client.batch_execute(&statement).await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}

/// Executes a statement whose commit waits.
async fn execute(server: &Postgres, name: &str, statement: &str) -> JoinSet<()> {
    let client = server.connect(name).await.unwrap();
    let statement = statement.to_owned();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { client.batch_execute(&statement).await.unwrap() });
    tasks
}

fn deletes(change: &Change, id: i64) -> bool {
    change.operation == Operation::Delete
        && change.before.as_ref().is_some_and(|row| row[0] == Value::Int(id))
}

/// Takes batches in until the status says why a table is not copied.
async fn until_trouble(running: &mut Running<'_>) -> String {
    let mut status = running.status.clone();
    let trouble = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(trouble) = status.borrow_and_update().details.get("not_copied") {
                return trouble.clone();
            }
            tokio::select! { biased;
                _ = running.step() => {}
                _ = status.changed() => {}
            }
        }
    });
    trouble.await.expect("the trouble is told in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_sees_yet_survives_a_restart_of_the_copy() {
    let server = server();
    let (name, client) = database(&server, LARGE).await;
    let config = Config { snapshot_readers: 1, ..copying(&server, &name) };
    let mut pipeline = Pipeline::provisioned(config).await;
    let mut running = pipeline.start_with(1, 1 << 20).await;
    running.until_changes(100).await;
    commits_wait(&client, true).await;
    // Of the last chunk, which is not read yet.
    let mut waiting = execute(&server, &name, "DELETE FROM big WHERE id = 119999").await;
    while !running.pipeline.changes.iter().any(|change| deletes(change, 119_999)) {
        running.step().await.unwrap();
    }
    drop(running);
    let mut running = pipeline.start().await;
    let trouble = until_trouble(&mut running).await;
    assert!(trouble.contains("public.big") && trouble.contains("transaction"), "{trouble}");
    assert!(waiting.try_join_next().is_none(), "the commit still waits");
    commits_wait(&client, false).await;
    running.until_current().await;
    running.stop().await.unwrap();
    tokio::time::timeout(PATIENCE, waiting.join_next()).await.unwrap().unwrap().unwrap();
    check(&pipeline, &server, &name, &["big", "small"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_does_not_hold_up_the_copy() {
    let server = server();
    let (name, client) = database(&server, &format!("{LARGE}; DROP TABLE keyless")).await;
    let mut pipeline = Pipeline::provisioned(copying(&server, &name)).await;
    // Idle, and waiting for another: neither can have committed.
    client.batch_execute("BEGIN; UPDATE big SET note = 'open' WHERE id = 1").await.unwrap();
    let mut blocked =
        execute(&server, &name, "UPDATE big SET note = 'blocked' WHERE id IN (1, 2)").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut running = pipeline.start().await;
    running.until_current().await;
    client.batch_execute("COMMIT").await.unwrap();
    tokio::time::timeout(PATIENCE, blocked.join_next()).await.unwrap().unwrap().unwrap();
    running.until_current().await;
    running.stop().await.unwrap();
    check(&pipeline, &server, &name, &["big", "small"]).await;
}
