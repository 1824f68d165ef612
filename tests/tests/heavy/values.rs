use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use cdc_testkit::services::Postgres;
use serde_json::Value;
use tokio_postgres::Client;

use super::{deliver, mebibytes, scaled};
use crate::compare;
use crate::process::eventually;
use crate::scene::{Scene, any_server};

const BYTES: u64 = 200 << 20;
/// A value may be in memory so many times at once: as it is received, as it is written to the log, as each
/// sink reads it, and as each sink writes it.
const COPIES_MAX: u64 = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_values() {
    let Some(target) = any_server() else { return };
    // A multiple of 48 bytes looks regular in base64, too.
    let bytes = scaled(BYTES) / 96 * 96;
    let source = Postgres::start(super::options()).unwrap();
    let scene = Scene::between(&source, target).await.with_replica(target).with_file();
    let tables = "CREATE TABLE large (id int PRIMARY KEY, n int, t text, b bytea);
                  ALTER TABLE large ALTER t SET STORAGE EXTERNAL, ALTER b SET STORAGE EXTERNAL;
                  CREATE TABLE small (id serial PRIMARY KEY, v text)";
    scene.source.batch_execute(tables).await.unwrap();
    insert(&scene.source, bytes, 1).await;

    let started = Instant::now();
    let copy = deliver(&scene).await;
    eprintln!(
        "heavy_values: copied {} of text and of bytes in {:.1?}; at most {}",
        mebibytes(bytes),
        started.elapsed(),
        mebibytes(copy)
    );
    let mut running = scene.start();
    running.follows().await;
    let started = Instant::now();
    insert(&scene.source, bytes, 3).await;
    for _ in 0..20 {
        scene.source.batch_execute("INSERT INTO small (v) VALUES ('s')").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    scene.source.batch_execute("UPDATE large SET n = 7").await.unwrap();
    scene.source.batch_execute("UPDATE large SET id = id + 10").await.unwrap();
    super::finally("the last key is in the replica", async || {
        let sql = "SELECT count(*) FROM large WHERE id > 10 AND n = 7";
        scene.target.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 4
    })
    .await;
    eventually("the small rows are there", async || {
        compare::difference(&scene.source, &scene.target, &["public.small"]).await.is_none()
    })
    .await;
    let stream = running.memory().unwrap().peak;
    running.stop().await.exits_with(0);
    eprintln!(
        "heavy_values: streamed the same in {:.1?}; at most {}",
        started.elapsed(),
        mebibytes(stream)
    );
    let hashes = "SELECT id, n, length(t), md5(t), length(b), md5(b) FROM large ORDER BY id";
    let left = scene.source.simple_query(hashes).await.unwrap();
    let right = scene.target.simple_query(hashes).await.unwrap();
    assert_eq!(format!("{left:?}"), format!("{right:?}"));
    in_the_file(&scene, bytes).await;
    let bound = (128 << 20) + COPIES_MAX * bytes;
    let peak = copy.max(stream);
    assert!(peak < bound, "{} for values of {}", mebibytes(peak), mebibytes(bytes));
}

/// Two rows: one with a long text, one with many bytes.
async fn insert(client: &Client, bytes: u64, id: u64) {
    let (long, many) = (bytes / 32, bytes / 48);
    let sql = format!(
        "INSERT INTO large VALUES ({id}, 0, repeat(md5('x'), {long}), NULL);
         INSERT INTO large VALUES ({id} + 1, 0, NULL, decode(repeat(md5('a') || md5('b') || md5('c'), {many}), 'hex'))"
    );
    client.batch_execute(&sql).await.unwrap();
}

async fn in_the_file(scene: &Scene, bytes: u64) {
    let sql = "SELECT md5('x'), encode(decode(md5('a') || md5('b') || md5('c'), 'hex'), 'base64')";
    let row = scene.source.query_one(sql, &[]).await.unwrap();
    let (text, block): (String, String) = (row.get(0), row.get(1));
    let mut reader = BufReader::with_capacity(1 << 20, File::open(scene.file()).unwrap());
    let (mut line, mut texts, mut blocks, mut unchanged) = (String::new(), 0, 0, 0);
    while reader.read_line(&mut line).unwrap() > 0 {
        let change: Value = serde_json::from_str(&line).unwrap();
        line.clear();
        let (op, after) = (&change["value"]["op"], &change["value"]["after"]);
        if change["value"]["source"]["table"] != "large" {
            continue;
        }
        if op == "u" {
            unchanged += u32::from(change.to_string().len() < 10_000);
            continue;
        }
        if let Some(found) = after["t"].as_str() {
            assert!(found.len() as u64 == bytes / 32 * 32 && repeats(found, &text), "the text");
            texts += 1;
        }
        if let Some(found) = after["b"].as_str() {
            assert!(found.len() as u64 == bytes / 48 * 64 && repeats(found, &block), "the bytes");
            blocks += 1;
        }
    }
    assert_eq!((texts, blocks, unchanged), (2, 2, 8));
}

fn repeats(long: &str, part: &str) -> bool {
    long.as_bytes().chunks(part.len()).all(|found| found == part.as_bytes())
}
