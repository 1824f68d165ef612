//! Very wide tables, and very many of them.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use tokio_postgres::Client;

use crate::compare;
use crate::scene::{Scene, any_server};

/// No table can have more.
const COLUMNS: usize = 1_600;
const TABLES: usize = 2_000;

/// `CREATE TABLE` of as many columns as there can be, of types that fit into one page.
fn widest() -> String {
    let mut columns = String::from("id int PRIMARY KEY");
    for column in 2..=COLUMNS {
        let kind = ["smallint", "boolean", "int", "\"char\"", "real"][column % 5];
        write!(columns, ", \"column {column}\" {kind}").unwrap();
    }
    format!("CREATE TABLE widest ({columns})")
}

/// Rows whose columns hold something or NULL, by turns.
fn rows(ids: std::ops::Range<u32>) -> String {
    let row = |id: u32| {
        let mut values = id.to_string();
        for column in 2..=COLUMNS {
            let value = match column % 5 {
                _ if (column + id as usize).is_multiple_of(7) => "NULL".to_owned(),
                1 => (column % 2 == 0).to_string(),
                3 => "'x'".to_owned(),
                _ => (column + id as usize).to_string(),
            };
            write!(values, ", {value}").unwrap();
        }
        format!("({values})")
    };
    let rows: Vec<String> = ids.map(row).collect();
    format!("INSERT INTO widest VALUES {}", rows.join(", "))
}

#[tokio::test]
async fn a_row_of_1600_columns_goes_through_copy_stream_and_replica() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server).with_file();
    scene.source.batch_execute(&widest()).await.unwrap();
    scene.source.batch_execute(&rows(1..4)).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    compare::eventually_equal(&scene.source, &scene.target, &["public.widest"]).await;
    scene.source.batch_execute(&rows(10..60)).await.unwrap();
    let change = "UPDATE widest SET \"column 1600\" = 7, \"column 2\" = NULL WHERE id < 20;
        DELETE FROM widest WHERE id > 50; UPDATE widest SET id = 1000 WHERE id = 30";
    scene.source.batch_execute(change).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    compare::eventually_equal(&scene.source, &scene.target, &["public.widest"]).await;
    let report = scene.cdc(&["verify", "--json"]).await;
    assert_eq!(report.code, Some(0), "{}", report.said());
}

async fn create(client: &Client, tables: std::ops::RangeInclusive<usize>) {
    let create = format!(
        "DO $$ BEGIN FOR i IN {}..{} LOOP
           EXECUTE format('CREATE TABLE many_%s (id int PRIMARY KEY, v varchar(9), n numeric(9,2))', i);
         END LOOP; END $$",
        tables.start(),
        tables.end()
    );
    client.batch_execute(&create).await.unwrap();
}

/// Statements that the server has ended in a database so far, each in a transaction of its own.
async fn statements(scene: &Scene) -> i64 {
    // Sessions tell what they did when they end, at the latest.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let sql = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    scene.target.query_one("SELECT 1", &[]).await.unwrap();
    scene.source.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_start_with_2000_tables_asks_the_server_no_more_than_one_with_20() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_file();
    scene.pipeline["source"]["snapshot_mode"] = json!("never");
    create(&scene.source, 1..=20).await;
    scene.cdc(&["deploy"]).await.exits_with(0);
    let mut asked = Vec::new();
    for last in [20, TABLES] {
        if last > 20 {
            create(&scene.source, 21..=last).await;
            scene.cdc(&["deploy"]).await.exits_with(0);
        }
        let before = statements(&scene).await;
        scene.run_until_current().await.exits_with(0);
        scene.cdc(&["check"]).await.exits_with(0);
        asked.push(statements(&scene).await - before);
    }
    assert!(asked[0] > 5, "{asked:?}");
    assert!(
        asked[1] < asked[0] + 50,
        "statements of a start with 20 and with 2,000 tables: {asked:?}"
    );
    scene.source.batch_execute("INSERT INTO many_1999 VALUES (1, 'x', 1.5)").await.unwrap();
    scene.run_until_current().await.exits_with(0);
    assert!(std::fs::read_to_string(scene.file()).unwrap().contains("many_1999"));
}

#[tokio::test]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_2000_tables_are_copied_followed_and_equal() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    create(&scene.source, 1..=TABLES).await;
    let change = |sql: &str| {
        format!(
            "DO $$ BEGIN FOR i IN 1..{TABLES} LOOP EXECUTE format('{sql}', i); END LOOP; END $$"
        )
    };
    let insert = change("INSERT INTO many_%s VALUES (1, ''a'', 1.5), (2, ''b'', 2.5)");
    scene.source.batch_execute(&insert).await.unwrap();
    let names: Vec<String> = (1..=TABLES).map(|table| format!("public.many_{table}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut running = scene.start();
    running.ready().await;
    compare::equal_within(Duration::from_secs(600), &scene.source, &scene.target, &names).await;
    let update = change("UPDATE many_%s SET v = ''c'' WHERE id = 2");
    scene.source.batch_execute(&update).await.unwrap();
    compare::equal_within(Duration::from_secs(600), &scene.source, &scene.target, &names).await;
    running.stop().await.exits_with(0);
}
