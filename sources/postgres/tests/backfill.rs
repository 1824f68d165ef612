//! The copy that runs beside the stream: nothing is lost or stale whatever happens meanwhile, and
//! nothing is read twice without need.

use crate::{
    harness::{Pipeline, config, database, eventually, servers},
    model::Model,
};
use cdc_core::{Operation, Value};
use cdc_source_postgres::{Config, Resume, SnapshotMode};
use cdc_testkit::services::Postgres;
use std::time::Duration;
use tokio::task::JoinSet;

/// Rows of the large table: several chunks.
const ROWS: i64 = 120_000;

pub(crate) const LARGE: &str = "CREATE TABLE big (id int8 PRIMARY KEY, note text, big text);
    ALTER TABLE big ALTER COLUMN big SET STORAGE EXTERNAL;
    INSERT INTO big SELECT n, repeat('x', 150), NULL FROM generate_series(1, 120000) AS n;
    UPDATE big SET big = repeat(md5(id::text), 100) WHERE id % 1000 = 0;
    CREATE TABLE small (id int8 PRIMARY KEY, note text); INSERT INTO small VALUES (1, 'a');
    CREATE TABLE empty (id int8 PRIMARY KEY, note text);
    CREATE TABLE gone (id int8 PRIMARY KEY, note text); INSERT INTO gone VALUES (1, 'a'); DELETE FROM gone;
    CREATE TABLE keyless (id int8, note text); INSERT INTO keyless VALUES (1, 'a'), (1, 'a')";

pub(crate) fn copying(server: &Postgres, name: &str) -> Config {
    Config { snapshot_mode: SnapshotMode::Initial, ..config(server, name) }
}

/// Changes rows all over the large table for as long as it is not dropped.
fn load(server: &'static Postgres, name: &str, sessions: i64) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for session in 0..sessions {
        let name = name.to_owned();
        tasks.spawn(async move {
            let client = server.connect(&name).await.unwrap();
            for round in 0_i64.. {
                let row = (round * 7919 + session * 104_729) % ROWS + 1;
                let large = row / 1000 * 1000;
                let statement = match (round + session) % 6 {
                    0 => format!("UPDATE big SET note = 'n{round}' WHERE id = {row}"),
                    1 => format!("DELETE FROM big WHERE id = {row}"),
                    2 => format!("INSERT INTO big VALUES ({row}, 'new {round}', repeat('y', 5000)) ON CONFLICT DO NOTHING"),
                    // The large value is not logged again.
                    3 => format!("UPDATE big SET note = 'large {round}' WHERE id = {large}"),
                    4 => format!("UPDATE big SET id = id + {ROWS}, note = 'moved' WHERE id = {large} AND NOT EXISTS (SELECT FROM big WHERE id = {large} + {ROWS})"),
                    _ => format!("BEGIN; UPDATE big SET id = id - {ROWS} WHERE id = {large} + {ROWS} AND NOT EXISTS (SELECT FROM big WHERE id = {large}); INSERT INTO small VALUES ({session} * 10000000 + {round}, 'x'); COMMIT"),
                };
                // On a busy machine the server would write more than anybody reads.
                tokio::time::sleep(Duration::from_millis(1)).await;
                // Two sessions may meet at the same key.
                if client.batch_execute(&statement).await.is_err() {
                    client.batch_execute("ROLLBACK").await.unwrap();
                }
            }
        });
    }
    tasks
}

