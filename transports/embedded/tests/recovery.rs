use crate::{
    append, copy_dir, flip, open, read_all, record, records, segments, small_segments,
    verify_numbered,
};
use cdc_core::{Offset, Retry, Transport};
use cdc_transport_embedded::{
    Config, Log,
    frame::{self, Cut, Seal},
};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A closed log whose records 0..30 were acknowledged in three appends, and the bytes of a write of
/// 31..36 in two frames that a crash may have left behind.
async fn crashed() -> (TempDir, PathBuf, Vec<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), Config::default()).await;
    for start in [0, 10, 20] {
        append(&log, records(start..start + 10)).await;
    }
    let seal = Seal::of(log.log());
    log.close().await;
    let write = [30..33, 33..36].map(|numbers| {
        let base = numbers.start;
        let mut frame = frame::encode(records(numbers), Cut::default()).unwrap().remove(0);
        frame.place(base, 30, seal);
        frame.pieces().flatten().copied().collect()
    });
    let segment = segments(dir.path()).remove(0);
    (dir, segment, write.into())
}

fn write_tail(segment: &Path, acknowledged: &[u8], tail: &[u8]) {
    fs::write(segment, [acknowledged, tail].concat()).unwrap();
}

async fn opens_with(dir: &Path, count: u64) {
    let log = open(dir, Config::default()).await;
    assert_eq!(verify_numbered(&log).await, count);
    let newest = log.newest(log.partition()).await.unwrap();
    assert_eq!(newest, Some(record(count - 1).position));
    append(&log, records(count..count + 5)).await;
    log.close().await;
    let log = open(dir, Config::default()).await;
    assert_eq!(verify_numbered(&log).await, count + 5);
}

async fn refused(dir: &Path, code: &str) -> String {
    let error = Log::open(dir, "p", Config::default()).await.unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert_eq!(error.retry, Retry::AfterOperator);
    assert!(error.remedy.is_some());
    error.to_string()
}

#[tokio::test]
async fn every_truncation_of_the_last_write_keeps_what_was_acknowledged() {
    let (dir, segment, write) = crashed().await;
    let acknowledged = fs::read(&segment).unwrap();
    let marker = fs::read(dir.path().join("durable")).unwrap();
    let tail = write.concat();
    for length in 0..=tail.len() {
        write_tail(&segment, &acknowledged, &tail[..length]);
        fs::write(dir.path().join("durable"), &marker).unwrap();
        let whole = match length {
            length if length == tail.len() => 36,
            length if length >= write[0].len() => 33,
            _ => 30,
        };
        opens_with(dir.path(), whole).await;
    }
}

#[tokio::test]
async fn holes_in_the_last_write_are_cut() {
    let (dir, segment, write) = crashed().await;
    let acknowledged = fs::read(&segment).unwrap();
    let marker = fs::read(dir.path().join("durable")).unwrap();
    let zeros = |frame: &[u8]| vec![0; frame.len()];
    let half = |frame: &[u8]| {
        let (kept, lost) = frame.split_at(frame.len() / 2);
        [kept, &vec![0; lost.len()]].concat()
    };
    let tails = [
        ([zeros(&write[0]), write[1].clone()].concat(), 30),
        ([half(&write[0]), write[1].clone()].concat(), 30),
        ([write[0].clone(), zeros(&write[1])].concat(), 33),
        ([write[0].clone(), half(&write[1])].concat(), 33),
        (vec![0; 100_000], 30),
        (vec![0xa5; 3 << 20], 30),
    ];
    for with_marker in [true, false] {
        for (tail, whole) in &tails {
            write_tail(&segment, &acknowledged, tail);
            if with_marker {
                fs::write(dir.path().join("durable"), &marker).unwrap();
            } else {
                fs::remove_file(dir.path().join("durable")).unwrap();
            }
            opens_with(dir.path(), *whole).await;
        }
    }
}

/// A frame that was cut must not come back once what is missing before it is written again.
#[tokio::test]
async fn what_was_cut_stays_cut() {
    let (dir, segment, write) = crashed().await;
    let acknowledged = fs::read(&segment).unwrap();
    write_tail(&segment, &acknowledged, &[&vec![0; write[0].len()], &write[1][..]].concat());
    let log = open(dir.path(), Config::default()).await;
    append(&log, records(30..33)).await;
    log.close().await;
    let log = open(dir.path(), Config::default()).await;
    assert_eq!(verify_numbered(&log).await, 33);
}

#[tokio::test]
async fn any_damage_to_acknowledged_records_is_refused() {
    let (dir, segment, write) = crashed().await;
    let acknowledged = fs::read(&segment).unwrap();
    for byte in 0..acknowledged.len() {
        // A torn tail behind the damage makes no difference.
        write_tail(&segment, &acknowledged, &write[0][..byte % write[0].len()]);
        flip(&segment, byte as u64);
        let error = Log::open(dir.path(), "p", Config::default()).await.unwrap_err();
        let expected: &[&str] = if byte < 12 { &["CDC-2003", "CDC-2004"] } else { &["CDC-2003"] };
        assert!(expected.contains(&error.code), "byte {byte}: {error}");
        assert!(error.to_string().contains(segment.to_str().unwrap()), "{error}");
    }
}

