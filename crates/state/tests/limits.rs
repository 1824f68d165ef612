//! Room for dead letters, pages, and the disk.

use bytes::Bytes;
use cdc_core::{
    Position, Retry,
    dead_letter::DeadLetterStore,
    store::{CaptureProgress, CheckpointStore},
};
use cdc_state::{Options, Store};
use cdc_testkit::conformance::store::letter;
use std::{path::PathBuf, process::Command};

fn heavy(sink: &str, number: u64, bytes: usize) -> cdc_core::dead_letter::DeadLetter {
    let mut letter = letter(sink, number);
    letter.payload = Bytes::from(vec![b'p'; bytes]);
    letter
}

#[tokio::test]
async fn dead_letters_stop_at_their_limit_and_go_on_when_room_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let options = Options { dead_letter_bytes_max: 10_000 };
    let store = Store::open_with(&path, options).unwrap();
    store.park(vec![heavy("a", 1, 4_000), heavy("b", 1, 4_000)]).await.unwrap();
    let error = store.park(vec![letter("a", 2), heavy("a", 3, 4_000)]).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-4106", Retry::AfterOperator));
    assert!(error.remedy.is_some());
    assert_eq!(store.count(None).await.unwrap(), 2, "all of a call or nothing of it");
    drop(store);
    let store = Store::open_with(&path, options).unwrap();
    store.park(vec![heavy("a", 3, 4_000)]).await.unwrap_err();
    store.park(vec![heavy("a", 1, 4_000)]).await.expect("it is parked already and needs no room");
    let first = store.list(None, 0, 1).await.unwrap()[0].id;
    store.remove(&[first]).await.unwrap();
    store.park(vec![heavy("a", 3, 4_000)]).await.unwrap();
}

#[tokio::test]
async fn counting_stays_right_over_retries_and_removals() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let options = Options { dead_letter_bytes_max: 3_000 };
    let store = Store::open_with(&path, options).unwrap();
    for round in 1..=50 {
        store.park(vec![heavy("a", round, 1_000)]).await.unwrap();
        let id = store.list(None, 0, 1).await.unwrap()[0].id;
        store.request_retry(&[id]).await.unwrap();
        store.retry_failed(id, "CDC-3101", &"a longer text ".repeat(50)).await.unwrap();
        assert_eq!(store.remove(&[id]).await.unwrap(), 1);
    }
    assert_eq!(store.count(None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_page_is_bounded_by_bytes_and_never_empty_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("state.redb")).unwrap();
    let mebibyte = 1 << 20;
    store.park(vec![heavy("a", 1, 20 * mebibyte)]).await.unwrap();
    for number in 2..=12 {
        store.park(vec![heavy("a", number, mebibyte)]).await.unwrap();
    }
    for sink in [None, Some("a")] {
        let (mut after, mut sizes) = (0, Vec::new());
        loop {
            let page = store.list(sink, after, 1_000).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.id;
            sizes.push(page.len());
        }
        assert_eq!(sizes, [1, 8, 3]);
    }
}

const FOLDER: &str = "CDC_STATE_FULL_FOLDER";

/// Runs with a limit on the size of files, which the kernel answers as it does a full disk.
#[tokio::test]
#[ignore = "child: started by the test below"]
async fn child_fills_its_disk() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = Store::open(PathBuf::from(folder).join("state.redb")).unwrap();
    let epoch = store.begin_epoch(0).await.unwrap();
    let mut parked = 0;
    let error = loop {
        match store.park(vec![heavy("a", parked + 1, 100_000)]).await {
            Ok(()) => parked += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.code, error.retry), ("CDC-4104", Retry::Backoff), "{}", error.chain());
    let progress =
        CaptureProgress { position: Position::new(5, 5), resume: Bytes::from(vec![1; 500_000]) };
    let error = store.save_capture(epoch, &progress).await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-4104", Retry::Backoff), "{}", error.chain());
    assert!(parked > 3, "{parked} letters");

    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: maximum, maximum }).unwrap();
    store.save_capture(epoch, &progress).await.expect("room was made");
    assert_eq!(store.count(None).await.unwrap(), parked);
    assert_eq!(store.load_capture().await.unwrap(), Some(progress));
    println!("went on");
}

#[test]
fn a_full_disk_fails_calls_and_room_on_it_heals_them() {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 8192; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "limits::child_fills_its_disk", "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&child.stdout);
    let err = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && out.contains("went on"), "{out}\n{err}");
}
