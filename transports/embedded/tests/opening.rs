use crate::{append, open, read_all, records, segments};
use cdc_core::{Offset, TopicPartition, Transport};
use cdc_transport_embedded::{ByteSize, Config, Log};
use rustix::process::{self, PidfdFlags, PidfdGetfdFlags};
use std::{fs, os::fd::OwnedFd, path::Path};

#[tokio::test]
async fn a_second_writer_is_refused_and_told_who_holds_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Config::default()).await;
    let error = Log::open(dir.path(), "p", Config::default()).await.unwrap_err();
    assert_eq!(error.code, "CDC-2001");
    assert!(error.to_string().contains("this process"), "{error}");
    drop(log);
    open(dir.path(), Config::default()).await;
}

/// A child has every file of its parent until it runs its own program.
#[tokio::test]
async fn a_closed_log_is_free_although_a_child_holds_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Config::default()).await;
    // The lock's file description, as a forked child would share it.
    let held = match lock_descriptions(dir.path()) {
        Ok(held) => held,
        Err(error) => {
            eprintln!("skipped: cannot duplicate a file description: {error}");
            return;
        }
    };
    assert_eq!(held.len(), 1);
    log.close().await;
    open(dir.path(), Config::default()).await;
}

/// This process's own handles on the lock file, duplicated. Some sandboxes forbid it.
fn lock_descriptions(dir: &Path) -> rustix::io::Result<Vec<OwnedFd>> {
    let lock = dir.join("lock").canonicalize().unwrap();
    let own = process::pidfd_open(process::getpid(), PidfdFlags::empty())?;
    let open = fs::read_dir("/proc/self/fd").unwrap().map(Result::unwrap);
    let holding = open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == lock));
    let numbers = holding.map(|entry| entry.file_name().to_str().unwrap().parse().unwrap());
    numbers.map(|fd| process::pidfd_getfd(&own, fd, PidfdGetfdFlags::empty())).collect()
}

#[tokio::test]
async fn closing_writes_what_was_accepted_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Config::default()).await;
    let mut reader = log.read(log.partition(), Offset(0)).await.unwrap();
    let receipt = log.append(log.partition(), records(0..1000)).await.unwrap();
    log.close().await;
    assert_eq!(receipt.0.await.unwrap().unwrap(), Offset(1000));
    let error = log.append(log.partition(), records(0..1)).await.unwrap_err();
    assert_eq!(error.code, "CDC-2006");
    let mut seen = 0;
    while seen < 1000 {
        seen += reader.next(1 << 20).await.unwrap().records.len();
    }
    assert_eq!(reader.next(1000).await.unwrap_err().code, "CDC-2006");
    assert_eq!(
        read_all(&open(dir.path(), Config::default()).await, Offset(0)).await.unwrap().len(),
        1000
    );
}

#[tokio::test]
async fn a_closed_log_wakes_readers_at_its_tail() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Config::default()).await;
    let mut reader = log.read(log.partition(), Offset(0)).await.unwrap();
    let (read, ()) = tokio::join!(reader.next(1000), log.close());
    assert_eq!(read.unwrap_err().code, "CDC-2006");
}

#[tokio::test]
async fn only_its_own_partition_exists() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Config::default()).await;
    for other in [TopicPartition::new("p", 1), TopicPartition::new("q", 0)] {
        assert_eq!(log.append(&other, records(0..1)).await.unwrap_err().code, "CDC-2009");
        assert_eq!(log.end(&other).await.unwrap_err().code, "CDC-2009");
        assert_eq!(log.read(&other, Offset(0)).await.err().unwrap().code, "CDC-2009");
    }
}

#[tokio::test]
async fn a_new_log_has_a_new_identity_and_keeps_it() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = open(one.path(), Config::default()).await.log();
    let second = open(two.path(), Config::default()).await.log();
    assert_ne!(first, second);
    let log = open(one.path(), Config::default()).await;
    assert_eq!(log.log(), first);
    append(&log, records(0..5)).await;
    drop(log);
    fs::remove_file(one.path().join("durable")).unwrap();
    assert_eq!(open(one.path(), Config::default()).await.log(), first);
    assert_eq!(segments(one.path()).len(), 1);
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { segment_bytes: ByteSize(100), ..Config::default() };
    assert_eq!(Log::open(dir.path(), "p", config).await.unwrap_err().code, "CDC-2013");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Log::open(file.join("log"), "p", Config::default()).await.unwrap_err();
    assert_eq!(error.code, "CDC-2002");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}