/// A power loss may take the marker's newest state or the marker itself.
#[tokio::test]
async fn frames_behind_the_damage_prove_it_without_the_marker() {
    let (dir, segment, write) = crashed().await;
    let acknowledged = fs::read(&segment).unwrap();
    let third = acknowledged.len() as u64 / 3;
    for byte in 64..2 * third {
        write_tail(&segment, &acknowledged, &write[0]);
        flip(&segment, byte);
        drop(fs::remove_file(dir.path().join("durable")));
        let text = refused(dir.path(), "CDC-2003").await;
        assert!(text.contains("damaged at byte") && text.contains("acknowledged"), "{text}");
    }
}

#[tokio::test]
async fn a_shortened_log_is_refused() {
    let (dir, segment, _) = crashed().await;
    let acknowledged = fs::read(&segment).unwrap();
    for length in [acknowledged.len() - 1, acknowledged.len() / 2, 64] {
        fs::write(&segment, &acknowledged[..length]).unwrap();
        refused(dir.path(), "CDC-2003").await;
    }
    fs::remove_file(&segment).unwrap();
    let text = refused(dir.path(), "CDC-2012").await;
    assert!(text.contains("up to offset 30"), "{text}");
}

#[tokio::test]
async fn a_repeated_or_skipped_frame_is_refused() {
    let (dir, segment, write) = crashed().await;
    let acknowledged = fs::read(&segment).unwrap();
    write_tail(&segment, &acknowledged, &[&write[0][..], &write[0][..]].concat());
    refused(dir.path(), "CDC-2003").await;
    write_tail(&segment, &acknowledged, &write[1]);
    refused(dir.path(), "CDC-2003").await;
}

/// A log of several segments with `count` records.
async fn segmented(count: u64) -> (TempDir, Vec<PathBuf>) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_segments()).await;
    for number in 0..count / 10 {
        append(&log, records(number * 10..number * 10 + 10)).await;
    }
    log.close().await;
    let segments = segments(dir.path());
    assert!(segments.len() > 4, "{}", segments.len());
    (dir, segments)
}

#[tokio::test]
async fn a_missing_or_shortened_segment_is_refused_and_named() {
    let (dir, segments) = segmented(300).await;
    let copy = tempfile::tempdir().unwrap();
    for (index, segment) in segments.iter().enumerate().skip(1) {
        copy_dir(dir.path(), copy.path());
        let inner = copy.path().join(segment.file_name().unwrap());
        fs::remove_file(&inner).unwrap();
        let last = index + 1 == segments.len();
        let text = refused(copy.path(), if last { "CDC-2003" } else { "CDC-2012" }).await;
        assert!(last || text.contains(inner.to_str().unwrap()), "{text}");

        copy_dir(dir.path(), copy.path());
        let bytes = fs::read(&inner).unwrap();
        fs::write(&inner, &bytes[..bytes.len() - 1]).unwrap();
        let text = refused(copy.path(), "CDC-2003").await;
        assert!(text.contains(inner.to_str().unwrap()), "{text}");
        fs::remove_dir_all(copy.path()).unwrap();
    }
}

#[tokio::test]
async fn damage_in_an_older_segment_stops_the_reader_there() {
    let (dir, segments) = segmented(300).await;
    let middle = &segments[2];
    flip(middle, fs::metadata(middle).unwrap().len() / 2);
    let log = open(dir.path(), small_segments()).await;
    let error = read_all(&log, Offset(0)).await.unwrap_err();
    assert_eq!(error.code, "CDC-2003");
    assert!(error.to_string().contains(middle.to_str().unwrap()), "{error}");
    // What comes before and after it is still served.
    let base: u64 = segments[3].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let rest = read_all(&log, Offset(base)).await.unwrap();
    assert_eq!(rest.last().unwrap().record, record(299));
}

#[tokio::test]
async fn segments_of_two_logs_do_not_mix() {
    let (dir, segments) = segmented(300).await;
    let (_other, others) = segmented(300).await;
    fs::copy(&others[2], &segments[2]).unwrap();
    refused(dir.path(), "CDC-2004").await;
    fs::copy(others[2].with_file_name("durable"), dir.path().join("durable")).unwrap();
    refused(dir.path(), "CDC-2004").await;
}

#[tokio::test]
async fn a_newer_format_is_called_newer() {
    let (dir, segment, _) = crashed().await;
    let mut bytes = fs::read(&segment).unwrap();
    bytes[8] = 9;
    fs::write(&segment, bytes).unwrap();
    let text = refused(dir.path(), "CDC-2004").await;
    assert!(text.contains("version 9"), "{text}");
}

#[tokio::test]
async fn a_crash_while_a_segment_is_created_leaves_no_trace() {
    let (dir, _) = segmented(300).await;
    fs::write(dir.path().join("unfinished.segment.new"), b"CDCSE").unwrap();
    let log = open(dir.path(), small_segments()).await;
    assert_eq!(verify_numbered(&log).await, 300);
    assert!(!dir.path().join("unfinished.segment.new").exists());
}

#[tokio::test]
async fn an_empty_last_segment_does_not_hide_the_newest_position() {
    let (dir, segments) = segmented(300).await;
    let last = segments.last().unwrap();
    let base: u64 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let bytes = fs::read(last).unwrap();
    fs::write(last, &bytes[..64]).unwrap();
    fs::remove_file(dir.path().join("durable")).unwrap();
    let log = open(dir.path(), small_segments()).await;
    assert_eq!(verify_numbered(&log).await, base);
    let newest = log.newest(log.partition()).await.unwrap();
    assert_eq!(newest, Some(record(base - 1).position));
}
