//! Tables change their shape while writers commit, and the replica stays equal to the source.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use cdc_testkit::services::{Postgres, skip};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::compare;
use crate::scene::{Scene, any_server};

/// Sessions that write at the same time.
const WRITERS: u64 = 3;
/// How long the writers go on between two changes of the schema.
const BETWEEN: Duration = Duration::from_millis(60);

/// How long each writer rests between two rounds, so that a slow machine keeps up.
const PAUSE: Duration = Duration::from_millis(10);

/// Sessions that insert, update and delete in tables with columns `id` and `n` until they are stopped.
struct Writers {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicI64>,
    sessions: JoinSet<()>,
}

impl Writers {
    async fn start(server: &Postgres, scene: &Scene, tables: &[&str]) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI64::new(1_000)));
        let mut sessions = JoinSet::new();
        for writer in 0..WRITERS {
            let client = server.connect(&scene.source_database).await.unwrap();
            let tables: Vec<String> = tables.iter().map(|table| (*table).to_owned()).collect();
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            sessions.spawn(async move {
                client.batch_execute("SET lock_timeout = '2s'").await.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    for table in &tables {
                        let id = written.fetch_add(1, Ordering::Relaxed);
                        write(&client, table, id, writer).await;
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self { stop, written, sessions }
    }

    async fn stop(self) {
        crate::process::eventually("the writers wrote", async || {
            self.written.load(Ordering::Relaxed) > 1_020
        })
        .await;
        self.stop.store(true, Ordering::Relaxed);
        self.sessions.join_all().await;
    }
}

/// Statements that a change of the schema may well refuse: a table is gone, a column or its key.
async fn write(client: &Client, table: &str, id: i64, writer: u64) {
    let sql = match id % 4 {
        0 => format!("UPDATE {table} SET n = n + 1 WHERE id % 7 = {writer}"),
        1 => format!("DELETE FROM {table} WHERE id = {}", id - 40),
        2 => format!(
            "BEGIN; INSERT INTO {table} (id, n) VALUES ({id}, 1);
             UPDATE {table} SET n = {writer} WHERE id = {id}; COMMIT"
        ),
        _ => format!("INSERT INTO {table} (id, n) VALUES ({id}, {id})"),
    };
    if client.batch_execute(&sql).await.is_err() {
        drop(client.batch_execute("ROLLBACK").await);
    }
}

/// A step that begins so is made when the pipeline has caught up: what a pipeline that lags behind finds
/// in the catalog does not tell names that were exchanged since.
const SETTLED: &str = "-- settled\n";

/// Waits until everything that is committed by now has been taken in.
async fn settle(scene: &Scene) {
    let row = scene.source.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap();
    let now: String = row.get(0);
    let sql = format!(
        "SELECT confirmed_flush_lsn >= '{now}' FROM pg_replication_slots WHERE slot_name = $1"
    );
    crate::process::eventually("the pipeline has caught up", async || {
        let row = scene.source.query_one(&sql, &[&scene.slot()]).await.unwrap();
        row.get::<_, Option<bool>>(0) == Some(true)
    })
    .await;
}

/// Runs the steps one by one under load; then the tables are the same on both sides.
async fn follows(server: &Postgres, setup: &str, written: &[&str], steps: &[&str], same: &[&str]) {
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(setup).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    let writers = Writers::start(server, &scene, written).await;
    for step in steps {
        tokio::time::sleep(BETWEEN).await;
        if let Some(step) = step.strip_prefix(SETTLED) {
            settle(&scene).await;
            scene.source.batch_execute(step).await.unwrap();
            settle(&scene).await;
            continue;
        }
        let done = scene.source.batch_execute(step).await;
        done.unwrap_or_else(|error| panic!("{step}: {error:?}"));
    }
    tokio::time::sleep(BETWEEN).await;
    writers.stop().await;
    // Subscribers hear of a change of the schema with the next row.
    for table in same {
        let touch = format!("UPDATE {table} SET n = n WHERE id = 1");
        let touched = scene.source.execute(&touch, &[]).await;
        assert_eq!(touched.unwrap_or_else(|error| panic!("{touch}: {error:?}")), 1, "{table}");
    }
    compare::eventually_equal(&scene.source, &scene.target, same).await;
    let letters = scene.cdc(&["dead-letters list", "--json"]).await.json();
    assert_eq!(letters["dead_letters"].as_array().map(Vec::len), Some(0), "{letters}");
    running.stop().await.exits_with(0);
}

const T: &str = "CREATE TABLE t (id bigint PRIMARY KEY, n bigint);
                 CREATE TABLE steady (id bigint PRIMARY KEY, n bigint);
                 INSERT INTO t SELECT i, i FROM generate_series(1, 50) AS i;
                 INSERT INTO steady VALUES (1, 1);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_come_and_go_under_load_with_the_values_of_existing_rows() {
    let Some(server) = any_server() else { return };
    let setup = format!("CREATE TYPE mood AS ENUM ('sad', 'happy'); {T}");
    let steps = [
        "ALTER TABLE t ADD a int DEFAULT 7",
        "ALTER TABLE t ADD b text NOT NULL DEFAULT 'it''s, \"b\"'",
        "ALTER TABLE t ADD c int[] DEFAULT '{1,NULL}', ADD d timestamptz DEFAULT '0044-03-15 BC'",
        "ALTER TABLE t ADD j jsonb DEFAULT '{\"k\": [1.10]}', ADD m mood DEFAULT 'sad'",
        "ALTER TABLE t ADD x numeric(9,3) DEFAULT 1.5, ADD y varchar(3) DEFAULT 'abc', ADD z bytea DEFAULT '\\x00ff'",
        "ALTER TABLE t RENAME a TO \"Añ \"\"b\"",
        "-- settled\nALTER TABLE t ALTER n TYPE numeric",
        "ALTER TABLE t DROP c",
        "ALTER TABLE t ADD c int[] DEFAULT '{2}'",
        "ALTER TABLE t DROP y, ADD yy varchar(3) DEFAULT 'def'",
        "ALTER TABLE t ADD p text DEFAULT 'p', ADD q text DEFAULT 'q'",
        "-- settled\nBEGIN; ALTER TABLE t RENAME p TO tmp; ALTER TABLE t RENAME q TO p; ALTER TABLE t RENAME tmp TO q; COMMIT",
        "ALTER TABLE t ALTER p SET NOT NULL, ALTER q DROP DEFAULT, ALTER p SET DEFAULT 'other'",
        "ALTER TYPE mood ADD VALUE 'so so' BEFORE 'happy'; UPDATE t SET m = 'happy' WHERE id < 5",
        "UPDATE t SET m = 'so so' WHERE id < 20",
        "BEGIN; UPDATE t SET n = -1 WHERE id < 4; ALTER TABLE t ADD late int DEFAULT 3;
         UPDATE t SET n = -2 WHERE id < 3; ALTER TABLE t DROP j; ALTER TABLE t ADD later int DEFAULT 4;
         UPDATE t SET n = -3 WHERE id < 2; COMMIT",
        "ALTER TABLE t ALTER p DROP NOT NULL",
    ];
    follows(server, &setup, &["t", "steady"], &steps, &["public.t", "public.steady"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_renamed_replaced_and_truncated_under_load() {
    let Some(server) = any_server() else { return };
    let setup = format!(
        "CREATE PUBLICATION cdc_shop FOR ALL TABLES WITH (publish_via_partition_root = true);
         {T} CREATE TABLE old (id bigint PRIMARY KEY, n bigint); INSERT INTO old VALUES (1, 1), (2, 2);
         CREATE TABLE \"Ünï \"\"x\"\"\" (id bigint PRIMARY KEY, n bigint);
         INSERT INTO \"Ünï \"\"x\"\"\" VALUES (1, 1), (2, 2); CREATE SCHEMA \"s.2\";"
    );
    let steps = [
        "ALTER TABLE old RENAME TO renamed",
        "UPDATE renamed SET n = 5",
        "ALTER TABLE renamed SET SCHEMA \"s.2\"",
        "INSERT INTO \"s.2\".renamed VALUES (3, 3)",
        "ALTER TABLE \"Ünï \"\"x\"\"\" RENAME TO \"Größe\"; ALTER TABLE \"Größe\" ADD \"naïve col\" text DEFAULT 'ü'",
        "DROP TABLE t; CREATE TABLE t (label text DEFAULT 'l', n int, id bigint PRIMARY KEY);
         INSERT INTO t (id, n) SELECT i, i FROM generate_series(1, 9) AS i",
        "CREATE TABLE t_new (id bigint PRIMARY KEY, n bigint, extra text);
         INSERT INTO t_new VALUES (1, 100, 'x'), (2, 200, 'y')",
        "BEGIN; ALTER TABLE t RENAME TO t_old; ALTER TABLE t_new RENAME TO t; COMMIT",
        "TRUNCATE steady; INSERT INTO steady VALUES (1, 1)",
    ];
    let same = ["public.t", "public.t_old", "public.steady", "\"s.2\".renamed", "public.\"Größe\""];
    let written = ["t", "steady", "\"Größe\"", "\"Ünï \"\"x\"\"\""];
    follows(server, &setup, &written, &steps, &same).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_replica_identities_change_under_load() {
    let Some(server) = any_server() else { return };
    let setup = format!("{T} ALTER TABLE t ADD u uuid NOT NULL DEFAULT gen_random_uuid();");
    let steps = [
        "ALTER TABLE t REPLICA IDENTITY FULL",
        "CREATE UNIQUE INDEX by_u ON t (u); ALTER TABLE t REPLICA IDENTITY USING INDEX by_u",
        "ALTER TABLE t REPLICA IDENTITY NOTHING",
        "ALTER TABLE t REPLICA IDENTITY DEFAULT",
        "ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (u, id)",
        "ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t REPLICA IDENTITY FULL",
        "ALTER TABLE t RENAME u TO \"the key\"",
        "ALTER TABLE t ADD PRIMARY KEY (id); ALTER TABLE t REPLICA IDENTITY DEFAULT",
        "ALTER TABLE t RENAME id TO other; ALTER TABLE t ADD id bigint; UPDATE t SET id = other",
    ];
    follows(server, &setup, &["t", "steady"], &steps, &["public.t", "public.steady"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_attached_and_detached_under_load() {
    let Some(server) = any_server() else { return };
    let setup = format!(
        "{T} CREATE TABLE p (id bigint PRIMARY KEY, n bigint) PARTITION BY RANGE (id);
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000);
         CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (1000) TO (1100);
         CREATE TABLE p_rest PARTITION OF p DEFAULT;
         INSERT INTO p SELECT i, i FROM generate_series(1, 2000, 50) AS i;"
    );
    let steps = [
        "CREATE TABLE p0 (junk int, n bigint, id bigint NOT NULL); ALTER TABLE p0 DROP junk;
         ALTER TABLE p ATTACH PARTITION p0 FOR VALUES FROM (-1000) TO (0)",
        "INSERT INTO p SELECT i, i FROM generate_series(-900, -10, 10) AS i",
        "UPDATE p SET id = id + 900 WHERE id < 0 AND NOT EXISTS (SELECT FROM p AS o WHERE o.id = p.id + 900)",
        "ALTER TABLE p ADD extra text DEFAULT 'e'",
        "UPDATE p SET extra = 'f' WHERE id % 3 = 0",
    ];
    follows(server, &setup, &["p", "steady"], &steps, &["public.p", "public.steady"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_detached_partition_stay_in_the_replica() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    let setup = "CREATE TABLE p (id bigint PRIMARY KEY, n bigint) PARTITION BY RANGE (id);
         CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
         CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
         INSERT INTO p SELECT i, i FROM generate_series(0, 19) AS i;";
    scene.source.batch_execute(setup).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    let detach = "ALTER TABLE p DETACH PARTITION p1; UPDATE p1 SET n = -1; UPDATE p SET n = 70";
    scene.source.batch_execute(detach).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    let sql = "SELECT count(*), count(*) FILTER (WHERE n = 70), min(n) FROM p";
    let row = scene.target.query_one(sql, &[]).await.unwrap();
    let found: (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    assert_eq!(found, (20, 10, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_columns_are_left_out_or_published_under_load() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    let setup = format!("{T} ALTER TABLE t ADD g bigint GENERATED ALWAYS AS (n * 2) STORED");
    scene.source.batch_execute(&setup).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    let writers = Writers::start(server, &scene, &["t", "steady"]).await;
    for step in [
        "ALTER TABLE t ADD after text DEFAULT 'x'",
        "ALTER TABLE t ADD h text GENERATED ALWAYS AS (after || '!') STORED",
        "ALTER TABLE t ALTER g DROP EXPRESSION",
        "ALTER TABLE t DROP h",
    ] {
        tokio::time::sleep(BETWEEN).await;
        scene.source.batch_execute(step).await.unwrap();
    }
    writers.stop().await;
    // What was generated before was never sent; from here on it is.
    scene.source.batch_execute("UPDATE t SET g = n").await.unwrap();
    compare::eventually_equal(&scene.source, &scene.target, &["public.t", "public.steady"]).await;
    running.stop().await.exits_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retype_that_no_cast_can_follow_parks_its_table_and_no_other() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene
        .source
        .batch_execute(&format!("{T} ALTER TABLE t ADD v text DEFAULT 'one'"))
        .await
        .unwrap();
    let mut running = scene.start();
    running.follows().await;
    let writers = Writers::start(server, &scene, &["steady"]).await;
    let retype = "ALTER TABLE t ALTER v DROP DEFAULT, ALTER v TYPE int USING length(v)";
    scene.source.batch_execute(retype).await.unwrap();
    scene.source.batch_execute("INSERT INTO t VALUES (777, 1, 5)").await.unwrap();
    crate::process::eventually("the table is parked", async || {
        let letters = scene.cdc(&["dead-letters list", "--json"]).await.json();
        let letters = letters["dead_letters"].as_array().unwrap().clone();
        letters.iter().any(|letter| letter["error_code"] == "CDC-3007")
    })
    .await;
    writers.stop().await;
    compare::eventually_equal(&scene.source, &scene.target, &["public.steady"]).await;
    running.stop().await.exits_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_generated_columns_of_18_arrive() {
    if let Some(reason) = Postgres::is_missing(18) {
        return skip("e2e-generated-18", &reason).unwrap();
    }
    let server = Postgres::shared(18).unwrap();
    let scene = Scene::on(server).await.with_replica(server);
    let setup = format!(
        "{T} ALTER TABLE t ADD g bigint GENERATED ALWAYS AS (n * 2) STORED,
                           ADD v bigint GENERATED ALWAYS AS (n * 3) VIRTUAL;
         CREATE PUBLICATION cdc_shop FOR ALL TABLES WITH (publish_generated_columns = stored)"
    );
    scene.source.batch_execute(&setup).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    let writers = Writers::start(server, &scene, &["t", "steady"]).await;
    tokio::time::sleep(BETWEEN).await;
    scene.source.batch_execute("ALTER TABLE t ADD w text DEFAULT 'w'").await.unwrap();
    tokio::time::sleep(BETWEEN).await;
    scene.source.batch_execute("ALTER TABLE t DROP v").await.unwrap();
    writers.stop().await;
    scene.source.batch_execute("UPDATE t SET n = n + 1 WHERE id = 1").await.unwrap();
    compare::eventually_equal(&scene.source, &scene.target, &["public.t", "public.steady"]).await;
    running.stop().await.exits_with(0);
}
