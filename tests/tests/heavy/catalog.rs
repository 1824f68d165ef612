use std::time::Instant;

use cdc_testkit::services::Postgres;
use tokio_postgres::Client;

use super::{LIMIT, deliver, finally, mebibytes, scaled, status};
use crate::scene::{Scene, any_server};

const TABLES: u64 = 2_000;
/// As many as a table may have.
const COLUMNS: usize = 1_600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_catalog() {
    if any_server().is_none() {
        return;
    }
    let tables = scaled(TABLES);
    // As many locks as a server has whose administrator changed nothing.
    let mut options = super::options();
    options.settings.push(("max_connections", "100"));
    let server = Postgres::start(options).unwrap();
    let scene = Scene::on(&server).await.with_replica(&server);
    create(&scene.source, tables).await;

    let started = Instant::now();
    let mut running = scene.start();
    let (mut connected, mut copied) = (None, None);
    finally("all tables are copied", async || {
        let status = status(&mut running).await;
        if status["source"]["connected"] == true {
            connected.get_or_insert(started.elapsed());
        }
        if status["source"]["state"] == "running" {
            copied.get_or_insert(started.elapsed());
        }
        copied.is_some()
    })
    .await;
    finally("all rows are in the replica", async || difference(&scene, tables).await.is_none())
        .await;
    eprintln!(
        "heavy_catalog: {tables} tables and one of {COLUMNS} columns: connected after {:.1?}, copied after {:.1?}, \
         in the replica after {:.1?}; at most {}",
        connected.unwrap(),
        copied.unwrap(),
        started.elapsed(),
        mebibytes(running.memory().unwrap().peak)
    );
    running.stop().await.exits_with(0);

    let started = Instant::now();
    let mut running = scene.start();
    running.follows().await;
    eprintln!("heavy_catalog: a restart follows after {:.1?}", started.elapsed());
    change(&scene.source, tables).await;
    running.kill9();
    let peak = deliver(&scene).await;
    eprintln!("heavy_catalog: a change of each is delivered; at most {}", mebibytes(peak));
    assert_eq!(difference(&scene, tables).await, None);
    scene.cdc_within(LIMIT, &["verify"]).await.exits_with(0);
}

async fn create(client: &Client, tables: u64) {
    for first in (0..tables).step_by(200) {
        let sql: String = (first..tables.min(first + 200))
            .map(|n| {
                format!(
                    "CREATE TABLE t{n:04} (id int PRIMARY KEY, v text, at timestamptz DEFAULT now());
                     INSERT INTO t{n:04} VALUES ({n}, 'copied');"
                )
            })
            .collect();
        client.batch_execute(&sql).await.unwrap();
    }
    let columns: Vec<String> = (1..COLUMNS).map(|index| format!("c{index} int2")).collect();
    let values: Vec<String> = (1..COLUMNS).map(|index| index.to_string()).collect();
    let sql = format!(
        "CREATE TABLE wide (id int PRIMARY KEY, {}); INSERT INTO wide VALUES (1, {})",
        columns.join(", "),
        values.join(", ")
    );
    client.batch_execute(&sql).await.unwrap();
}

async fn change(client: &Client, tables: u64) {
    for first in (0..tables).step_by(200) {
        let sql: String = (first..tables.min(first + 200))
            .map(|n| format!("UPDATE t{n:04} SET v = 'changed'; INSERT INTO t{n:04} VALUES (-1);"))
            .collect();
        client.batch_execute(&sql).await.unwrap();
    }
    let sql = "UPDATE wide SET c7 = 8, c1599 = NULL; INSERT INTO wide (id, c1598) VALUES (2, 3)";
    client.batch_execute(sql).await.unwrap();
}

async fn difference(scene: &Scene, tables: u64) -> Option<String> {
    for first in (0..tables).step_by(200) {
        let each: Vec<String> = (first..tables.min(first + 200))
            .map(|n| format!("SELECT {n} AS n, t::text AS row FROM t{n:04} AS t"))
            .collect();
        let sql = format!(
            "SELECT count(*), sum(hashtextextended(n || row, 0))::text FROM ({}) AS all_rows",
            each.join(" UNION ALL ")
        );
        let expected = scene.source.query_one(&sql, &[]).await.unwrap();
        let found = scene.target.query_one(&sql, &[]).await;
        let Ok(found) = found else { return Some(format!("tables from {first} on: not there")) };
        let values = |row: &tokio_postgres::Row| (row.get::<_, i64>(0), row.get::<_, String>(1));
        if values(&expected) != values(&found) {
            return Some(format!("tables from {first} on: {:?}", values(&found)));
        }
    }
    let wide = "SELECT count(*), sum(hashtextextended(w::text, 0))::text FROM wide AS w";
    let expected = scene.source.query_one(wide, &[]).await.unwrap();
    let Ok(found) = scene.target.query_one(wide, &[]).await else {
        return Some("wide: not there".to_owned());
    };
    let same =
        expected.get::<_, String>(1) == found.get::<_, Option<String>>(1).unwrap_or_default();
    (!same).then(|| "wide: other rows".to_owned())
}
