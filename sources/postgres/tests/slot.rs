//! What keeps a slot small, and what is told of one that is not.

use crate::harness::{PATIENCE, Pipeline, Running, config, database, servers};
use cdc_core::{Retry, Secret, catalog::SourceConnector};
use cdc_source_postgres::{Config, Connector, SnapshotMode};
use cdc_testkit::services::{Options as PostgresOptions, Postgres};
use std::time::Duration;
use tokio_postgres::Client;

async fn for_a_while(running: &mut Running<'_>, while_: Duration) {
    let wait = tokio::time::sleep(while_);
    tokio::pin!(wait);
    loop {
        tokio::select! {
            biased;
            () = &mut wait => return,
            step = running.step() => step.unwrap(),
        }
    }
}

/// A slot through which a test sees what is in the log of a database.
async fn probe(client: &Client, config: &Config) -> String {
    let name = format!("probe_{}", config.slot_name);
    let create = format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')");
    client.batch_execute(&create).await.unwrap();
    format!(
        "SELECT count(*) >= $COUNT FROM pg_logical_slot_peek_binary_changes('{name}', NULL, NULL,
             'proto_version', '1', 'publication_names', '\"{}\"', 'messages', 'true')
         WHERE position('cdc.heartbeat'::bytea in data) > 0",
        config.publication_name
    )
}

async fn drop_probe(client: &Client, config: &Config) {
    let drop = format!("SELECT pg_drop_replication_slot('probe_{}')", config.slot_name);
    client.batch_execute(&drop).await.unwrap();
}

fn beats(probe: &str, count: u32) -> String {
    probe.replace("$COUNT", &count.to_string())
}

async fn has_beats(client: &Client, probe: &str) -> bool {
    client.query_one(&beats(probe, 1), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_quiet_database_beside_a_busy_one_holds_no_log() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let (_, busy) = database(server, "CREATE TABLE b (v text)").await;
        let base = Config { heartbeat_interval_seconds: 1, ..config(server, &name) };
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let probe = probe(&client, &base).await;
        let mut running = pipeline.start().await;
        for _ in 0..4 {
            busy.batch_execute(
                "INSERT INTO b SELECT repeat('x', 1000) FROM generate_series(1, 5000)",
            )
            .await
            .unwrap();
            for_a_while(&mut running, Duration::from_millis(300)).await;
        }
        running.until_true(&client, &beats(&probe, 2)).await;
        // The whole server is quiet now, and the slot follows still.
        let small = format!(
            "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) < 1000000
                 AND pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn) < 100000
             FROM pg_replication_slots WHERE slot_name = '{}'",
            base.slot_name
        );
        running.until_true(&client, &small).await;
        running.stop().await.unwrap();
        assert!(pipeline.changes.is_empty(), "heartbeats are our own");
        drop_probe(&client, &base).await;
    }
}

#[tokio::test]
async fn a_busy_stream_and_one_that_is_told_so_have_no_heartbeats() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int)").await;
        let base = Config { heartbeat_interval_seconds: 2, ..config(server, &name) };
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let probe = probe(&client, &base).await;
        let mut running = pipeline.start().await;
        for _ in 0..50 {
            client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
            for_a_while(&mut running, Duration::from_millis(100)).await;
        }
        running.stop().await.unwrap();
        assert!(!has_beats(&client, &probe).await, "changes came all the time");

        let off = Config { heartbeat_interval_seconds: 0, ..base.clone() };
        let mut pipeline = pipeline.with(Connector::new(off).unwrap());
        let mut running = pipeline.start().await;
        for_a_while(&mut running, Duration::from_millis(2500)).await;
        running.stop().await.unwrap();
        assert!(!has_beats(&client, &probe).await);
        drop_probe(&client, &base).await;
    }
}

#[tokio::test]
async fn a_role_that_may_not_write_heartbeats_streams_without_them() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        client
            .batch_execute(&format!(
                "CREATE ROLE quiet_{name} LOGIN REPLICATION PASSWORD 'q';
                 ALTER TABLE t OWNER TO quiet_{name};
                 GRANT CREATE ON DATABASE \"{name}\" TO quiet_{name};
                 DO $$ DECLARE f regprocedure; BEGIN
                     FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message'
                     LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); END LOOP;
                 END $$"
            ))
            .await
            .unwrap();
        let base = Config {
            heartbeat_interval_seconds: 1,
            username: format!("quiet_{name}"),
            password: Secret::new("q"),
            ..config(server, &name)
        };
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let probe = probe(&client, &base).await;
        let mut running = pipeline.start().await;
        for_a_while(&mut running, Duration::from_millis(3500)).await;
        client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        running.until_changes(1).await;
        running.stop().await.unwrap();
        assert!(!has_beats(&client, &probe).await);
        drop_probe(&client, &base).await;
    }
}

/// Fills the log of a server with so many MiB.
async fn fill(client: &Client, mebibytes: u32) {
    for _ in 0..mebibytes {
        let fill = "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1048576))";
        client.batch_execute(fill).await.unwrap();
    }
}

#[tokio::test]
async fn a_slot_that_runs_out_of_log_is_told_of_before_and_is_lost_only_once() {
    for major in [15, 17, 18] {
        if Postgres::is_missing(major).is_some() {
            continue;
        }
        let settings = vec![("max_slot_wal_keep_size", "96MB")];
        let server =
            Postgres::start(PostgresOptions { major, settings, ..PostgresOptions::default() })
                .unwrap();
        let (name, client) = database(&server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let other = server.connect("postgres").await.unwrap();
        let base = config(&server, &name);
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let mut running = pipeline.start().await;
        client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        running.until_changes(1).await;

        // From here on nothing becomes durable, so nothing is confirmed.
        fill(&other, 72).await;
        let mut status = running.status.clone();
        let warned = status.wait_for(|status| status.warning.is_some());
        let warned = tokio::time::timeout(PATIENCE, warned).await;
        let warned = warned.expect("a warning in time").unwrap().clone();
        let slot = warned.slot.unwrap();
        assert!(warned.warning.unwrap().contains("max_slot_wal_keep_size"));
        assert!(["reserved", "extended"].contains(&slot.wal_status.as_str()), "{slot:?}");
        assert!((1..96 << 20).contains(&slot.safe_wal_bytes.unwrap()), "{slot:?}");
        assert!(warned.retained_bytes.unwrap() > 64 << 20 && warned.connected);

        fill(&other, 100).await;
        client.batch_execute("CHECKPOINT").await.unwrap();
        let status = running.status.clone();
        let error = running.until_end().await.unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-1016", Retry::AfterOperator), "{error}");
        assert!(!status.borrow().connected, "what /readyz looks at");

        // An engine waits for the longest time between such errors.
        let error = pipeline.start().await.until_end().await.unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-1016", Retry::AfterOperator), "{error}");
        let (findings, _) = pipeline.connector.check().await;
        assert!(findings.iter().any(|finding| finding.what.contains("has lost its log")));

        let mode = SnapshotMode::WhenNeeded;
        let healing = Connector::new(Config { snapshot_mode: mode, ..base }).unwrap();
        let mut pipeline = pipeline.with(healing);
        let mut running = pipeline.start().await;
        running.until_current().await;
        running.stop().await.unwrap();
    }
}
