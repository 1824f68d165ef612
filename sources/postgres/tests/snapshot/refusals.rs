//! Snapshots that are stopped, watched, disturbed or refused.

use super::{Copy, POINT, context, export};
use crate::harness::{self, config, database, eventually, servers};
use bytes::Bytes;
use cdc_source_postgres::{
    schema::Selection,
    snapshot::{self, Request},
};
use tokio::task::JoinSet;

#[tokio::test]
async fn cancelling_and_a_gone_reader_end_a_snapshot_without_an_error() {
    let server = servers()[0];
    let (name, client) = database(
        server,
        "CREATE TABLE t AS SELECT n, repeat('x', 1000) AS t FROM generate_series(1, 200000) AS n",
    )
    .await;
    for cancels in [true, false] {
        let (_exporter, exported) = export(server, &name).await;
        let (context, mut batches, mut seen) = context(1, 1 << 20);
        let cancel = context.cancel.clone();
        let config = config(server, &name);
        let selection = Selection::default();
        let request = Request {
            config: &config,
            selection: &selection,
            publication: None,
            snapshot_name: &exported,
            consistent_point: POINT,
            resume: Bytes::new(),
            start_over: false,
            only: None,
        };
        let stopper = async {
            assert!(batches.recv().await.is_some());
            seen.wait_for(|status| status.snapshot.len() == 1).await.unwrap();
            if cancels {
                cancel.cancel();
                std::future::pending::<()>().await;
            }
            drop(batches);
            std::future::pending::<()>().await;
        };
        tokio::select! { biased;
            outcome = snapshot::run(request, &context) => outcome.unwrap(),
            () = stopper => unreachable!("it never ends"),
            () = tokio::time::sleep(harness::PATIENCE) => panic!("the snapshot goes on"),
        }
        let gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE 'cdc/%' AND datname = current_database())";
        eventually(&client, gone).await;
    }
}

#[tokio::test]
async fn progress_is_said_while_a_table_is_copied() {
    let server = servers()[0];
    let (name, _client) = database(
        server,
        "CREATE TABLE t AS SELECT n, pg_sleep(0)::text FROM generate_series(1, 20000) AS n",
    )
    .await;
    let (_exporter, exported) = export(server, &name).await;
    let (context, mut batches, mut seen) = context(1, 64 << 10);
    let config = config(server, &name);
    let selection = Selection::default();
    let request = Request {
        config: &config,
        selection: &selection,
        publication: None,
        snapshot_name: &exported,
        consistent_point: POINT,
        resume: Bytes::new(),
        start_over: false,
        only: None,
    };
    let slow_reader = async {
        while batches.recv().await.is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        }
    };
    let mut partly = false;
    let watcher = async {
        while seen.changed().await.is_ok() {
            let status = seen.borrow_and_update().clone();
            partly |= status.snapshot.iter().any(|table| table.rows > 0 && !table.done);
        }
    };
    tokio::select! { biased;
        outcome = snapshot::run(request, &context) => outcome.unwrap(),
        () = slow_reader => panic!("the reader never ends"),
        () = watcher => panic!("the watcher never ends"),
    }
    assert!(partly, "rows were counted before the table was done");
}

#[tokio::test]
async fn what_cannot_be_copied_is_named_with_its_remedy() {
    let server = servers()[0];
    let (name, client) = database(
        server,
        "CREATE TABLE open (id int); CREATE TABLE closed (id int); CREATE TABLE guarded (id int);
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; INSERT INTO open VALUES (1)",
    )
    .await;
    let role = format!("reader_{name}");
    let grant = format!(
        "CREATE ROLE \"{role}\" LOGIN PASSWORD 'secret'; GRANT SELECT ON open, guarded TO \"{role}\""
    );
    client.batch_execute(&grant).await.unwrap();
    let as_reader = |tables: &[&'static str]| {
        let mut copy = Copy::new(server, &name, tables);
        copy.config.username.clone_from(&role);
        copy.config.password = cdc_core::Secret::new("secret");
        copy
    };
    let error = as_reader(&["public.open", "public.closed"]).run().await.failure();
    assert_eq!(error.code, "CDC-1065");
    assert!(error.context.contains("\"public\".\"closed\""), "{}", error.context);
    assert!(!error.context.contains("open"), "{}", error.context);
    let remedy = error.remedy.unwrap();
    assert!(
        remedy.contains(&format!("GRANT SELECT ON \"public\".\"closed\" TO \"{role}\"")),
        "{remedy}"
    );
    let error = as_reader(&["public.guarded"]).run().await.failure();
    assert_eq!(error.code, "CDC-1008");
    assert!(error.context.contains("public.guarded"), "{}", error.context);
    let copied = as_reader(&[]).run().await;
    // Everything that the role may read: the guarded table is one of them.
    assert_eq!(copied.failure().code, "CDC-1008");
    let mut copy = Copy::new(server, &name, &[]);
    copy.snapshot_name = Some("00000003-0000FFFF-1".to_owned());
    let error = copy.run().await.failure();
    assert!(error.chain().contains("snapshot"), "{}", error.chain());
}

#[tokio::test]
async fn a_table_that_was_rewritten_since_the_snapshot_is_refused() {
    let server = servers()[0];
    let (name, client) = database(
        server,
        "CREATE TABLE t (id int); INSERT INTO t VALUES (1);
         CREATE TABLE m (id int) PARTITION BY LIST (id); CREATE TABLE m1 PARTITION OF m DEFAULT; INSERT INTO m VALUES (1)",
    )
    .await;
    for rewrite in ["TRUNCATE t", "ALTER TABLE t ALTER id TYPE int8", "TRUNCATE m1"] {
        let (_exporter, exported) = export(server, &name).await;
        client.batch_execute(rewrite).await.unwrap();
        let error = Copy::new(server, &name, &[]).import(exported).await.failure();
        assert_eq!(error.code, "CDC-1066", "{rewrite}");
        assert!(
            error.context.contains(if rewrite.contains('m') { "public.m1" } else { "public.t" }),
            "{}",
            error.context
        );
    }
    let created = Copy::new(server, &name, &[]).run().await;
    created.outcome.unwrap();
}

#[tokio::test]
async fn tables_keep_their_shape_while_they_are_copied() {
    let server = servers()[0];
    let (name, client) = database(
        server,
        "CREATE TABLE t AS SELECT n, repeat('x', 1000) AS t FROM generate_series(1, 50000) AS n",
    )
    .await;
    let altering = server.connect(&name).await.unwrap();
    let mut alter = JoinSet::new();
    let copy = Copy::new(server, &name, &[]);
    alter.spawn(async move {
        let held = "SELECT EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessShareLock' AND relation = 't'::regclass)";
        eventually(&client, held).await;
        altering.batch_execute("ALTER TABLE t DROP COLUMN t").await.unwrap();
    });
    let copied = copy.run().await;
    copied.outcome.as_ref().unwrap();
    assert_eq!(copied.of("t").len(), 50_000);
    assert!(copied.changes().all(|change| change.after.as_ref().is_some_and(|row| row.len() == 2)));
    alter.join_next().await.unwrap().unwrap();
}
