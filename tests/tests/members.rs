//! Tables that join or leave the publication: what they bring is delivered, what is missing is told of.

use std::time::Duration;

use cdc_testkit::services::{Postgres, skip};
use serde_json::{Value, json};

use crate::compare;
use crate::process::{Running, eventually};
use crate::scene::{Scene, any_server};

/// The publication is looked at once more within this time.
const LOOKED_AT: Duration = Duration::from_secs(6);

/// Waits until the status warns with all these words.
async fn warns(running: &mut Running, words: &[&str]) -> String {
    let mut warning = String::new();
    let what = format!("the status warns of {words:?}");
    eventually(&what, async || {
        let status = running.answers("/api/v1/pipelines/shop", 200).await;
        let status: Value = serde_json::from_str(&status).unwrap();
        warning = status["source"]["warning"].as_str().unwrap_or_default().to_owned();
        words.iter().all(|word| warning.contains(word))
    })
    .await;
    warning
}

/// Waits until the publication has been looked at once more, and there is no warning.
async fn never_warns(running: &mut Running) {
    tokio::time::sleep(LOOKED_AT).await;
    let status = running.answers("/api/v1/pipelines/shop", 200).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["source"]["warning"], Value::Null, "{status}");
}

const T: &str =
    "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b');";
const LATE: &str = "CREATE TABLE late (id int PRIMARY KEY, v text, n numeric(9,2));
    INSERT INTO late VALUES (1, 'earlier', 1.5);";
const NOT_COPIED: &str = "cdc snapshot PIPELINE --table public.late";

async fn count(scene: &Scene, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    scene.target.query_one(&sql, &[]).await.map_or(-1, |row| row.get(0))
}

