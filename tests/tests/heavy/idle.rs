use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cdc_testkit::services::Postgres;
use serde_json::json;
use tokio_postgres::Client;

use super::{finally, mebibytes, rate, scaled};
use crate::compare;
use crate::scene::{Scene, any_server};

const SECONDS: u64 = 60;
const SESSIONS: u64 = 2;
/// Commits of one call.
const COMMITS: u64 = 5_000;
/// Memory may differ by so much between the first and the last third of the time.
const DRIFT_MAX: u64 = 16 << 20;

const NOISE: &str = "
    CREATE TABLE captured (id int PRIMARY KEY, v text);
    CREATE TABLE noise (id bigserial PRIMARY KEY, v text);
    CREATE PROCEDURE make_noise(commits int) LANGUAGE plpgsql AS $$
    BEGIN
      FOR i IN 1..commits LOOP
        INSERT INTO noise (v) VALUES ('n');
        COMMIT;
      END LOOP;
    END $$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_idle() {
    let Some(target) = any_server() else { return };
    let source = Arc::new(Postgres::start(super::options()).unwrap());
    let mut scene = Scene::between(&source, target).await.with_replica(target);
    scene.pipeline["source"]["tables"] = json!(["public.captured"]);
    scene.source.batch_execute(NOISE).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    let before = confirmed(&scene.source, &scene.slot()).await;

    let stop = Arc::new(AtomicBool::new(false));
    let commits = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut noise = Vec::new();
    for _ in 0..SESSIONS {
        let client = source.connect(&scene.source_database).await.unwrap();
        let (stop, commits) = (Arc::clone(&stop), Arc::clone(&commits));
        noise.push(tokio::spawn(async move {
            client.batch_execute("SET synchronous_commit = off").await.unwrap();
            while !stop.load(Ordering::Relaxed) {
                client.batch_execute(&format!("CALL make_noise({COMMITS})")).await.unwrap();
                commits.fetch_add(COMMITS, Ordering::Relaxed);
            }
        }));
    }
    let seconds = scaled(SECONDS);
    let mut memory = Vec::new();
    for second in 0..seconds.max(3) {
        if second == seconds / 2 {
            scene.source.batch_execute("INSERT INTO captured VALUES (1, 'c')").await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        memory.push(running.memory().unwrap().now);
    }
    let row = Instant::now();
    finally("the captured row is in the replica although the noise goes on", async || {
        compare::difference(&scene.source, &scene.target, &["public.captured"]).await.is_none()
    })
    .await;
    let waited = row.elapsed();
    stop.store(true, Ordering::Relaxed);
    for session in noise {
        session.await.unwrap();
    }
    let commits = commits.load(Ordering::Relaxed);
    eprintln!("heavy_idle: {} commits that nobody captures", rate(commits, started));
    let end = current(&scene.source).await;
    finally("the slot has followed", async || confirmed(&scene.source, &scene.slot()).await >= end)
        .await;
    let third = memory.len() / 3;
    let most = |part: &[u64]| part.iter().max().copied().unwrap_or_default();
    let (early, late) = (most(&memory[..third]), most(&memory[memory.len() - third..]));
    eprintln!(
        "heavy_idle: the captured row was waited for {:.1} s after {seconds} s of noise; memory {} at first, {} at last; \
         the slot moved by {}",
        waited.as_secs_f64(),
        mebibytes(early),
        mebibytes(late),
        mebibytes((end - before).unsigned_abs())
    );
    assert!(late < early + DRIFT_MAX, "memory grew from {early} to {late} bytes");
    running.stop().await.exits_with(0);
}

async fn confirmed(client: &Client, slot: &str) -> i64 {
    let sql =
        "SELECT (confirmed_flush_lsn - '0/0')::int8 FROM pg_replication_slots WHERE slot_name = $1";
    client.query_one(sql, &[&slot]).await.unwrap().get(0)
}

async fn current(client: &Client) -> i64 {
    let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::int8";
    client.query_one(sql, &[]).await.unwrap().get(0)
}
