//! The embedded log against the shared suite, crashes, damage, full disks and a model of itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

/// The shared suite.
mod conformance;
/// A process killed while it appends.
mod crash;
/// A full file system.
mod disk_full;
/// Readers in another process.
mod follow;
/// The bytes of frames.
mod format;
/// Inputs that the fuzzer keeps.
mod fuzz_regressions;
/// The log against a model.
mod model;
/// Who may open what.
mod opening;
/// Torn tails and damage.
mod recovery;
/// Removal and the pause before it.
mod retention;

use bytes::Bytes;
use cdc_core::{Offset, Position, Record, StoredRecord, Transport};
use cdc_transport_embedded::{ByteSize, Config, EmbeddedTransport, Log};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// What should happen at once happens within this time on a slow machine.
const SOON: Duration = Duration::from_secs(30);

/// Segments of a few records.
fn small_segments() -> Config {
    Config { segment_bytes: ByteSize(4 << 10), ..Config::default() }
}

async fn open(dir: &Path, config: Config) -> EmbeddedTransport {
    Log::open(dir, "p", config).await.unwrap()
}

/// Record number `number`: everything about it follows from the number.
fn record(number: u64) -> Record {
    let position = Position::new(u128::from(number / 10) + 1000, number % 10 + 1);
    let payload: Vec<u8> = (0..number % 150).map(|byte| (byte ^ number) as u8).collect();
    let key = Bytes::copy_from_slice(&number.to_be_bytes()[..(number % 9) as usize]);
    Record { key, headers: Vec::new(), payload: payload.into(), position }
}

fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(record).collect()
}

async fn append(log: &EmbeddedTransport, records: Vec<Record>) -> Offset {
    let receipt = log.append(log.partition(), records).await.unwrap();
    tokio::time::timeout(SOON, receipt.0).await.unwrap().unwrap().unwrap()
}

async fn read_all(log: &EmbeddedTransport, from: Offset) -> cdc_core::Result<Vec<StoredRecord>> {
    let end = log.end(log.partition()).await?;
    let mut reader = log.read(log.partition(), from).await?;
    let mut seen = Vec::new();
    let mut next = from;
    while next < end {
        let batch = tokio::time::timeout(SOON, reader.next(10_000)).await.unwrap()?;
        next = batch.next;
        seen.extend(batch.records);
    }
    Ok(seen)
}

/// Everything from the start is record 0, 1, 2 … at offset 0, 1, 2 …; says how many.
async fn verify_numbered(log: &EmbeddedTransport) -> u64 {
    let read = read_all(log, log.start()).await.unwrap();
    for (stored, number) in read.iter().zip(log.start().0..) {
        assert_eq!(stored.offset, Offset(number));
        assert_eq!(stored.record, record(number));
    }
    log.start().0 + read.len() as u64
}

/// The segment files, in order.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut out: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "segment"))
        .collect();
    out.sort();
    out
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn flip(path: &Path, byte: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte as usize] ^= 0x10;
    fs::write(path, bytes).unwrap();
}
