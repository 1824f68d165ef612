//! Snapshots that an operator orders while the stream runs.

use crate::{
    backfill::{check, copying},
    harness::{PATIENCE, Pipeline, Running, config, database, servers},
    stream::ODD,
};
use cdc_core::{
    Change, Operation, Position, TableId, Value, catalog::SourceConnector, snapshot::SnapshotOrder,
};
use cdc_source_postgres::{Config, Resume, SnapshotMode};
use cdc_testkit::services::Postgres;
use std::time::Duration;
use tokio::task::JoinSet;

const TABLES: &str = "CREATE TABLE t (id int8 PRIMARY KEY, note text, big text);
    ALTER TABLE t ALTER COLUMN big SET STORAGE EXTERNAL;
    INSERT INTO t SELECT n, 'n' || n, repeat('x', 300) FROM generate_series(1, 30000) AS n;
    CREATE TABLE other (id int8 PRIMARY KEY, note text); INSERT INTO other VALUES (1, 'a');
    CREATE TABLE keyless (id int8, note text)";

fn begin(table: &str, condition: Option<&str>) -> SnapshotOrder {
    let tables = vec![table.to_owned()];
    SnapshotOrder::Begin { tables, condition: condition.map(str::to_owned) }
}

/// Gives an order, as a command beside the running pipeline does.
async fn order(pipeline: &Pipeline, order: &SnapshotOrder) -> cdc_core::Result<Vec<TableId>> {
    let resume = pipeline.resume.clone().unwrap();
    let taken = pipeline.connector.order_snapshot(order, &resume).await?;
    Ok(taken.expect("orders are taken"))
}

/// Takes batches in until the snapshot that was ordered is complete.
async fn until_copied(running: &mut Running<'_>) {
    running.until_current().await;
    running.until_current().await;
}

