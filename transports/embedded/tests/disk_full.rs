use crate::{SOON, append, open, records, verify_numbered};
use cdc_core::{Transport, transport::Condition};
use cdc_transport_embedded::{ByteSize, Config};
use std::{fs, path::Path, process::Command, time::Duration};

/// A small file system of its own; mounting needs privileges that not every machine gives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => {
                eprintln!("skipped: cannot mount: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                eprintln!("skipped: cannot run mount: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("{} stays mounted", self.0.path().display());
        }
    }
}

fn config() -> Config {
    Config { segment_bytes: ByteSize(256 << 10), ..Config::default() }
}

#[tokio::test]
async fn a_full_disk_is_a_pause_without_loss() {
    let Some(disk) = SmallDisk::mount("size=2m") else { return };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let dir = disk.path().join("log");
    let log = open(&dir, config()).await;
    let mut condition = log.condition();
    let mut receipts = Vec::new();
    let mut next = 0;
    while *condition.borrow_and_update() == Condition::Writable {
        receipts.push(log.append(log.partition(), records(next..next + 500)).await.unwrap());
        next += 500;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(next < 1_000_000, "the disk never fills");
    }
    let Condition::Paused { reason } = condition.borrow().clone() else { unreachable!() };
    assert!(reason.starts_with("disk full: "), "{reason}");
    assert!(reason.contains(dir.to_str().unwrap()), "{reason}");
    // What is durable stays readable, and what is not stays pending.
    let durable = verify_numbered(&log).await;
    assert!(durable < next);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_ne!(*log.condition().borrow(), Condition::Writable);
    assert_eq!(log.end(log.partition()).await.unwrap().0, durable);
    fs::remove_file(&ballast).unwrap();
    for receipt in receipts {
        tokio::time::timeout(SOON, receipt.0).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(*log.condition().borrow(), Condition::Writable);
    assert_eq!(verify_numbered(&log).await, next);
    log.close().await;
    let log = open(&dir, config()).await;
    assert_eq!(verify_numbered(&log).await, next);
}

#[tokio::test]
async fn a_process_that_ends_on_a_full_disk_leaves_a_whole_log() {
    let Some(disk) = SmallDisk::mount("size=1m") else { return };
    let dir = disk.path().join("log");
    let log = open(&dir, config()).await;
    let mut condition = log.condition();
    let mut waiting = Vec::new();
    let mut next = 0;
    while *condition.borrow_and_update() == Condition::Writable {
        waiting.push(log.append(log.partition(), records(next..next + 500)).await.unwrap());
        next += 500;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    log.close().await;
    let mut acknowledged = 0;
    for receipt in waiting {
        match receipt.0.await.unwrap() {
            Ok(end) => acknowledged = end.0,
            Err(error) => assert_eq!(error.code, "CDC-2006"),
        }
    }
    drop(log);
    let log = open(&dir, config()).await;
    let kept = verify_numbered(&log).await;
    assert!(acknowledged > 0 && kept >= acknowledged, "{kept} of {acknowledged}");
    assert!(kept < next);
}

#[tokio::test]
async fn a_new_segment_waits_for_space_too() {
    // Few inodes: a file cannot be created while there is room for bytes.
    let Some(disk) = SmallDisk::mount("size=8m,nr_inodes=8") else { return };
    let dir = disk.path().join("log");
    let log = open(&dir, Config { segment_bytes: ByteSize(4 << 10), ..Config::default() }).await;
    let mut condition = log.condition();
    let mut waiting = Vec::new();
    let mut next = 0;
    while *condition.borrow_and_update() == Condition::Writable {
        waiting.push(log.append(log.partition(), records(next..next + 10)).await.unwrap());
        next += 10;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(next < 100_000, "inodes never run out");
    }
    assert!(!dir.join("unfinished.segment.new").exists());
    let remount = Command::new("mount")
        .args(["-o", "remount,size=8m,nr_inodes=1000"])
        .arg(disk.path())
        .status();
    assert!(remount.unwrap().success());
    for receipt in waiting {
        tokio::time::timeout(SOON, receipt.0).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(append(&log, records(next..next + 1)).await.0, next + 1);
    assert_eq!(verify_numbered(&log).await, next + 1);
}