#[tokio::test]
async fn a_table_that_joins_while_the_pipeline_runs_is_followed_and_its_earlier_rows_are_told_of() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server).with_file();
    scene.pipeline["source"]["tables"] = json!(["public.*"]);
    scene.source.batch_execute(T).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    scene.source.batch_execute(LATE).await.unwrap();
    warns(&mut running, &["public.late are not captured", "ADD TABLE \"public\".\"late\""]).await;
    let join = "ALTER PUBLICATION cdc_shop ADD TABLE late; INSERT INTO late VALUES (2, 'x', 2.25);
        CREATE TABLE fresh (id int PRIMARY KEY); ALTER PUBLICATION cdc_shop ADD TABLE fresh;";
    scene.source.batch_execute(join).await.unwrap();
    scene.source.batch_execute("INSERT INTO fresh SELECT generate_series(1, 10)").await.unwrap();
    let warning = warns(&mut running, &["rows of public.late from before", NOT_COPIED]).await;
    assert!(!warning.contains("public.fresh"), "{warning}");
    compare::eventually_equal(&scene.source, &scene.target, &["public.t", "public.fresh"]).await;
    eventually("the change has arrived", async || count(&scene, "late").await == 1).await;
    let n = scene.target.query_one("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'late'::regclass AND attname = 'n'", &[]);
    assert_eq!(n.await.unwrap().get::<_, String>(0), "numeric(9,2)");
    assert!(std::fs::read_to_string(scene.file()).unwrap().contains("\"late\""));
    let log = running.log();
    assert!(
        log.contains("their earlier rows were not copied") && log.contains("public.late"),
        "{log}"
    );
    running.stop().await.exits_with(0);
    // A restart forgets nothing of it.
    let mut running = scene.start();
    running.ready().await;
    warns(&mut running, &[NOT_COPIED]).await;
    scene.source.batch_execute("ALTER TABLE late RENAME TO \"later on\"").await.unwrap();
    warns(&mut running, &["cdc snapshot PIPELINE --table public.later on"]).await;
    scene.source.batch_execute("DROP TABLE \"later on\"").await.unwrap();
    eventually("the warning is gone", async || {
        let status = running.answers("/api/v1/pipelines/shop", 200).await;
        !status.contains("cdc snapshot")
    })
    .await;
    assert!(running.log().contains("captured tables were dropped"), "{}", running.log());
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_table_that_joins_while_the_pipeline_is_stopped_is_told_of() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server);
    scene.pipeline["source"]["tables"] = json!(["public.t"]);
    let other = "CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1);";
    scene.source.batch_execute(&format!("{T}{other}")).await.unwrap();
    let first = scene.run_until_current().await.exits_with(0);
    assert!(!first.said().contains("joined"), "{}", first.said());
    scene.source.batch_execute(LATE).await.unwrap();
    let large = "ALTER TABLE late ALTER v SET STORAGE EXTERNAL;
        INSERT INTO late VALUES (3, repeat('x', 9000), 1)";
    scene.source.batch_execute(large).await.unwrap();
    scene.pipeline["source"]["tables"] = json!(["public.t", "public.late"]);
    let second = scene.run_until_current().await.exits_with(0);
    second.mentions(&["their earlier rows were not copied", "public.late", "cdc snapshot"]);
    scene.source.batch_execute("INSERT INTO late VALUES (2, 'y', 1)").await.unwrap();
    let third = scene.run_until_current().await.exits_with(0);
    assert!(!third.said().contains("joined"), "told of twice: {}", third.said());
    assert_eq!(count(&scene, "late").await, 1);
    let mut running = scene.start();
    running.ready().await;
    warns(&mut running, &[NOT_COPIED]).await;
    // A part of the rows is not all of them.
    scene.cdc(&["snapshot", "--table", "public.late", "--where", "id = 1"]).await.exits_with(0);
    eventually("a part has arrived", async || count(&scene, "late").await == 2).await;
    tokio::time::sleep(LOOKED_AT).await;
    warns(&mut running, &[NOT_COPIED]).await;
    // The remedy helps, also against an update that does not log the whole of a row nobody has yet.
    scene.cdc(&["snapshot", "--pause"]).await.exits_with(0);
    scene.cdc(&["snapshot", "--table", "public.late"]).await.exits_with(0);
    scene.source.batch_execute("UPDATE late SET n = 7 WHERE id = 3").await.unwrap();
    scene.cdc(&["snapshot", "--resume"]).await.exits_with(0);
    compare::eventually_equal(&scene.source, &scene.target, &["public.late"]).await;
    never_warns(&mut running).await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_table_that_leaves_the_publication_is_told_of_also_when_it_comes_back() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(T).await.unwrap();
    scene.source.batch_execute("CREATE TABLE u (id int PRIMARY KEY)").await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    scene.source.batch_execute("ALTER PUBLICATION cdc_shop DROP TABLE t").await.unwrap();
    scene
        .source
        .batch_execute("INSERT INTO t VALUES (3, 'lost'); INSERT INTO u VALUES (1)")
        .await
        .unwrap();
    warns(&mut running, &["changes of public.t are not captured"]).await;
    assert!(running.log().contains("tables left the publication"), "{}", running.log());
    running.stop().await.exits_with(0);
    let mut running = scene.start();
    running.ready().await;
    warns(&mut running, &["cdc snapshot PIPELINE --table public.t"]).await;
    scene.source.batch_execute("INSERT INTO t VALUES (4, 'd')").await.unwrap();
    eventually("the change has arrived", async || count(&scene, "t").await == 3).await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn tables_created_under_a_publication_of_everything_or_of_a_schema_lose_nothing() {
    let Some(server) = any_server() else { return };
    for publication in ["FOR ALL TABLES", "FOR TABLES IN SCHEMA public"] {
        let mut scene = Scene::on(server).await.with_replica(server);
        scene.pipeline["source"]["tables"] = json!(["public.*"]);
        scene.source.batch_execute(T).await.unwrap();
        let publish = format!(
            "CREATE PUBLICATION cdc_shop {publication} WITH (publish_via_partition_root = true)"
        );
        scene.source.batch_execute(&publish).await.unwrap();
        let mut running = scene.start();
        running.follows().await;
        scene.source.batch_execute(LATE).await.unwrap();
        let again = "BEGIN; DROP TABLE t; CREATE TABLE t (w numeric(5,1), id int PRIMARY KEY);
            INSERT INTO t VALUES (1.5, 7); COMMIT; INSERT INTO t VALUES (2.5, 8);";
        scene.source.batch_execute(again).await.unwrap();
        let names = ["public.t", "public.late"];
        compare::eventually_equal(&scene.source, &scene.target, &names).await;
        never_warns(&mut running).await;
        running.stop().await.exits_with(0);
        scene
            .source
            .batch_execute(
                "CREATE TABLE stopped (id int PRIMARY KEY); INSERT INTO stopped VALUES (1)",
            )
            .await
            .unwrap();
        let ended = scene.run_until_current().await.exits_with(0);
        assert!(!ended.said().contains("were not copied"), "{}", ended.said());
        compare::eventually_equal(&scene.source, &scene.target, &["public.stopped"]).await;
    }
}

