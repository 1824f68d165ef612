//! What survives a crash of this side, of the server, or of the slot.

use crate::{
    harness::{Pipeline, config, database, eventually, servers, slot_is_free},
    proxy::Proxy,
};
use cdc_core::{
    Operation, Retry, TableId, Value, catalog::SourceConnector, snapshot::SnapshotOrder,
};
use cdc_source_postgres::{Backend, Config, Connector, Resume, SnapshotMode};
use cdc_testkit::services::{Options as PostgresOptions, Postgres};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;

fn numbers(pipeline: &Pipeline) -> Vec<i64> {
    let number = |row: &cdc_core::Row| match row[0] {
        Value::Int(number) => number,
        _ => panic!("not a number"),
    };
    pipeline.changes.iter().filter_map(|change| change.after.as_ref()).map(number).collect()
}

#[tokio::test]
async fn a_source_that_is_dropped_anywhere_misses_nothing() {
    let seed = rand::rng().random::<u64>();
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        let mut written = 0;
        for _ in 0..40 {
            let size = dice.random_range(1..2000);
            let insert = format!(
                "INSERT INTO t SELECT n, repeat('x', n % 300) FROM generate_series({}, {}) n",
                written + 1,
                written + size
            );
            client.batch_execute(&insert).await.unwrap();
            written += size;
            let mut running = pipeline.start_with(dice.random_range(1..4), 1 << 16).await;
            for _ in 0..dice.random_range(0..4) {
                let step = tokio::time::timeout(Duration::from_millis(300), running.step()).await;
                assert!(step != Ok(None), "{:?}", running.outcome().await);
            }
            if dice.random_bool(0.5) {
                tokio::time::sleep(Duration::from_millis(dice.random_range(0..30))).await;
            }
        }
        let mut running = pipeline.start().await;
        running.until_current().await;
        running.stop().await.unwrap();
        assert_eq!(numbers(&pipeline), (1..=i64::from(written)).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_stopped_source_repeats_nothing() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        for round in 0..3 {
            let insert = format!("INSERT INTO t VALUES ({round})");
            client.batch_execute(&insert).await.unwrap();
            let mut running = pipeline.start().await;
            running.until_changes(round + 1).await;
            running.stop().await.unwrap();
        }
        assert_eq!((numbers(&pipeline), pipeline.repeated), (vec![0, 1, 2], 0));
    }
}

#[tokio::test]
async fn a_server_that_crashes_is_followed_again() {
    let server = Postgres::start(PostgresOptions::default()).unwrap();
    let (name, client) = database(&server, "CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut pipeline = Pipeline::provisioned(config(&server, &name)).await;
    let mut running = pipeline.start().await;
    client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
    running.until_changes(1).await;
    server.kill9().unwrap();
    let error = running.until_end().await.unwrap_err();
    assert_eq!(error.retry, Retry::Backoff, "{error}");

    // While it is away, opening fails in the same way.
    let error = pipeline.start().await.until_end().await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-1001", Retry::Backoff));

    server.restart().unwrap();
    let client = server.connect(&name).await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    let mut running = pipeline.start().await;
    running.until_changes(2).await;

    server.restart().unwrap();
    let error = running.until_end().await.unwrap_err();
    assert_eq!(error.retry, Retry::Backoff, "{error}");
    let client = server.connect(&name).await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    let mut running = pipeline.start().await;
    running.until_changes(3).await;
    running.stop().await.unwrap();
    assert_eq!(numbers(&pipeline), [1, 2, 3]);
}

#[tokio::test]
async fn a_stream_that_the_server_ends_is_an_error_to_retry() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let mut running = pipeline.start().await;
        client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        running.until_changes(1).await;
        let end = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
                   WHERE slot_name = $1";
        client.query_one(end, &[&base.slot_name]).await.unwrap();
        let error = running.until_end().await.unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-1006", Retry::Backoff));
        client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
        let mut running = pipeline.start().await;
        running.until_changes(2).await;
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_slot_that_is_gone_or_made_anew_is_never_glossed_over() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let mut running = pipeline.start().await;
        client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        running.until_changes(1).await;
        running.stop().await.unwrap();
        slot_is_free(&client, &base.slot_name).await;
        let drop = "SELECT pg_drop_replication_slot($1::text::name)";
        client.query_one(drop, &[&base.slot_name]).await.unwrap();
        client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();

        let error = pipeline.start().await.until_end().await.unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-1014", Retry::AfterOperator));

        pipeline.connector.provision().await.unwrap();
        let error = pipeline.start().await.until_end().await.unwrap_err();
        assert_eq!((error.code, error.retry), ("CDC-1017", Retry::AfterOperator));
        assert!(error.remedy.unwrap().contains("when_needed"));

        let mode = SnapshotMode::WhenNeeded;
        let healing = Connector::new(Config { snapshot_mode: mode, ..base }).unwrap();
        let mut pipeline = pipeline.with(healing);
        let mut running = pipeline.start().await;
        running.until_current().await;
        client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
        running.until_current().await;
        running.stop().await.unwrap();
        assert_eq!(numbers(&pipeline), [1, 1, 2, 3]);
    }
}