pub(crate) async fn check(pipeline: &Pipeline, server: &Postgres, name: &str, tables: &[&str]) {
    let client = server.connect(name).await.unwrap();
    let mut model = Model::default();
    model.apply(&pipeline.changes);
    for table in tables {
        model.assert_equals(&client, table).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_under_load_ends_equal_to_its_source() {
    for server in servers() {
        let (name, _client) = database(server, LARGE).await;
        for readers in [1, 3] {
            let slot = format!("slot_{name}_{readers}");
            let config =
                Config { snapshot_readers: readers, slot_name: slot, ..copying(server, &name) };
            let mut pipeline = Pipeline::provisioned(config).await;
            let mut load = load(server, &name, 3);
            let mut running = pipeline.start().await;
            running.until_current().await;
            load.shutdown().await;
            running.until_current().await;
            running.stop().await.unwrap();
            let tables = ["big", "small", "empty", "gone"];
            check(&pipeline, server, &name, &tables).await;
            for table in tables.iter().chain(&["keyless"]) {
                let seen = pipeline.changes.iter().any(|change| change.schema.table.name == *table);
                assert!(seen, "{table} is told of");
            }
            let keyless = pipeline.changes.iter().filter(|c| c.schema.table.name == "keyless");
            assert_eq!(keyless.count(), 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_goes_on_where_it_was() {
    let server = servers()[0];
    let (name, client) = database(server, LARGE).await;
    let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
    let mut load = load(server, &name, 2);
    for kill in 0..25 {
        let mut running = pipeline.start().await;
        let count = running.pipeline.changes.len();
        running.until_changes(count + 1 + kill * 97 % 3000).await;
        drop(running);
    }
    let mut running = pipeline.start().await;
    running.until_current().await;
    load.shutdown().await;
    running.until_current().await;
    running.stop().await.unwrap();
    check(&pipeline, server, &name, &["big", "small", "empty", "gone"]).await;
    let resume = Resume::from_bytes(pipeline.resume.as_ref().unwrap()).unwrap();
    assert_eq!(resume.backfill, None);
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_chunks_are_not_read_again() {
    let server = servers()[0];
    let (name, client) = database(server, LARGE).await;
    client.batch_execute("VACUUM (ANALYZE) big").await.unwrap();
    let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
    let kills = 20;
    for _ in 0..kills {
        let mut running = pipeline.start().await;
        let count = running.pipeline.changes.len();
        running.until_changes(count + 4000).await;
        drop(running);
        if Resume::from_bytes(pipeline.resume.as_ref().unwrap()).unwrap().backfill.is_none() {
            break;
        }
    }
    let mut running = pipeline.start().await;
    running.until_current().await;
    running.stop().await.unwrap();
    check(&pipeline, server, &name, &["big"]).await;
    let copied = pipeline.changes.iter().filter(|change| change.operation == Operation::Snapshot);
    let copied = i64::try_from(copied.count()).unwrap();
    // What a kill costs is at most the chunk that was going out.
    let chunk = 25_000;
    assert!(copied <= ROWS + 10 + kills * chunk, "{copied} rows for {ROWS}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_change_their_shape_and_place_while_they_are_copied() {
    for server in servers() {
        let (name, client) = database(server, LARGE).await;
        client
            .batch_execute(
                "CREATE TABLE z_dropped (id int8 PRIMARY KEY, note text);
                 INSERT INTO z_dropped SELECT n, 'd' FROM generate_series(1, 1000) AS n;
                 CREATE TABLE z_renamed (id int8 PRIMARY KEY, note text);
                 INSERT INTO z_renamed SELECT n, 'r' FROM generate_series(1, 1000) AS n;
                 CREATE TABLE z_emptied (id int8 PRIMARY KEY, note text);
                 INSERT INTO z_emptied SELECT n, 'e' FROM generate_series(1, 1000) AS n",
            )
            .await
            .unwrap();
        let config = Config { snapshot_readers: 1, ..copying(server, &name) };
        let mut pipeline = Pipeline::provisioned(config).await;
        let mut load = load(server, &name, 2);
        let mut running = pipeline.start().await;
        running.until_changes(10_000).await;
        client
            .batch_execute(
                "ALTER TABLE big ADD COLUMN more text; UPDATE big SET more = 'm' WHERE id % 100 = 0;
                 DROP TABLE z_dropped; ALTER TABLE z_renamed RENAME TO z_new_name;
                 TRUNCATE z_emptied; INSERT INTO z_emptied VALUES (5, 'after')",
            )
            .await
            .unwrap();
        running.until_changes(40_000).await;
        client.batch_execute("VACUUM FULL big").await.unwrap();
        running.until_current().await;
        load.shutdown().await;
        running.until_current().await;
        running.stop().await.unwrap();
        let tables = ["big", "small", "z_new_name", "z_emptied"];
        let client = server.connect(&name).await.unwrap();
        let mut model = Model::default();
        // Rows that were copied before a column came have it by a later change or as NULL.
        let last = pipeline.changes.iter().rev().find(|change| change.schema.table.name == "big");
        let width = last.unwrap().schema.columns.len();
        for change in &mut pipeline.changes {
            if change.schema.table.name == "big" && change.schema.columns.len() < width {
                let widen = |row: &mut Option<cdc_core::Row>| {
                    if let Some(row) = row {
                        let mut values = row.to_vec();
                        values.push(Value::Null);
                        *row = values.into_boxed_slice();
                    }
                };
                widen(&mut change.before);
                widen(&mut change.after);
            }
        }
        model.apply(&pipeline.changes);
        for table in tables {
            model.assert_equals(&client, table).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_whose_sessions_are_ended_begin_anew() {
    let server = servers()[0];
    let (name, client) = database(server, LARGE).await;
    let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
    let mut running = pipeline.start_with(2, 1 << 20).await;
    running.until_changes(1000).await;
    let mut ending = JoinSet::new();
    ending.spawn(async move {
        // Where the watermark is written, too.
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND backend_type = 'client backend'
                   AND query ~ 'LOCK TABLE|COPY|cdc.watermark' AND pid <> pg_backend_pid()";
        for _ in 0..60 {
            client.batch_execute(end).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    running.until_current().await;
    ending.shutdown().await;
    running.stop().await.unwrap();
    check(&pipeline, server, &name, &["big", "small", "empty", "gone"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_many_megabytes_are_read_a_few_at_a_time() {
    let server = servers()[0];
    let (name, _client) = database(
        server,
        "CREATE TABLE wide (id int8 PRIMARY KEY, big text);
         ALTER TABLE wide ALTER COLUMN big SET STORAGE EXTERNAL;
         INSERT INTO wide SELECT n, repeat(md5(n::text), 100000) FROM generate_series(1, 60) AS n",
    )
    .await;
    let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
    let mut running = pipeline.start().await;
    running.until_current().await;
    running.stop().await.unwrap();
    check(&pipeline, server, &name, &["wide"]).await;
    let commits: std::collections::BTreeSet<u128> =
        pipeline.changes.iter().map(|change| change.position.commit).collect();
    assert!(commits.len() >= 10, "{} chunks", commits.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_read_holds_up_no_other() {
    let server = servers()[0];
    let (name, client) = database(server, LARGE).await;
    // A table without a key is read at one point, which waits for open transactions.
    client
        .batch_execute(
            "CREATE TABLE a_locked (id int8 PRIMARY KEY, note text);
             INSERT INTO a_locked VALUES (1, 'a'); DROP TABLE keyless",
        )
        .await
        .unwrap();
    let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
    client.batch_execute("BEGIN; LOCK TABLE a_locked IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut running = pipeline.start().await;
    running.until_changes(usize::try_from(ROWS).unwrap()).await;
    let trouble = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            if let Some(trouble) = running.status.borrow().details.get("not_copied") {
                return trouble.clone();
            }
            tokio::select! { biased;
                _ = running.batches.recv() => {}
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    });
    let trouble = trouble.await.expect("the trouble is told");
    assert!(trouble.contains("public.a_locked") && trouble.contains("CDC-1069"), "{trouble}");
    client.batch_execute("COMMIT").await.unwrap();
    drop(running);
    let mut running = pipeline.start().await;
    running.until_current().await;
    running.stop().await.unwrap();
    check(&pipeline, server, &name, &["a_locked"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_copied_under_the_name_of_their_root() {
    for server in servers() {
        let (name, client) = database(
            server,
            "CREATE TABLE parts (id int8 PRIMARY KEY, note text) PARTITION BY RANGE (id);
             CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (0) TO (1000);
             CREATE TABLE parts_b (note text, id int8 NOT NULL);
             ALTER TABLE parts ATTACH PARTITION parts_b FOR VALUES FROM (1000) TO (100000) ;
             CREATE TABLE parts_c PARTITION OF parts DEFAULT;
             INSERT INTO parts SELECT n * 7, 'p' FROM generate_series(1, 30000) AS n",
        )
        .await;
        let mut pipeline = Pipeline::provisioned(copying(server, &name)).await;
        let mut running = pipeline.start().await;
        running.until_current().await;
        client.batch_execute("UPDATE parts SET id = id + 500000 WHERE id < 100").await.unwrap();
        running.until_current().await;
        running.stop().await.unwrap();
        check(&pipeline, server, &name, &["parts"]).await;
        eventually(&client, "SELECT true").await;
    }
}
