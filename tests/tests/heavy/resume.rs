use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cdc_testkit::services::Postgres;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio_postgres::Client;

use super::ledger::Ledger;
use super::{LIMIT, MEMORY_MAX, deliver, items, mebibytes, rate, scaled, seed};
use crate::process::Running;
use crate::scene::{Scene, any_server};

const ROWS: u64 = 5_000_000;
const KILLS_MIN: u64 = 20;
/// A process is killed at the latest when it has copied such a part of the table, or three chunks.
const PART_MAX: u64 = 20;
/// A chunk has about 4 MiB; rows of this table take more than 80 bytes of it.
const CHUNK_ROWS: u64 = 50_000;
/// Sessions that copy at a time, each with a chunk of its own (`snapshot_readers`).
const READERS: u64 = 2;
/// The load rests so long at most after a transaction.
const REST_MS_MAX: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_resume() {
    let Some(target) = any_server() else { return };
    let (rows, seed) = (scaled(ROWS), seed("heavy_resume"));
    let source = Arc::new(Postgres::start(super::options()).unwrap());
    let scene = Scene::between(&source, target).await.with_replica(target).with_file();
    items::create(&scene.source).await;
    items::insert(&scene.source, 1, rows).await;
    scene.source.batch_execute("VACUUM (ANALYZE) items").await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let client = source.connect(&scene.source_database).await.unwrap();
    let load = tokio::spawn(load(client, ChaCha8Rng::seed_from_u64(seed), rows, Arc::clone(&stop)));

    let started = Instant::now();
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 1);
    let (mut kills, mut peak) = (0, 0);
    loop {
        let mut running = scene.start();
        let complete = live(&mut running, &mut random, (rows / PART_MAX).max(3 * CHUNK_ROWS)).await;
        peak = running.memory().map_or(peak, |memory| memory.peak.max(peak));
        running.kill9();
        if complete {
            break;
        }
        kills += 1;
        assert!(started.elapsed() < LIMIT, "the copy does not come to its end");
    }
    eprintln!("heavy_resume: copied {} with {kills} kills", rate(rows, started));
    stop.store(true, Ordering::Relaxed);
    let statements = load.await.unwrap();
    peak = deliver(&scene).await.max(peak);
    eprintln!(
        "heavy_resume: {statements} statements beside it; everything delivered after {:.1} s; at most {}",
        started.elapsed().as_secs_f64(),
        mebibytes(peak)
    );
    assert!(kills >= scaled(KILLS_MIN), "only {kills} kills before the copy was complete");
    assert!(peak < MEMORY_MAX, "{}", mebibytes(peak));
    equal(&scene, rows, kills).await;
}

async fn equal(scene: &Scene, rows: u64, kills: u64) {
    let expected = items::fingerprint(&scene.source).await;
    assert_eq!(expected, items::fingerprint(&scene.target).await, "the replica");
    scene.cdc_within(LIMIT, &["verify"]).await.exits_with(0);
    let ledger = Ledger::from_file(&scene.file()).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(ledger.difference(&scene.source).await, None);
    let again = ledger.copied.saturating_sub(rows);
    eprintln!(
        "heavy_resume: replica and file equal the source; {} rows copied, {again} of them again",
        ledger.copied
    );
    assert!(ledger.copied <= rows + kills * READERS * CHUNK_ROWS, "{again} rows copied again");
}

/// Lets a process live for a while, and says whether the copy was complete before that was over.
async fn live(running: &mut Running, random: &mut ChaCha8Rng, rows_max: u64) -> bool {
    let longest = if random.random_bool(0.2) { 500 } else { 15_000 };
    let life = Duration::from_millis(random.random_range(0..longest));
    let rows_max = random.random_range(0..rows_max);
    let started = Instant::now();
    let mut first = None;
    while started.elapsed() < life {
        assert!(running.is_running(), "ended by itself:\n{}", running.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
        let Some((200, body)) = running.get("/api/v1/pipelines/shop") else { continue };
        let status: serde_json::Value = serde_json::from_str(&body).unwrap();
        if status["source"]["state"] == "running" {
            return true;
        }
        // A process says how many rows the ones before it copied a moment after it has started.
        let copied = status["source"]["snapshot"][0]["rows"].as_u64().unwrap_or_default();
        if copied == 0 {
            continue;
        }
        let first = *first.get_or_insert(copied);
        if copied.saturating_sub(first) > rows_max {
            break;
        }
    }
    false
}

/// Changes random rows until it is stopped; returns how many statements it ran.
async fn load(client: Client, mut random: ChaCha8Rng, rows: u64, stop: Arc<AtomicBool>) -> u64 {
    let (mut next, mut statements) = (rows, 0);
    while !stop.load(Ordering::Relaxed) {
        let count = random.random_range(1..=30);
        let sql: Vec<String> = (0..count).map(|_| statement(&mut random, &mut next)).collect();
        client.batch_execute(&format!("BEGIN; {}; COMMIT", sql.join("; "))).await.unwrap();
        statements += count;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..REST_MS_MAX))).await;
    }
    statements
}

fn statement(random: &mut ChaCha8Rng, next: &mut u64) -> String {
    let (table, number) = (items::TABLE, random.random_range(0..1000));
    let any = random.random_range(1..=*next);
    // Half of the rows that are looked for have a body.
    let old = if random.random_bool(0.5) { any / 50 * 50 } else { any };
    match random.random_range(0..100) {
        0..=39 => format!("UPDATE {table} SET n = {number} WHERE id = {old}"),
        40..=54 => {
            format!("UPDATE {table} SET body = repeat(md5('{number}'), 100) WHERE id = {old}")
        }
        55..=74 => {
            *next += 1;
            format!("INSERT INTO {table} VALUES ({next}, 'new', {number}, NULL)")
        }
        75..=84 => {
            *next += 1;
            format!("UPDATE {table} SET id = {next} WHERE id = {old}")
        }
        _ => format!("DELETE FROM {table} WHERE id = {old}"),
    }
}
