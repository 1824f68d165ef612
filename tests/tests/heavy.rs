//! Each test is alone on the machine, prints what it measured, and asserts on results and memory, never
//! on time. `CDC_HEAVY_PERCENT` makes all sizes smaller, `CDC_HEAVY_SEED` repeats a run.

// What the lines of the file sink say that one table of millions of rows holds.
mod ledger;
// The table of millions of rows.
mod items;

// Thousands of tables, and one with as many columns as a table may have.
mod catalog;
// Much traffic that nobody captures beside one row that somebody does.
mod idle;
// A copy of millions of rows under load that is killed again and again.
mod resume;
// A server process that hangs.
mod stall;
// One transaction of millions of rows.
mod transaction;
// Values of hundreds of megabytes.
mod values;

use std::time::{Duration, Instant};

use cdc_testkit::services::{Options, Postgres};
use rand::Rng as _;

use crate::process::Running;
use crate::scene::Scene;

/// What a pipeline may need beside its `memory_budget` of 128 MiB: program, buffers of the log and of
/// sockets, the copy's own notes, and what the allocator keeps.
const MEMORY_MAX: u64 = 300 << 20;
/// No command of these tests may take longer; how fast they are is printed and not asserted.
const LIMIT: Duration = Duration::from_secs(2 * 3600);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A size, or as many hundredths of it as `CDC_HEAVY_PERCENT` says, and at least one.
fn scaled(size: u64) -> u64 {
    (size * number("CDC_HEAVY_PERCENT").unwrap_or(100) / 100).max(1)
}

fn seed(test: &str) -> u64 {
    let seed = number("CDC_HEAVY_SEED").unwrap_or_else(|| rand::rng().random());
    eprintln!("{test}: CDC_HEAVY_SEED={seed}");
    seed
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
}

fn rate(count: u64, since: Instant) -> String {
    let seconds = since.elapsed().as_secs_f64();
    format!("{count} in {seconds:.1} s, {:.0} /s", count as f64 / seconds)
}

/// Waits until a process has ended well by itself, and returns the most memory it had.
async fn peak_at_end(mut running: Running) -> u64 {
    let started = Instant::now();
    let mut peak = 0;
    while let Some(memory) = running.memory() {
        peak = memory.peak.max(peak);
        if !running.is_running() {
            break;
        }
        assert!(started.elapsed() < LIMIT, "did not end in {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = running.end_within(LIMIT).await;
    assert_eq!(status.code(), Some(0), "{}", running.log());
    peak
}

/// Delivers everything that is committed by now, and returns the most memory that it took.
async fn deliver(scene: &Scene) -> u64 {
    peak_at_end(scene.start_with(&["run", "--until-current"])).await
}

/// Waits as long as it takes until something holds.
async fn finally(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < LIMIT, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The status as the running pipeline tells it, once it does.
async fn status(running: &mut Running) -> serde_json::Value {
    let body = running.answers("/api/v1/pipelines/shop", 200).await;
    serde_json::from_str(&body).unwrap()
}

/// A server of the test's own, with the settings of a server in production that matter here.
fn options() -> Options {
    let settings = vec![("wal_sender_timeout", "60s"), ("shared_buffers", "256MB")];
    Options { major: Postgres::available()[0], settings, ..Options::default() }
}
