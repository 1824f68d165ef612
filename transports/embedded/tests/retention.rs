use crate::{SOON, append, open, read_all, records, segments, small_segments, verify_numbered};
use cdc_core::{Offset, Transport, clock::Clock, transport::Condition};
use cdc_transport_embedded::{ByteSize, Config, EmbeddedTransport, Log};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// Waits until the writer thread has done what was asked for.
async fn eventually(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it never happens");
}

async fn filled(dir: &Path, config: Config, count: u64) -> EmbeddedTransport {
    let log = open(dir, config).await;
    for round in 0..count / 10 {
        append(&log, records(round * 10..round * 10 + 10)).await;
    }
    log
}

#[tokio::test]
async fn released_records_go_when_the_log_is_too_big() {
    let dir = tempfile::tempdir().unwrap();
    let limit = 40 << 10;
    let config = Config { retention_bytes: ByteSize(limit), ..small_segments() };
    let log = filled(dir.path(), config.clone(), 300).await;
    assert!(log.size_bytes() < limit && segments(dir.path()).len() > 5);
    let half = Offset(150);
    log.release(log.partition(), half).await.unwrap();
    let mut next = 300;
    while log.start() == Offset(0) {
        append(&log, records(next..next + 10)).await;
        next += 10;
        assert!(next < 2000, "nothing is ever removed");
    }
    eventually(|| log.size_bytes() <= limit).await;
    assert!(log.start() <= half, "unread records stay");
    assert_eq!(verify_numbered(&log).await, next);
    let error = read_all(&log, Offset(0)).await.unwrap_err();
    assert_eq!(error.code, "CDC-2007");
    assert!(error.remedy.unwrap().contains("snapshot"));
    let start = log.start();
    log.close().await;
    let log = open(dir.path(), config).await;
    assert_eq!(log.start(), start);
    assert_eq!(verify_numbered(&log).await, next);
}

#[tokio::test]
async fn unread_records_pause_the_log_and_a_release_lets_it_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { retention_bytes: ByteSize(16 << 10), ..small_segments() };
    let log = open(dir.path(), config).await;
    let mut condition = log.condition();
    let mut next = 0;
    let waiting = loop {
        let receipt = log.append(log.partition(), records(next..next + 10)).await.unwrap();
        next += 10;
        let mut receipt = receipt.0;
        tokio::select! {
            biased;
            resolved = &mut receipt => drop(resolved.unwrap().unwrap()),
            changed = condition.changed() => {
                changed.unwrap();
                break receipt;
            }
        }
        assert!(next < 5000, "the log never pauses");
    };
    let Condition::Paused { reason } = condition.borrow_and_update().clone() else {
        panic!("the log is not paused")
    };
    assert!(reason.starts_with("retention: ") && reason.contains("at offset 0"), "{reason}");
    let end = log.end(log.partition()).await.unwrap();
    assert_eq!(end.0, next - 10, "what waits is not durable");
    assert_eq!(verify_numbered(&log).await, end.0);
    log.release(log.partition(), end).await.unwrap();
    let resolved = tokio::time::timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(resolved.unwrap(), Offset(next));
    tokio::time::timeout(SOON, condition.wait_for(|now| *now == Condition::Writable))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(verify_numbered(&log).await, next);
}

#[tokio::test]
async fn closing_a_paused_log_fails_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { retention_bytes: ByteSize(4 << 10), ..small_segments() };
    let log = open(dir.path(), config.clone()).await;
    let mut condition = log.condition();
    let end = append(&log, records(0..200)).await;
    let waiting = log.append(log.partition(), records(200..210)).await.unwrap();
    condition.wait_for(|now| *now != Condition::Writable).await.unwrap();
    log.close().await;
    assert_eq!(waiting.0.await.unwrap().unwrap_err().code, "CDC-2006");
    assert_eq!(verify_numbered(&open(dir.path(), config).await).await, end.0);
}

/// A clock that is some hours ahead.
struct Ahead(AtomicU64);

impl Clock for Ahead {
    #[expect(clippy::disallowed_methods, reason = "ages are compared with those of real files")]
    fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(3600 * self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn released_records_go_when_they_are_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { retention_hours: 5, ..small_segments() };
    filled(dir.path(), config.clone(), 300).await.close().await;
    let clock = Arc::new(Ahead(AtomicU64::new(4)));
    let hours = Arc::clone(&clock);
    let log = Log::open_with_clock(dir.path(), "p", config, clock).await.unwrap();
    let count = segments(dir.path()).len();
    log.release(log.partition(), Offset(300)).await.unwrap();
    append(&log, records(300..310)).await;
    assert!(segments(dir.path()).len() >= count, "they are not old enough");
    hours.0.store(6, Ordering::Relaxed);
    log.release(log.partition(), Offset(310)).await.unwrap();
    eventually(|| segments(dir.path()).len() == 1).await;
    assert_eq!(verify_numbered(&log).await, 310);
}

#[tokio::test]
async fn a_release_beyond_the_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path(), small_segments(), 10).await;
    assert_eq!(log.release(log.partition(), Offset(11)).await.unwrap_err().code, "CDC-2008");
}

/// Sinks that have nothing to do say nothing after a restart, and must not be waited for.
#[tokio::test]
async fn a_log_full_of_read_records_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let big = Config { retention_bytes: ByteSize(1 << 20), ..small_segments() };
    let log = filled(dir.path(), big, 300).await;
    log.release(log.partition(), Offset(300)).await.unwrap();
    log.close().await;
    let small = Config { retention_bytes: ByteSize(4 << 10), ..small_segments() };
    let log = open(dir.path(), small.clone()).await;
    assert!(log.size_bytes() > 4 << 10);
    append(&log, records(300..310)).await;
    assert_eq!(log.start(), Offset(0), "a sink that is new may want them");
    // What nobody has read since counts as before.
    let mut condition = log.condition();
    let mut next = 310;
    let mut waiting = Vec::new();
    while *condition.borrow_and_update() == Condition::Writable {
        waiting.push(log.append(log.partition(), records(next..next + 10)).await.unwrap());
        next += 10;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(next < 5000, "the log never pauses");
    }
}
