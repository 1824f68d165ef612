//! What happens when the disk fails, which no real disk does on demand.

use crate::{
    config::{ByteSize, Config},
    disk::Disk,
    log::{self, EmbeddedTransport},
};
use bytes::Bytes;
use cdc_core::{
    Offset, Position, Record, Transport,
    clock::SystemClock,
    transport::{AppendReceipt, Condition},
};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{Arc, Mutex},
};

/// What the disk does instead of the next write.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Write(io::ErrorKind),
    /// Writes this many bytes, as a disk does that is nearly full.
    Short(usize),
    Sync(io::ErrorKind),
    Cut(io::ErrorKind),
}

#[derive(Clone, Debug, Default)]
struct FaultyDisk(Arc<Mutex<VecDeque<Fault>>>);

impl FaultyDisk {
    fn next(&mut self, applies: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap();
        if faults.front().is_some_and(applies) { faults.pop_front() } else { None }
    }
}

impl Disk for FaultyDisk {
    fn write(&mut self, file: &File, at: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let first = pieces.iter().find(|piece| !piece.is_empty()).unwrap();
        match self.next(|fault| matches!(fault, Fault::Write(_) | Fault::Short(_))) {
            Some(Fault::Write(kind)) => Err(kind.into()),
            Some(Fault::Short(bytes)) => file.write_at(&first[..bytes.min(first.len())], at),
            _ => file.write_at(first, at),
        }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        match self.next(|fault| matches!(fault, Fault::Sync(_))) {
            Some(Fault::Sync(kind)) => Err(kind.into()),
            _ => file.sync_data(),
        }
    }

    fn cut(&mut self, file: &File, bytes: u64) -> io::Result<()> {
        match self.next(|fault| matches!(fault, Fault::Cut(_))) {
            Some(Fault::Cut(kind)) => Err(kind.into()),
            _ => file.set_len(bytes),
        }
    }
}

fn open(dir: &Path, faults: &[Fault]) -> (EmbeddedTransport, FaultyDisk) {
    let disk = FaultyDisk(Arc::new(Mutex::new(faults.iter().copied().collect())));
    let config = Config { segment_bytes: ByteSize(4 << 10), ..Config::default() };
    let boxed = Box::new(disk.clone());
    let log = log::open(dir.to_owned(), "p", config, boxed, Arc::new(SystemClock)).unwrap();
    (log, disk)
}

fn batch(commit: u128) -> Vec<Record> {
    let record = |ordinal| Record {
        key: Bytes::new(),
        payload: Bytes::from(vec![commit.to_le_bytes()[0]; 100]),
        headers: Vec::new(),
        position: Position::new(commit, ordinal),
    };
    (1..=10).map(record).collect()
}

async fn append(log: &EmbeddedTransport, commit: u128) -> AppendReceipt {
    log.append(log.partition(), batch(commit)).await.unwrap()
}

async fn acknowledged(log: &EmbeddedTransport, commit: u128) -> Offset {
    append(log, commit).await.0.await.unwrap().unwrap()
}

async fn verify(log: &EmbeddedTransport, commits: &[u128]) {
    let expected: Vec<_> = commits.iter().flat_map(|commit| batch(*commit)).collect();
    let mut reader = log.read(log.partition(), Offset(0)).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        let batch = reader.next(1 << 20).await.unwrap();
        seen.extend(batch.records.into_iter().map(|stored| stored.record));
    }
    assert_eq!(seen, expected);
    let end = log.end(log.partition()).await.unwrap();
    assert_eq!(end.0, expected.len() as u64);
}

#[tokio::test]
async fn a_failed_sync_ends_the_open_log_and_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open(dir.path(), &[]);
    acknowledged(&log, 1).await;
    disk.0.lock().unwrap().push_back(Fault::Sync(io::ErrorKind::Other));
    let receipt = append(&log, 2).await;
    let error = receipt.0.await.unwrap().unwrap_err();
    assert_eq!(error.code, "CDC-2005");
    let later = log.append(log.partition(), batch(3)).await.unwrap_err();
    assert_eq!(later.code, "CDC-2005", "{later}");
    drop(log);
    let (log, _) = open(dir.path(), &[]);
    verify(&log, &[1]).await;
    acknowledged(&log, 2).await;
    verify(&log, &[1, 2]).await;
}

#[tokio::test]
async fn everything_behind_a_failed_append_fails_too() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &[Fault::Sync(io::ErrorKind::Other)]);
    let mut receipts = Vec::new();
    for commit in 1..50 {
        match log.append(log.partition(), batch(commit)).await {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => assert_eq!(error.code, "CDC-2005"),
        }
    }
    assert!(!receipts.is_empty());
    for receipt in receipts {
        assert_eq!(receipt.0.await.unwrap().unwrap_err().code, "CDC-2005");
    }
    drop(log);
    let (log, _) = open(dir.path(), &[]);
    verify(&log, &[]).await;
}

#[tokio::test]
async fn a_write_error_ends_the_open_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path(), &[Fault::Short(30), Fault::Write(io::ErrorKind::Other)]);
    let receipt = append(&log, 1).await;
    assert_eq!(receipt.0.await.unwrap().unwrap_err().code, "CDC-2005");
    drop(log);
    let (log, _) = open(dir.path(), &[]);
    verify(&log, &[]).await;
}

#[tokio::test]
async fn short_and_interrupted_writes_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let faults = [Fault::Short(1), Fault::Write(io::ErrorKind::Interrupted), Fault::Short(57)];
    let (log, disk) = open(dir.path(), &faults);
    acknowledged(&log, 1).await;
    acknowledged(&log, 2).await;
    assert!(disk.0.lock().unwrap().is_empty());
    verify(&log, &[1, 2]).await;
}

#[tokio::test]
async fn a_full_disk_is_tried_again_from_the_last_durable_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (log, disk) = open(dir.path(), &[]);
    let mut condition = log.condition();
    acknowledged(&log, 1).await;
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        disk.0.lock().unwrap().extend([Fault::Short(100), Fault::Write(kind)]);
    }
    let receipt = append(&log, 2).await;
    condition.wait_for(|now| matches!(now, Condition::Paused { .. })).await.unwrap();
    assert_eq!(receipt.0.await.unwrap().unwrap(), Offset(20));
    condition.wait_for(|now| *now == Condition::Writable).await.unwrap();
    verify(&log, &[1, 2]).await;
    drop(log);
    let (log, _) = open(dir.path(), &[]);
    verify(&log, &[1, 2]).await;
}

#[tokio::test]
async fn a_failed_write_that_cannot_be_cut_back_ends_the_open_log() {
    let dir = tempfile::tempdir().unwrap();
    let faults = [
        Fault::Short(100),
        Fault::Write(io::ErrorKind::StorageFull),
        Fault::Cut(io::ErrorKind::Other),
    ];
    let (log, _) = open(dir.path(), &faults);
    let receipt = append(&log, 1).await;
    assert_eq!(receipt.0.await.unwrap().unwrap_err().code, "CDC-2005");
    drop(log);
    let (log, _) = open(dir.path(), &[]);
    acknowledged(&log, 2).await;
    verify(&log, &[2]).await;
}
