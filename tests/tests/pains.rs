//! What `docs/pains.md` promises and no other test shows.

use std::collections::BTreeSet;

use cdc_testkit::services::{Options, Postgres};
use serde_json::{Value, json};

use crate::compare;
use crate::process::eventually;
use crate::replay::{self, Replayed};
use crate::scene::{Scene, any_server};

/// Some rows that take a while to copy.
const BIG: &str = "CREATE TABLE big (id int PRIMARY KEY, v text);
                   INSERT INTO big SELECT n, repeat(md5(n::text), 10) FROM generate_series(1, 100000) AS n";

async fn truth(scene: &Scene, sql: &str) -> bool {
    let row = scene.source.query_one(sql, &[]).await.unwrap();
    row.get::<_, Option<bool>>(0) == Some(true)
}

fn text_of(scene: &Scene) -> String {
    std::fs::read_to_string(scene.file()).unwrap()
}

/// Where the source's log ends.
async fn here(scene: &Scene) -> String {
    let row = scene.source.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_lost_slot_is_made_up_for_and_the_deletes_meanwhile_are_not_missed() {
    let Some(target) = any_server() else { return };
    let major = Postgres::available()[0];
    let settings = vec![
        ("max_slot_wal_keep_size", "32MB"),
        ("max_wal_size", "64MB"),
        ("min_wal_size", "32MB"),
    ];
    let source = Postgres::start(Options { major, settings, ..Options::default() }).unwrap();
    let mut scene = Scene::between(&source, target).await.with_replica(target).with_file();
    scene.pipeline["source"]["snapshot_mode"] = json!("when_needed");
    let tables = "CREATE TABLE t (id int PRIMARY KEY, v text);
                  INSERT INTO t SELECT n, 'old' FROM generate_series(1, 1000) AS n;
                  CREATE TABLE emptied (id int PRIMARY KEY);
                  INSERT INTO emptied SELECT generate_series(1, 10);
                  CREATE TABLE keyless (v text); ALTER TABLE keyless REPLICA IDENTITY FULL;
                  INSERT INTO keyless VALUES ('a'), ('a'), ('b')";
    scene.source.batch_execute(tables).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    let missed = "DELETE FROM t WHERE id % 3 = 0; UPDATE t SET v = 'new' WHERE id % 3 = 1;
                  UPDATE t SET id = id + 5000 WHERE id < 10; DELETE FROM emptied;
                  DELETE FROM keyless WHERE v = 'b'; INSERT INTO keyless VALUES ('c')";
    scene.source.batch_execute(missed).await.unwrap();
    let lost = format!(
        "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = '{}'",
        scene.slot()
    );
    while !truth(&scene, &lost).await {
        for _ in 0..16 {
            let fill = "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 1048576))";
            scene.source.batch_execute(fill).await.unwrap();
        }
        scene.source.batch_execute("CHECKPOINT").await.unwrap();
    }
    let told = text_of(&scene).len();
    let running = scene.start();
    eventually("all rows were read again", async || running.log().contains("snapshot is complete"))
        .await;
    running.kill9();
    scene.run_until_current().await.exits_with(0);
    let tables = ["public.t", "public.emptied", "public.keyless"];
    assert_eq!(compare::difference(&scene.source, &scene.target, &tables).await, None);
    // Nobody had to empty the table: each row that is gone is a delete, for every sink.
    let again = text_of(&scene).split_off(told);
    let of_t = |op: &str| -> BTreeSet<String> {
        let lines = again.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut lines: Vec<Value> = lines.collect();
        lines.retain(|line| line["value"]["source"]["table"] == "t" && line["value"]["op"] == op);
        lines.iter().map(|line| line["key"].to_string()).collect()
    };
    let (gone, moved, left) = (333, 6, 667);
    assert_eq!([of_t("t").len(), of_t("d").len(), of_t("r").len()], [0, gone + moved, left]);
    scene.source.batch_execute("DELETE FROM t WHERE id < 100").await.unwrap();
    scene.run_until_current().await.exits_with(0);
    assert_eq!(compare::difference(&scene.source, &scene.target, &tables).await, None);
}

#[tokio::test]
async fn a_transaction_that_is_open_at_the_start_and_over_kills_arrives_whole_and_once() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server).with_file();
    let tables = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'before');
                  CREATE TABLE other (id int PRIMARY KEY)";
    scene.source.batch_execute(tables).await.unwrap();
    scene.cdc(&["deploy"]).await.exits_with(0);
    let open = server.connect(&scene.source_database).await.unwrap();
    open.batch_execute(
        "BEGIN; INSERT INTO t VALUES (2, 'open'); UPDATE t SET v = 'changed' WHERE id = 1",
    )
    .await
    .unwrap();
    for round in 0..3 {
        let mut running = scene.start();
        running.follows().await;
        scene.source.batch_execute(&format!("INSERT INTO other VALUES ({round})")).await.unwrap();
        compare::eventually_equal(&scene.source, &scene.target, &["public.t", "public.other"])
            .await;
        let message = "SELECT pg_logical_emit_message(true, 'app', 'inside')";
        open.batch_execute(&format!("{message}; INSERT INTO t VALUES ({round} + 10, 'open')"))
            .await
            .unwrap();
        running.kill9();
    }
    open.batch_execute("COMMIT").await.unwrap();
    scene.run_until_current().await.exits_with(0);
    assert_eq!(compare::difference(&scene.source, &scene.target, &["public.t"]).await, None);
    let text = text_of(&scene);
    let of_t: String = text
        .lines()
        .filter(|line| line.contains(r#""table":"t""#))
        .flat_map(|line| [line, "\n"])
        .collect();
    std::fs::write(scene.file(), of_t).unwrap();
    let replayed = Replayed::from_file(&scene.file()).unwrap();
    let rows = compare::rows(&scene.source, "public.t").await;
    assert_eq!(replay::difference("public.t", &rows, &replayed.rows("public.t")), None);
    // A copy whose end was not stored when the process was killed is made again.
    let copied = text_of(&scene).matches(r#""op":"r""#).count() as u64;
    assert_eq!(
        (replayed.changes - copied, replayed.repeated),
        (5, 0),
        "four inserts and an update"
    );
    assert_eq!(text.matches(r#""op":"m""#).count(), 3, "the messages of the transaction");
}

#[tokio::test]
async fn the_slot_moves_on_while_tables_are_copied() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(BIG).await.unwrap();
    let tables =
        "CREATE TABLE locked (id int PRIMARY KEY, v text); INSERT INTO locked VALUES (1, 'l');
                  CREATE TABLE busy (id int PRIMARY KEY, v text)";
    scene.source.batch_execute(tables).await.unwrap();
    scene.cdc(&["deploy"]).await.exits_with(0);
    // A copy that cannot end before this lock is gone.
    let lock = server.connect(&scene.source_database).await.unwrap();
    lock.batch_execute("BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut running = scene.start();
    let write = "INSERT INTO busy SELECT n, repeat('x', 1000) FROM generate_series(1, 5000) AS n";
    scene.source.batch_execute(write).await.unwrap();
    let written = here(&scene).await;
    compare::eventually_equal(&scene.source, &scene.target, &["public.big", "public.busy"]).await;
    let moved = format!(
        "SELECT confirmed_flush_lsn >= '{written}' FROM pg_replication_slots WHERE slot_name = '{}'",
        scene.slot()
    );
    eventually("the slot has moved past what was written", async || truth(&scene, &moved).await)
        .await;
    let status = running.answers("/api/v1/pipelines/shop", 200).await;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["source"]["state"], "snapshotting", "{status}");
    lock.batch_execute("COMMIT").await.unwrap();
    compare::eventually_equal(&scene.source, &scene.target, &["public.locked"]).await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn copying_sessions_that_the_server_ends_cost_nothing_but_time() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server).with_file();
    scene.source.batch_execute(BIG).await.unwrap();
    let running = scene.start();
    let copied = "SELECT count(*) FROM big";
    let mut ended = 0;
    loop {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()
                     AND backend_type = 'client backend' AND query LIKE '%COPY%'";
        ended += scene.source.query_one(end, &[]).await.unwrap().get::<_, i64>(0);
        let rows = scene.target.query_one(copied, &[]).await.map_or(0, |row| row.get::<_, i64>(0));
        if rows == 100_000 {
            break;
        }
        // So often at most, so that it comes to its end.
        let wait = if ended < 8 { 30 } else { 2000 };
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
    }
    assert!(ended > 0, "no session was ended");
    compare::eventually_equal(&scene.source, &scene.target, &["public.big"]).await;
    running.stop().await.exits_with(0);
    scene.run_until_current().await.exits_with(0);
    let replayed = Replayed::from_file(&scene.file()).unwrap();
    let rows = compare::rows(&scene.source, "public.big").await;
    assert_eq!(replay::difference("public.big", &rows, &replayed.rows("public.big")), None);
}

#[tokio::test]
async fn reading_needs_no_table_of_ours_and_no_right_to_write() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server);
    let role = format!("reader_{}", scene.source_database);
    scene.pipeline["source"]["username"] = json!(role);
    scene.pipeline["source"]["password"] = json!("reads");
    let setup = format!(
        "{BIG}; CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
         CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
         INSERT INTO part VALUES (1, 'p');
         CREATE PUBLICATION cdc_shop FOR TABLE big, part WITH (publish_via_partition_root = true);
         REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'reads';
         ALTER ROLE {role} SET default_transaction_read_only = on;
         GRANT SELECT ON big, part, part_1 TO {role}"
    );
    scene.source.batch_execute(&setup).await.unwrap();
    let objects =
        "SELECT string_agg(oid::regclass::text, ',' ORDER BY oid) FROM pg_class WHERE oid >= 16384";
    let before: String = scene.source.query_one(objects, &[]).await.unwrap().get(0);
    let mut running = scene.start();
    running.follows().await;
    scene
        .source
        .batch_execute("UPDATE big SET v = 'u' WHERE id < 10; DELETE FROM part")
        .await
        .unwrap();
    compare::eventually_equal(&scene.source, &scene.target, &["public.big", "public.part"]).await;
    running.stop().await.exits_with(0);
    let after: String = scene.source.query_one(objects, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
}

#[tokio::test]
async fn enums_of_one_name_in_two_schemas_are_told_apart_and_follow_their_labels() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server).with_file();
    let setup = "CREATE SCHEMA a; CREATE SCHEMA b;
                 CREATE TYPE a.state AS ENUM ('new', 'done'); CREATE TYPE b.state AS ENUM ('on', 'off');
                 CREATE DOMAIN a.mail AS text CHECK (VALUE LIKE '%@%');
                 CREATE TABLE a.t (id int PRIMARY KEY, s a.state, l a.state[], m a.mail);
                 CREATE TABLE b.t (id int PRIMARY KEY, s b.state, x a.state);
                 INSERT INTO a.t VALUES (1, 'new', '{new,done}', 'x@y');
                 INSERT INTO b.t VALUES (1, 'on', 'done')";
    scene.source.batch_execute(setup).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    for step in [
        "INSERT INTO a.t VALUES (2, 'done', NULL, NULL); INSERT INTO b.t VALUES (2, 'off', NULL)",
        "ALTER TYPE b.state ADD VALUE 'broken' BEFORE 'off'",
        "INSERT INTO b.t VALUES (3, 'broken', 'new')",
        "ALTER TYPE a.state RENAME VALUE 'done' TO 'finished'",
        "INSERT INTO a.t VALUES (3, 'finished', '{finished}', NULL)",
    ] {
        scene.source.batch_execute(step).await.unwrap();
    }
    eventually("the last rows are there", async || {
        let count = "SELECT (SELECT count(*) FROM a.t) + (SELECT count(*) FROM b.t)";
        scene.target.query_one(count, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 6)
    })
    .await;
    running.stop().await.exits_with(0);
    // A new name of a label is not in the log: what was written before keeps the old one.
    let sql = "SELECT s::text FROM a.t ORDER BY id";
    let rows = scene.target.query(sql, &[]).await.unwrap();
    let states: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(states, ["new", "done", "finished"]);
    let sql = "SELECT s::text FROM b.t ORDER BY id";
    let rows = scene.target.query(sql, &[]).await.unwrap();
    let states: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(states, ["on", "off", "broken"]);
    let text = text_of(&scene);
    for label in ["broken", "finished", "new", "on", "off"] {
        assert!(text.contains(&format!(r#""s":"{label}""#)), "{label} is not in:\n{text}");
    }
}

#[tokio::test]
async fn readiness_falls_with_the_source_and_returns_with_it() {
    let Some(target) = any_server() else { return };
    let major = Postgres::available()[0];
    let source = Postgres::start(Options { major, ..Options::default() }).unwrap();
    let scene = Scene::between(&source, target).await.with_replica(target);
    scene
        .source
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let mut running = scene.start();
    running.follows().await;
    source.kill9().unwrap();
    let body = running.answers("/readyz", 503).await;
    assert!(body.contains("source"), "{body}");
    running.answers("/healthz", 200).await;
    source.restart().unwrap();
    running.ready().await;
    let client = source.connect(&scene.source_database).await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    compare::eventually_equal(&client, &scene.target, &["public.t"]).await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_partition_that_is_truncated_alone_is_found_by_a_comparison() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    let setup = "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
                 CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
                 CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (10) TO (20);
                 INSERT INTO p SELECT n, 'p' FROM generate_series(0, 19) AS n";
    scene.source.batch_execute(setup).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    let mut running = scene.start();
    running.follows().await;
    // PostgreSQL does not log this for subscribers of the root.
    scene.source.batch_execute("TRUNCATE p_1").await.unwrap();
    scene.cdc(&["verify"]).await.exits_with(3).mentions(&["public.p", "10"]);
    running.stop().await.exits_with(0);
    // What helps: deletes are logged.
    scene.source.batch_execute("DELETE FROM p_2; INSERT INTO p VALUES (1, 'again')").await.unwrap();
    scene.run_until_current().await.exits_with(0);
    let rows = compare::rows(&scene.target, "public.p").await;
    assert_eq!(rows.len(), 10, "those of the truncated partition: {rows:?}");
}