#[tokio::test]
async fn a_table_that_is_selected_later_under_a_publication_of_everything_is_told_of() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server);
    scene.pipeline["source"]["tables"] = json!(["public.t"]);
    let publish =
        "CREATE PUBLICATION cdc_shop FOR ALL TABLES WITH (publish_via_partition_root = true)";
    scene.source.batch_execute(&format!("{T}{LATE}{publish}")).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    scene.pipeline["source"]["tables"] = json!(["public.*"]);
    let ended = scene.run_until_current().await.exits_with(0);
    ended.mentions(&["their earlier rows were not copied", "public.late"]);
}

#[tokio::test]
async fn a_table_that_gets_a_selected_name_is_told_of() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server);
    scene.pipeline["source"]["tables"] = json!(["public.t", "public.late*"]);
    let publish =
        "CREATE PUBLICATION cdc_shop FOR ALL TABLES WITH (publish_via_partition_root = true);
        CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1);";
    scene.source.batch_execute(&format!("{T}{publish}")).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    // What the pipeline knows of tables is what it saw when it looked.
    never_warns(&mut running).await;
    let rename = "ALTER TABLE other RENAME TO late; INSERT INTO late VALUES (2)";
    scene.source.batch_execute(rename).await.unwrap();
    warns(&mut running, &[NOT_COPIED]).await;
    eventually("the change has arrived", async || count(&scene, "late").await == 1).await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_partition_that_is_attached_with_rows_is_told_of() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    let setup = "CREATE TABLE late (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
        CREATE TABLE late_1 PARTITION OF late FOR VALUES FROM (0) TO (10);
        INSERT INTO late VALUES (1, 'a');";
    scene.source.batch_execute(setup).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    let empty = "CREATE TABLE late_2 PARTITION OF late FOR VALUES FROM (10) TO (20);
        CREATE TABLE late_3 (id int PRIMARY KEY, v text);
        ALTER TABLE late ATTACH PARTITION late_3 FOR VALUES FROM (20) TO (30);";
    scene.source.batch_execute(empty).await.unwrap();
    scene.source.batch_execute("INSERT INTO late VALUES (11, 'b'), (21, 'c')").await.unwrap();
    let ended = scene.run_until_current().await.exits_with(0);
    assert!(!ended.said().contains("were not copied"), "{}", ended.said());
    compare::eventually_equal(&scene.source, &scene.target, &["public.late"]).await;
    let filled = "BEGIN; CREATE TABLE late_4 (id int PRIMARY KEY, v text); INSERT INTO late_4 VALUES (31, 'd');
        ALTER TABLE late ATTACH PARTITION late_4 FOR VALUES FROM (30) TO (40); COMMIT;
        INSERT INTO late VALUES (32, 'e');";
    scene.source.batch_execute(filled).await.unwrap();
    let ended = scene.run_until_current().await.exits_with(0);
    ended.mentions(&["their earlier rows were not copied", "public.late", "cdc snapshot"]);
    assert_eq!(count(&scene, "late").await, 4, "the change after it has arrived");
}

#[tokio::test]
async fn generated_columns_that_are_published_later_are_told_of() {
    if let Some(reason) = Postgres::is_missing(18) {
        return skip("members-generated-18", &reason).unwrap();
    }
    let server = Postgres::shared(18).unwrap();
    let scene = Scene::on(server).await.with_replica(server);
    let setup =
        "CREATE TABLE late (id int PRIMARY KEY, n int, g int GENERATED ALWAYS AS (n * 2) STORED);
        CREATE TABLE plain (id int PRIMARY KEY); INSERT INTO plain VALUES (1);
        INSERT INTO late VALUES (1, 1);";
    scene.source.batch_execute(setup).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    let publish = "ALTER PUBLICATION cdc_shop SET (publish_generated_columns = stored)";
    scene.source.batch_execute(publish).await.unwrap();
    scene.source.batch_execute("INSERT INTO late VALUES (2, 2)").await.unwrap();
    let warning = warns(&mut running, &[NOT_COPIED]).await;
    assert!(!warning.contains("public.plain"), "{warning}");
    eventually("the generated value has arrived", async || {
        let sql = "SELECT count(*) FROM late WHERE id = 2 AND g = 4";
        scene.target.query_one(sql, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) == 1)
    })
    .await;
    running.stop().await.exits_with(0);
}
