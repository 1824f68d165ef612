//! A standby takes over.

use crate::harness::{PATIENCE, Pipeline, config, database, eventually};
use cdc_core::{Finding, Retry, Value, catalog::SourceConnector, finding::Level};
use cdc_source_postgres::{Config, Connector};
use cdc_testkit::services::{Options as PostgresOptions, Postgres};
use tokio_postgres::Client;

fn numbers(pipeline: &Pipeline) -> Vec<i64> {
    let number = |row: &cdc_core::Row| match row[0] {
        Value::Int(number) => number,
        _ => panic!("not a number"),
    };
    pipeline.changes.iter().filter_map(|change| change.after.as_ref()).map(number).collect()
}

fn mentions<'a>(findings: &'a [Finding], level: Level, text: &str) -> &'a Finding {
    let found =
        findings.iter().find(|finding| finding.level == level && finding.what.contains(text));
    found.unwrap_or_else(|| panic!("nothing at {level:?} about {text:?}: {findings:#?}"))
}

/// A primary with a physical slot for its standby.
async fn primary(major: u16) -> Postgres {
    let options = PostgresOptions { major, ..PostgresOptions::default() };
    let server = Postgres::start(options).unwrap();
    let client = server.connect("postgres").await.unwrap();
    let slot = "SELECT pg_create_physical_replication_slot('standby', true)";
    client.batch_execute(slot).await.unwrap();
    server
}

fn standby(primary: &Postgres) -> Postgres {
    let settings = [
        ("primary_slot_name", "standby"),
        ("hot_standby_feedback", "on"),
        ("sync_replication_slots", "on"),
    ];
    Postgres::standby_of(primary, &settings).unwrap()
}

/// The same pipeline, reading from another server.
fn at(config: &Config, server: &Postgres) -> Config {
    Config { port: server.port(), ..config.clone() }
}

/// Is the slot ready for a failover?
fn is_copied(config: &Config) -> String {
    format!(
        "SELECT bool_and(synced AND NOT temporary AND invalidation_reason IS NULL)
         FROM pg_replication_slots WHERE slot_name = '{}'",
        config.slot_name
    )
}

/// Ends the primary, with everything in it known to the standby, and puts that in its place.
async fn fail_over(primary: &Postgres, client: Client, follower: &Client) {
    let end = "SELECT pg_current_wal_flush_lsn()::text";
    let end: String = client.query_one(end, &[]).await.unwrap().get(0);
    eventually(follower, &format!("SELECT pg_last_wal_replay_lsn() >= '{end}'")).await;
    drop(client);
    primary.stop().unwrap();
    // Nobody is left to wait for.
    for statement in [
        "SELECT pg_promote()",
        "ALTER SYSTEM RESET synchronized_standby_slots",
        "SELECT pg_reload_conf()",
    ] {
        follower.batch_execute(statement).await.unwrap();
    }
}