#[tokio::test]
async fn a_slot_that_somebody_else_reads_is_named_with_its_reader() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        let mut first = Pipeline::provisioned(base.clone()).await;
        let mut running = first.start().await;
        running.until_current().await;
        let pid = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
        let pid: i32 = client.query_one(pid, &[&base.slot_name]).await.unwrap().get(0);

        let mut second = Pipeline::new(Connector::new(base.clone()).unwrap());
        let error = second.start().await.until_end().await.unwrap_err();
        assert_eq!(error.code, "CDC-1013");
        assert!(error.context.contains(&pid.to_string()), "{error}");
        assert!(error.context.contains("cdc/slot_"), "{error}");
        assert!(error.remedy.unwrap().contains("pg_terminate_backend"));
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_leftover_session_of_our_own_is_ended() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        let mut proxy = Proxy::start("127.0.0.2", server).await;
        let through = Config { host: proxy.host.clone(), port: proxy.port, ..base.clone() };
        let mut pipeline = Pipeline::provisioned(through).await;
        let mut running = pipeline.start().await;
        client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        running.until_changes(1).await;
        proxy.freeze();
        assert!(proxy.kept() >= 2);
        drop(running);

        client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
        // A new process knows its leftover by the stored state alone.
        let mut pipeline = pipeline.with(Connector::new(base).unwrap());
        let mut running = pipeline.start().await;
        running.until_changes(2).await;
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_stranger_that_reads_from_the_slot_is_never_ended() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let mut running = pipeline.start().await;
        client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        running.until_changes(1).await;
        running.stop().await.unwrap();

        // The session that ended holds the slot until its server process has gone.
        slot_is_free(&client, &base.slot_name).await;
        // Another process with the same slot, and so with the same name of its sessions.
        let mut stranger = Pipeline::new(Connector::new(base.clone()).unwrap());
        let mut strange = stranger.start().await;
        client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
        let held = format!(
            "SELECT active_pid IS NOT NULL FROM pg_replication_slots WHERE slot_name = '{}'",
            base.slot_name
        );
        eventually(&client, &held).await;
        let holder = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
        let pid: i32 = client.query_one(holder, &[&base.slot_name]).await.unwrap().get(0);

        let mut resume = Resume::from_bytes(pipeline.resume.as_ref().unwrap()).unwrap();
        let session = resume.session.expect("the process that streamed is remembered");
        assert_ne!(session.pid, pid);
        // As it was; and when the stranger has got the number that was ours.
        for session in [session, Backend { pid, ..session }] {
            resume.session = Some(session);
            pipeline.resume = Some(resume.to_bytes());
            let error = pipeline.start().await.until_end().await.unwrap_err();
            assert_eq!(error.code, "CDC-1013", "{error}");
        }
        let still: i32 = client.query_one(holder, &[&base.slot_name]).await.unwrap().get(0);
        assert_eq!(still, pid);
        client.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
        strange.until_current().await;
        strange.stop().await.unwrap();
        assert_eq!(numbers(&stranger), [2, 3]);
    }
}

/// The number of times that an operation came.
fn count(pipeline: &Pipeline, operation: Operation) -> usize {
    pipeline.changes.iter().filter(|change| change.operation == operation).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn destinations_that_are_compared_are_not_emptied_and_the_comparison_is_asked_for_until_it_is_done()
 {
    for server in servers() {
        let ddl = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 9)";
        let (name, client) = database(server, ddl).await;
        let mode = SnapshotMode::WhenNeeded;
        let base = Config { snapshot_mode: mode, ..config(server, &name) };
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        pipeline.compares = true;
        let mut running = pipeline.start().await;
        running.until_current().await;
        assert!(!running.status.borrow().comparison_due);
        running.stop().await.unwrap();
        slot_is_free(&client, &base.slot_name).await;
        let drop_slot = "SELECT pg_drop_replication_slot($1::text::name)";
        client.query_one(drop_slot, &[&base.slot_name]).await.unwrap();
        client.batch_execute("DELETE FROM t WHERE id < 3").await.unwrap();

        for restart in 0..2 {
            let mut running = pipeline.start().await;
            while !running.status.borrow().comparison_due {
                running.step().await.unwrap();
            }
            // What is told complete stays where it was: destinations may hold rows that are gone.
            client.batch_execute(&format!("INSERT INTO t VALUES (100 + {restart})")).await.unwrap();
            running.step().await.unwrap();
            assert!(running.pipeline.complete < running.pipeline.end);
            drop(running);
        }
        assert_eq!(count(&pipeline, Operation::Truncate), 0);
        assert_eq!(count(&pipeline, Operation::Snapshot), 9 + 7);
        assert_eq!(count(&pipeline, Operation::Delete), 0);
        let gone = |id: i32| vec![id.to_string()];
        let keys = vec![gone(1), gone(2), gone(3)];
        let rows = SnapshotOrder::Rows { table: TableId::new("public", "t"), keys };
        for order in [rows, SnapshotOrder::Compared] {
            let resume = pipeline.resume.clone().unwrap();
            pipeline.connector.order_snapshot(&order, &resume).await.unwrap();
        }
        let mut running = pipeline.start().await;
        running.until_current().await;
        assert!(!running.status.borrow().comparison_due);
        running.stop().await.unwrap();
        assert_eq!(count(&pipeline, Operation::Delete), 2);
        assert_eq!(count(&pipeline, Operation::Snapshot), 9 + 7 + 1);
        let mut running = pipeline.start().await;
        running.until_current().await;
        assert!(!running.status.borrow().comparison_due);
    }
}