fn snapshot_rows(changes: &[Change], table: &str) -> usize {
    let of_table = |change: &&Change| {
        change.operation == Operation::Snapshot && change.schema.table.name == table
    };
    changes.iter().filter(of_table).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_taken_again_beside_the_stream() {
    for server in servers() {
        let (name, client) = database(server, TABLES).await;
        let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
        let mut running = pipeline.start().await;
        running.until_current().await;
        let first = running.pipeline.changes.len();
        assert_eq!(snapshot_rows(&running.pipeline.changes, "t"), 30_000);
        let tables = order(running.pipeline, &begin("public.t", None)).await.unwrap();
        assert_eq!(tables, [TableId::new("public", "t")]);
        client
            .batch_execute(
                "UPDATE t SET note = 'while' WHERE id % 7 = 0; DELETE FROM t WHERE id % 11 = 0;
                 INSERT INTO other VALUES (2, 'b')",
            )
            .await
            .unwrap();
        until_copied(&mut running).await;
        running.stop().await.unwrap();
        let again = &pipeline.changes[first..];
        let rows = snapshot_rows(again, "t");
        assert!((20_000..=30_000).contains(&rows), "{rows} rows were read again");
        assert_eq!(snapshot_rows(again, "other"), 0);
        assert!(again.iter().all(|change| change.operation != Operation::Truncate));
        // Nothing that happened meanwhile is swallowed, although the large value is not logged again.
        let updates = again.iter().filter(|change| change.operation == Operation::Update).count();
        assert_eq!(updates, 30_000 / 7);
        check(&pipeline, server, &name, &["t", "other"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_limits_what_is_read() {
    let server = servers()[0];
    let (name, _client) = database(server, TABLES).await;
    let never = Config { snapshot_mode: SnapshotMode::Never, ..config(server, &name) };
    let mut pipeline = Pipeline::provisioned(never).await;
    let mut running = pipeline.start().await;
    running.until_current().await;
    assert!(running.pipeline.changes.is_empty());
    let some = begin("public.t", Some("id BETWEEN 101 AND 200 OR note = 'n7' -- some"));
    order(running.pipeline, &some).await.unwrap();
    until_copied(&mut running).await;
    // No row at all is no reason to empty anything.
    order(running.pipeline, &begin("*.t", Some("id < 0"))).await.unwrap();
    until_copied(&mut running).await;
    running.stop().await.unwrap();
    assert_eq!(snapshot_rows(&pipeline.changes, "t"), 101);
    assert_eq!(pipeline.changes.len(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_outlives_kills_and_is_carried_out_once() {
    let server = servers()[0];
    let (name, client) = database(server, TABLES).await;
    let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
    let mut running = pipeline.start().await;
    running.until_current().await;
    drop(running);
    let first = pipeline.changes.len();
    // Nothing runs.
    order(&pipeline, &begin("public.t", None)).await.unwrap();
    for kill in 0..5 {
        let mut running = pipeline.start_with(1, 256 << 10).await;
        let count = running.pipeline.changes.len();
        client.batch_execute("UPDATE t SET note = note || '!' WHERE id % 100 = 0").await.unwrap();
        running.until_changes(count + 1 + kill * 1500).await;
        drop(running);
    }
    let mut running = pipeline.start().await;
    until_copied(&mut running).await;
    running.stop().await.unwrap();
    let rows = snapshot_rows(&pipeline.changes[first..], "t");
    assert!((29_000..60_000).contains(&rows), "{rows} rows were read again");
    check(&pipeline, server, &name, &["t"]).await;
    // It is over.
    let rows = snapshot_rows(&pipeline.changes, "t");
    let mut running = pipeline.start().await;
    running.until_current().await;
    running.stop().await.unwrap();
    assert_eq!(snapshot_rows(&pipeline.changes, "t"), rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_rests_and_goes_on_and_is_given_up() {
    let server = servers()[0];
    let (name, client) = database(server, TABLES).await;
    let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
    let mut running = pipeline.start().await;
    running.until_current().await;
    let first = running.pipeline.changes.len();
    // Before there is anything to rest.
    for one in [SnapshotOrder::Pause, begin("public.t", None)] {
        order(running.pipeline, &one).await.unwrap();
    }
    client.batch_execute("INSERT INTO other VALUES (3, 'c')").await.unwrap();
    running.until_changes(first + 1).await;
    let mut status = running.status.clone();
    let paused = status.wait_for(|status| status.details.contains_key("snapshot"));
    tokio::time::timeout(PATIENCE, paused).await.expect("the pause is shown").unwrap();
    // It rests across a restart, while changes flow.
    drop(running);
    let mut running = pipeline.start().await;
    client.batch_execute("INSERT INTO other VALUES (4, 'd')").await.unwrap();
    running.until_changes(first + 2).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(snapshot_rows(&running.pipeline.changes[first..], "t"), 0);
    order(running.pipeline, &SnapshotOrder::Resume).await.unwrap();
    until_copied(&mut running).await;
    assert_eq!(snapshot_rows(&running.pipeline.changes[first..], "t"), 30_000);
    // Given up, nothing more of it is read.
    order(running.pipeline, &SnapshotOrder::Pause).await.unwrap();
    order(running.pipeline, &begin("public.t", None)).await.unwrap();
    order(running.pipeline, &SnapshotOrder::Cancel).await.unwrap();
    order(running.pipeline, &SnapshotOrder::Resume).await.unwrap();
    until_copied(&mut running).await;
    running.stop().await.unwrap();
    assert_eq!(snapshot_rows(&pipeline.changes[first..], "t"), 30_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_outlives_a_change_to_text_form() {
    let server = servers()[0];
    let (name, client) = database(server, TABLES).await;
    let never = Config { snapshot_mode: SnapshotMode::Never, ..config(server, &name) };
    let mut pipeline = Pipeline::provisioned(never).await;
    let mut running = pipeline.start().await;
    running.until_current().await;
    order(running.pipeline, &SnapshotOrder::Pause).await.unwrap();
    running.until_current().await;
    let odd = format!("{ODD}; ALTER TABLE t ADD o odd; INSERT INTO t (id) VALUES (-1)");
    client.batch_execute(&odd).await.unwrap();
    running.until_changes(1).await;
    assert_eq!(running.status.borrow().details["values"], "text");
    running.stop().await.unwrap();
    assert!(Resume::from_bytes(pipeline.resume.as_ref().unwrap()).unwrap().paused);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_out_is_refused_with_a_remedy() {
    let server = servers()[0];
    let (name, client) = database(server, TABLES).await;
    let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
    let mut running = pipeline.start().await;
    running.until_current().await;
    let refused = [
        (begin("public.nothing", None), "CDC-1074"),
        (begin("nothing", None), "CDC-1074"),
        (begin("public.keyless", None), "CDC-1075"),
        (begin("public.t", Some("no_such_column > 1")), "CDC-1076"),
        (begin("public.t", Some("true); DROP TABLE other; SELECT (1")), "CDC-1076"),
        (begin("public.t", Some("true) --")), "CDC-1076"),
    ];
    for (wrong, code) in refused {
        let error = order(running.pipeline, &wrong).await.unwrap_err();
        assert_eq!(error.code, code, "{}", error.chain());
        assert!(error.remedy.is_some());
    }
    // Anybody can write a message; only those who know the pipeline's state can give an order.
    let forged = r#"{"slot":"x","nonce":1,"order":{"begin":{"tables":[{"namespace":"public","name":"t"}],"condition":null}}}"#;
    let message = format!(
        "SELECT pg_logical_emit_message(true, 'cdc.snapshot', '{} {forged}')",
        "0".repeat(64)
    );
    client.batch_execute(&message).await.unwrap();
    until_copied(&mut running).await;
    assert!(running.pipeline.changes.is_empty());
    running.stop().await.unwrap();
    let no_state = pipeline.connector.order_snapshot(&SnapshotOrder::Pause, b"").await.unwrap_err();
    assert_eq!(no_state.code, "CDC-1025");
    let position = pipeline.complete;
    assert!(position > Position::default());
}

fn rows(keys: impl IntoIterator<Item = i64>) -> SnapshotOrder {
    let keys = keys.into_iter().map(|key| vec![key.to_string()]).collect();
    SnapshotOrder::Rows { table: TableId::new("public", "t"), keys }
}

/// How often a row was told to be gone.
fn deletes(changes: &[Change], id: i64) -> usize {
    let is_it = |change: &&Change| {
        let key = change.before.as_ref().map(|row| &row[0]);
        change.operation == Operation::Delete && key == Some(&Value::Int(id))
    };
    changes.iter().filter(is_it).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn single_rows_arrive_as_they_are_and_those_that_are_gone_as_deletes() {
    for server in servers() {
        let (name, client) = database(server, TABLES).await;
        let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
        let mut running = pipeline.start().await;
        running.until_current().await;
        let first = running.pipeline.changes.len();
        let mut load = JoinSet::new();
        load.spawn({
            let name = name.clone();
            async move { come_and_go(server, &name).await }
        });
        for _ in 0..10 {
            let some = (1..400).chain(40_001..40_400).chain([i64::MAX]);
            order(running.pipeline, &rows(some)).await.unwrap();
            running.until_current().await;
        }
        let strange = vec![vec!["no number".to_owned()], vec!["1".to_owned(), "2".to_owned()]];
        let table = TableId::new("public", "t");
        let strange = SnapshotOrder::Rows { table, keys: strange };
        order(running.pipeline, &strange).await.unwrap();
        load.join_next().await.unwrap().unwrap();
        until_copied(&mut running).await;
        drop(running);
        // Given while nothing runs, and cut short.
        order(&pipeline, &rows([7, 50_000])).await.unwrap();
        client.batch_execute("DELETE FROM t WHERE id = 7").await.unwrap();
        let mut running = pipeline.start().await;
        until_copied(&mut running).await;
        running.stop().await.unwrap();
        let again = &pipeline.changes[first..];
        assert!(again.iter().all(|change| change.operation != Operation::Truncate));
        // One for each order that had been carried out by then; never for a row that was there all along.
        assert!((1..=10).contains(&deletes(again, i64::MAX)), "{}", deletes(again, i64::MAX));
        assert_eq!([deletes(again, 50_000), deletes(again, 7), deletes(again, 399)], [1, 1, 0]);
        assert!(snapshot_rows(again, "t") >= 300);
        check(&pipeline, server, &name, &["t", "other"]).await;
    }
}

/// Rows come and go under keys that are ordered.
async fn come_and_go(server: &Postgres, name: &str) {
    let client = server.connect(name).await.unwrap();
    for round in 0..200 {
        let (there, new) = (1 + round % 390, 40_001 + round % 390);
        let sql = format!(
            "UPDATE t SET note = 'u{round}' WHERE id = {there};
             DELETE FROM t WHERE id = {there} AND id % 3 = 0 AND id < 300;
             INSERT INTO t VALUES ({new}, 'new', repeat('y', 3000)) ON CONFLICT DO NOTHING;
             DELETE FROM t WHERE id = {new} - 5"
        );
        client.batch_execute(&sql).await.unwrap();
    }
}