#[tokio::test]
async fn a_pipeline_goes_on_at_the_promoted_standby_without_loss_or_doubling() {
    for major in [17, 18] {
        if Postgres::is_missing(major).is_some() {
            continue;
        }
        let primary = primary(major).await;
        let (name, client) = database(&primary, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = Config { heartbeat_interval_seconds: 1, ..config(&primary, &name) };
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let standby = standby(&primary);
        let (findings, _) = pipeline.connector.check().await;
        let warned = mentions(&findings, Level::Warning, "synchronized_standby_slots is empty");
        let set = warned.remedy.clone().unwrap();
        for statement in set.split_inclusive(';') {
            client.batch_execute(statement).await.unwrap();
        }
        let mut running = pipeline.start().await;
        client.batch_execute("INSERT INTO t SELECT generate_series(1, 100)").await.unwrap();
        running.until_changes(100).await;
        let follower = standby.connect(&name).await.unwrap();
        running.until_true(&follower, &is_copied(&base)).await;
        // Part of this is captured, and the rest is only in the logs of the servers.
        client.batch_execute("INSERT INTO t SELECT generate_series(101, 200)").await.unwrap();
        client
            .batch_execute(
                "SELECT pg_logical_emit_message(false, 'm', 'before'); INSERT INTO t VALUES (201)",
            )
            .await
            .unwrap();
        running.until_changes(200).await;
        drop(running);
        client.batch_execute("INSERT INTO t SELECT generate_series(202, 300)").await.unwrap();
        let (findings, _) = pipeline.connector.check().await;
        mentions(&findings, Level::Ok, "is copied to standbys, and waits for standby");

        // Before the promotion the copy can only be looked at.
        let there = Connector::new(at(&base, &standby)).unwrap();
        let (findings, _) = there.check().await;
        mentions(&findings, Level::Warning, "is a copy of the primary's");
        let error = there.provision().await.unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-1040", Retry::Backoff), "{error}");
        let mut pipeline = pipeline.with(there);
        let error = pipeline.start().await.until_end().await.unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-1040", Retry::Backoff), "{error}");

        fail_over(&primary, client, &follower).await;
        follower.batch_execute("INSERT INTO t SELECT generate_series(301, 400)").await.unwrap();

        pipeline.connector.provision().await.unwrap();
        let mut running = pipeline.start().await;
        running.until_current().await;
        running.stop().await.unwrap();
        let (rows, messages): (Vec<_>, Vec<_>) = std::mem::take(&mut pipeline.changes)
            .into_iter()
            .partition(|change| !change.schema.table.is_messages());
        assert_eq!(messages.len(), 1);
        pipeline.changes = rows;
        assert_eq!(numbers(&pipeline), (1..=400).collect::<Vec<_>>());

        // The former primary comes back and does not know that it is one.
        primary.restart().unwrap();
        let mut pipeline = pipeline.with(Connector::new(base).unwrap());
        let error = pipeline.start().await.until_end().await.unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-1019", Retry::AfterOperator), "{error}");
    }
}

#[tokio::test]
async fn a_standby_that_lacks_what_was_captured_is_refused_although_it_wrote_more() {
    let major = 17;
    if Postgres::is_missing(major).is_some() {
        return;
    }
    let primary = primary(major).await;
    let (name, client) = database(&primary, "CREATE TABLE t (id int PRIMARY KEY)").await;
    let base = config(&primary, &name);
    let mut pipeline = Pipeline::provisioned(base.clone()).await;
    let standby = standby(&primary);
    let follower = standby.connect(&name).await.unwrap();
    let mut running = pipeline.start().await;
    client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    running.until_changes(1).await;
    running.until_true(&follower, &is_copied(&base)).await;
    // The standby is cut off, and the primary and the pipeline go on without it.
    standby.stop().unwrap();
    client.batch_execute("INSERT INTO t SELECT generate_series(2, 100)").await.unwrap();
    running.until_changes(100).await;
    running.stop().await.unwrap();
    drop(client);
    primary.stop().unwrap();

    standby.restart().unwrap();
    let follower = standby.connect(&name).await.unwrap();
    follower.batch_execute("SELECT pg_promote()").await.unwrap();
    follower.batch_execute("INSERT INTO t SELECT generate_series(1000, 9999)").await.unwrap();
    let mut pipeline = pipeline.with(Connector::new(at(&base, &standby)).unwrap());
    let error = pipeline.start().await.until_end().await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-1019", Retry::AfterOperator), "{error}");
    assert!(error.context.contains("left timeline 1"), "{error}");
}

#[tokio::test]
async fn a_slot_of_the_standbys_own_is_told_of_and_none_is_made_without_being_asked_for() {
    let major = 17;
    if Postgres::is_missing(major).is_some() {
        return;
    }
    let primary = primary(major).await;
    let (name, client) = database(&primary, "CREATE TABLE t (id int PRIMARY KEY)").await;
    let base = config(&primary, &name);
    Pipeline::provisioned(base.clone()).await;
    let settings = [("primary_slot_name", "standby"), ("hot_standby_feedback", "on")];
    let standby = Postgres::standby_of(&primary, &settings).unwrap();
    let follower = standby.connect(&name).await.unwrap();
    let there = Connector::new(at(&base, &standby)).unwrap();
    let (findings, _) = there.check().await;
    mentions(&findings, Level::Error, "is a standby without a replication slot");
    let error = there.provision().await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-1041", Retry::AfterOperator), "{error}");

    // What the remedy says.
    let name = &base.slot_name;
    let create = format!("SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')");
    let nudge = async {
        loop {
            client.batch_execute("SELECT pg_log_standby_snapshot()").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        biased;
        created = follower.batch_execute(&create) => created.unwrap(),
        () = nudge => {}
    }
    let (findings, _) = there.check().await;
    let own = mentions(&findings, Level::Warning, "synced is false");
    assert!(own.remedy.as_ref().unwrap().contains("pg_drop_replication_slot"));

    // Such a slot is read like any other.
    there.provision().await.unwrap();
    let mut pipeline = Pipeline::new(there);
    let mut running = pipeline.start().await;
    client.batch_execute("INSERT INTO t VALUES (1), (2)").await.unwrap();
    running.until_changes(2).await;
    running.stop().await.unwrap();
    assert_eq!(numbers(&pipeline), [1, 2]);
}

#[tokio::test]
async fn a_stream_that_waits_for_a_standby_says_so() {
    let major = 17;
    if Postgres::is_missing(major).is_some() {
        return;
    }
    let primary = primary(major).await;
    let (name, client) = database(&primary, "CREATE TABLE t (id int PRIMARY KEY)").await;
    for statement in
        ["ALTER SYSTEM SET synchronized_standby_slots = 'standby'", "SELECT pg_reload_conf()"]
    {
        client.batch_execute(statement).await.unwrap();
    }
    let mut pipeline = Pipeline::provisioned(config(&primary, &name)).await;
    let running = pipeline.start().await;
    client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    let mut status = running.status.clone();
    let warned = status.wait_for(|status| status.warning.is_some() && status.connected);
    let warned = tokio::time::timeout(PATIENCE, warned).await.expect("a warning in time");
    let warned = warned.unwrap().clone();
    let warning = warned.warning.unwrap();
    assert!(warning.contains("nobody reads from standby"), "{warning}");
    assert_eq!(warned.details["failover"], "true");
}
