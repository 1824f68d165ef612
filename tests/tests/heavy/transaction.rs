use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::{MEMORY_MAX, deliver, finally, items, mebibytes, rate, scaled, status};
use crate::compare;
use crate::scene::{Scene, any_server};
use cdc_testkit::services::Postgres;

const ROWS: u64 = 10_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_transaction() {
    let Some(target) = any_server() else { return };
    let rows = scaled(ROWS);
    let source = Postgres::start(super::options()).unwrap();
    let scene = Scene::between(&source, target).await.with_replica(target).with_file();
    items::create(&scene.source).await;
    let small = "CREATE TABLE small_a (id bigserial PRIMARY KEY, v text);
                 CREATE TABLE small_b (id bigserial PRIMARY KEY, v text)";
    scene.source.batch_execute(small).await.unwrap();
    let mut running = scene.start();
    running.follows().await;

    let stop = Arc::new(AtomicBool::new(false));
    let client = source.connect(&scene.source_database).await.unwrap();
    let stopped = Arc::clone(&stop);
    let beside = tokio::spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            let sql = "INSERT INTO small_a (v) VALUES ('a'); INSERT INTO small_b (v) VALUES ('b')";
            client.batch_execute(sql).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let started = Instant::now();
    items::insert(&scene.source, 1, rows).await;
    eprintln!("heavy_transaction: inserted {}", rate(rows, started));
    let committed = Instant::now();
    let (mut peak, mut captured, mut last) = (0, None, 0);
    finally("the transaction is in the replica", async || {
        let memory = running.memory().unwrap();
        peak = memory.peak.max(peak);
        let status = status(&mut running).await;
        let end = status["transport"]["end_offset"].as_u64().unwrap_or_default();
        if captured.is_none() && end >= rows {
            captured = Some(rate(rows, committed));
        }
        let sql = "SELECT coalesce((SELECT id FROM items ORDER BY id DESC LIMIT 1), 0)";
        last = scene.target.query_one(sql, &[]).await.map_or(0, |row| row.get::<_, i64>(0));
        last.unsigned_abs() == rows
    })
    .await;
    eprintln!(
        "heavy_transaction: in the log {}; in the replica {}; at most {}",
        captured.unwrap_or_else(|| "unseen".to_owned()),
        rate(rows, committed),
        mebibytes(peak)
    );
    stop.store(true, Ordering::Relaxed);
    beside.await.unwrap();
    running.kill9();
    peak = deliver(&scene).await.max(peak);
    eprintln!("heavy_transaction: at most {} after a kill, too", mebibytes(peak));
    assert!(peak < MEMORY_MAX, "{}", mebibytes(peak));

    let expected = items::fingerprint(&scene.source).await;
    assert_eq!(expected, items::fingerprint(&scene.target).await, "the replica");
    let tables = ["public.small_a", "public.small_b"];
    assert_eq!(compare::difference(&scene.source, &scene.target, &tables).await, None);
    let ledger = Ledger::from_file(&scene.file()).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(ledger.difference(&scene.source).await, None);
    let changes = ledger.changes - ledger.copied;
    assert!(changes >= rows, "{changes} changes: the rows did not come as one transaction");
    eprintln!("heavy_transaction: replica and file equal the source; {} beside it", ledger.others);
}
