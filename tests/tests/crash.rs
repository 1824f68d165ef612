use std::sync::Arc;
use std::time::{Duration, Instant};

use cdc_testkit::services::{Options, Postgres};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::compare;
use crate::load::{self, Load};
use crate::replay::{self, Replayed};
use crate::scene::{Scene, any_server};

const KILLS: u32 = 26;
/// The source's server is restarted once in so many kills.
const RESTART_EVERY: u32 = 13;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_and_file_equal_the_source_after_many_kills() {
    let Some(target) = any_server() else { return };
    let kills = number("CDC_CRASH_KILLS").map_or(KILLS, |kills| u32::try_from(kills).unwrap());
    let seed = number("CDC_CRASH_SEED").unwrap_or_else(|| rand::rng().random());
    eprintln!("crash test: {kills} kills, CDC_CRASH_SEED={seed}");
    let major = Postgres::available()[0];
    let options =
        Options { major, settings: vec![("wal_sender_timeout", "2s")], ..Options::default() };
    let source = Arc::new(Postgres::start(options).unwrap());
    let mut scene = Scene::between(&source, target).await.with_replica(target).with_file();
    scene.platform["embedded"]["segment_bytes"] = serde_json::json!("256KiB");
    load::create(&scene.source).await;
    let load = Load::start(&source, &scene.source_database, seed);
    let started = Instant::now();
    kill_again_and_again(&scene, &source, kills, seed).await;
    let transactions = load.stop().await;
    scene.source = source.connect(&scene.source_database).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    eprintln!(
        "crash test: {transactions} transactions in {:.1} s; comparing",
        started.elapsed().as_secs_f64()
    );
    compare_everything(&scene, seed).await;
}

async fn kill_again_and_again(scene: &Scene, source: &Arc<Postgres>, kills: u32, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ 1);
    for kill in 1..=kills {
        let mut running = scene.start();
        let server = Arc::clone(source);
        if kill % RESTART_EVERY == RESTART_EVERY / 2 {
            tokio::time::sleep(Duration::from_millis(random.random_range(100..800))).await;
            // The first restart is a crash, the next an administrator's, and so on.
            let crash = (kill / RESTART_EVERY).is_multiple_of(2);
            tokio::task::spawn_blocking(move || {
                if crash {
                    server.kill9().unwrap();
                }
                server.restart().unwrap();
            })
            .await
            .unwrap();
        }
        // Some die while they start, most while they work.
        let longest = if random.random_bool(0.2) { 150 } else { 1500 };
        tokio::time::sleep(Duration::from_millis(random.random_range(0..longest))).await;
        assert!(running.is_running(), "ended before kill {kill}:\n{}", running.log());
        running.kill9();
    }
}

async fn compare_everything(scene: &Scene, seed: u64) {
    let difference = compare::difference(&scene.source, &scene.target, &load::tables()).await;
    assert_eq!(difference, None, "CDC_CRASH_SEED={seed}");
    let replayed = Replayed::from_file(&scene.file());
    let replayed = replayed.unwrap_or_else(|problem| panic!("CDC_CRASH_SEED={seed}: {problem}"));
    for (table, plain) in load::names() {
        let rows = compare::rows(&scene.source, table).await;
        let difference = replay::difference(table, &rows, &replayed.rows(plain));
        assert_eq!(difference, None, "CDC_CRASH_SEED={seed}");
    }
    assert_eq!(replayed.repeated, 0, "CDC_CRASH_SEED={seed}: the file is exactly once");
    assert!(replayed.changes > 1000, "only {} changes: no test at all", replayed.changes);
    eprintln!("crash test: replica and file equal the source; {} changes", replayed.changes);
}
