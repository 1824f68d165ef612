//! The server and the rows that are measured with.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::{Options, Postgres};
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

/// The publication that every contender reads.
pub(super) const PUBLICATION: &str = "bench";
/// The slot that stands before the load and is only ever copied.
const BASE_SLOT: &str = "bench_base";
/// The server lets go of a slot within this time.
const RELEASE_WAIT_MAX: Duration = Duration::from_secs(60);

/// Starts a server that neither checkpoints nor gives up a slow reader in the middle of a run.
pub(super) fn start(major: Option<u16>) -> anyhow::Result<Postgres> {
    let major = major.or_else(|| Postgres::available().first().copied());
    let major = major.context("no PostgreSQL here: run cargo xtask services")?;
    Postgres::start(Options {
        major,
        settings: vec![
            ("shared_buffers", "256MB"),
            ("max_wal_size", "32GB"),
            ("checkpoint_timeout", "1h"),
            ("autovacuum", "off"),
            ("wal_sender_timeout", "60s"),
        ],
        // With it each contender would measure the library that it encrypts with.
        tls: false,
        ..Options::default()
    })
}

/// Creates the table, about 150 bytes a row.
pub(super) async fn create_table(client: &Client) -> anyhow::Result<()> {
    let sql = format!(
        "CREATE TABLE events (
            id bigint PRIMARY KEY, customer int NOT NULL, kind text NOT NULL,
            amount numeric(12,2) NOT NULL, at timestamptz NOT NULL, open bool NOT NULL,
            note text NOT NULL);
         CREATE PUBLICATION {PUBLICATION} FOR TABLE events"
    );
    client.batch_execute(&sql).await.context("create the table")
}

/// Inserts rows in transactions of so many.
pub(super) async fn insert(client: &Client, rows: u64, per_transaction: u64) -> anyhow::Result<()> {
    let sql = format!(
        "DO $$ BEGIN
           FOR n IN 0 .. {last} LOOP
             INSERT INTO events
             SELECT i, i % 10000, 'kind ' || i % 20, i % 100000 / 7.0, now(), i % 2 = 0,
                    md5(i::text) || md5((i * 7)::text) || 'xxxxxxxx'
             FROM generate_series(n * {per_transaction} + 1,
                                  least({rows}, (n + 1) * {per_transaction})) AS i;
             COMMIT;
           END LOOP;
         END $$",
        last = rows.div_ceil(per_transaction).saturating_sub(1)
    );
    client.batch_execute(&sql).await.context("insert the rows")
}

/// Marks the place in the log from which every contender reads.
pub(super) async fn mark(client: &Client) -> anyhow::Result<()> {
    let sql = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')::text";
    client.query_one(sql, &[&BASE_SLOT]).await.context("create the slot")?;
    Ok(())
}

/// Forgets the marked place, so that another can be marked.
pub(super) async fn unmark(client: &Client) -> anyhow::Result<()> {
    drop_slot(client, BASE_SLOT).await
}

/// A new slot at the marked place.
pub(super) async fn slot(client: &Client, name: &str) -> anyhow::Result<()> {
    let sql = "SELECT pg_copy_logical_replication_slot($1, $2)::text";
    client.query_one(sql, &[&BASE_SLOT, &name]).await.context("copy the slot")?;
    Ok(())
}

/// Removes a slot, once the server has noticed that its reader is gone: after a huge transaction it
/// first removes what it had put on disk.
pub(super) async fn drop_slot(client: &Client, name: &str) -> anyhow::Result<()> {
    let active = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";
    let deadline = Instant::now() + RELEASE_WAIT_MAX;
    while client.query_one(active, &[&name]).await.context("look at the slot")?.try_get(0)? {
        ensure!(Instant::now() < deadline, "slot {name} is still in use");
        sleep(Duration::from_millis(50)).await;
    }
    let sql = "SELECT pg_drop_replication_slot($1)::text";
    client.query_one(sql, &[&name]).await.context("drop the slot")?;
    Ok(())
}

/// The place after everything that is committed, with one more commit behind it so that a reader
/// that stops there does not wait for a keepalive.
pub(super) async fn end(client: &Client) -> anyhow::Result<String> {
    let row = client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await?;
    client.batch_execute("CREATE TABLE after_the_end (); DROP TABLE after_the_end").await?;
    Ok(row.try_get(0)?)
}

/// Creates so many tables, all published.
pub(super) async fn create_tables(client: &Client, count: u64) -> anyhow::Result<()> {
    create_table(client).await?;
    let sql = format!(
        "DROP PUBLICATION {PUBLICATION};
         ALTER TABLE events RENAME TO table_1;
         CREATE PUBLICATION {PUBLICATION} FOR ALL TABLES"
    );
    client.batch_execute(&sql).await.context("publish the tables")?;
    // In pieces, because a transaction may not lock so many tables.
    let sql = format!(
        "DO $$ BEGIN
           FOR n IN 2 .. {count} LOOP
             EXECUTE format('CREATE TABLE table_%s (LIKE table_1 INCLUDING ALL)', n);
             COMMIT;
           END LOOP;
         END $$"
    );
    client.batch_execute(&sql).await.context("create the tables")
}

/// Inserts one more row into each of so many tables, each in a transaction of its own.
pub(super) async fn insert_into_each(client: &Client, count: u64) -> anyhow::Result<()> {
    let sql = format!(
        "DO $$ BEGIN
           FOR n IN 1 .. {count} LOOP
             EXECUTE format('INSERT INTO table_%s SELECT count(*), 1, ''kind'', 9.99, now(), true,
                                                         repeat(''x'', 72) FROM table_%s', n, n);
             COMMIT;
           END LOOP;
         END $$"
    );
    client.batch_execute(&sql).await.context("insert into each table")
}
