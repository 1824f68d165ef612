//! What every transport must do.
//!
//! `reopen` gives the transport as a new process would find it: on the first call an empty one,
//! later one with everything that was acknowledged. The suite drops a transport before it opens the
//! next.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite fails by panicking")]

use bytes::Bytes;
use cdc_core::{
    Offset, PartitionReader, Position, Record, StoredRecord, TopicPartition, Transport,
    transport::{AppendReceipt, Condition, MembershipEvent},
};
use futures::future::join_all;
use std::{future::Future, time::Duration};

/// What should happen at once happens within this time on a slow machine.
const SOON: Duration = Duration::from_secs(30);
/// What should not happen is waited for this long.
const WHILE: Duration = Duration::from_millis(50);

/// Runs the promises of [`Transport`] and [`PartitionReader`].
pub async fn transport<T: Transport>(reopen: impl AsyncFn() -> T) {
    an_empty_log_says_so(&reopen().await).await;
    records_come_back_in_order_with_their_offsets(&reopen().await).await;
    receipts_resolve_in_append_order(&reopen().await).await;
    an_append_without_records_resolves(&reopen().await).await;
    newest_is_the_last_durable_position(&reopen().await).await;
    readers_start_at_any_offset(&reopen().await).await;
    readers_stay_about_within_their_bytes(&reopen().await).await;
    a_reader_at_the_tail_wakes(&reopen().await).await;
    a_cancelled_read_consumes_nothing(&reopen().await).await;
    big_records_pass(&reopen().await).await;
    many_readers_see_the_same(&reopen().await).await;
    concurrent_appends_stay_whole(&reopen().await).await;
    a_membership_assigns_the_partition(&reopen().await).await;
    unknown_offsets_are_refused(&reopen().await).await;
    a_release_keeps_what_follows(&reopen().await).await;
    what_was_acknowledged_survives(&reopen).await;
    any_position_passes(&reopen().await).await;
    assert_eq!(*reopen().await.condition().borrow(), Condition::Writable);
}

async fn an_empty_log_says_so(log: &impl Transport) {
    let partition = partition(log);
    assert_eq!(log.newest(&partition).await.unwrap(), None);
    let end = log.end(&partition).await.unwrap();
    let mut reader = log.read(&partition, end).await.unwrap();
    waits(reader.next(1000)).await;
    assert_eq!(*log.condition().borrow(), Condition::Writable);
}

async fn records_come_back_in_order_with_their_offsets(log: &impl Transport) {
    let partition = partition(log);
    let start = log.end(&partition).await.unwrap();
    let records = numbered(1, 1..=500);
    let end = acknowledged(log, records.clone()).await;
    assert_eq!(log.end(&partition).await.unwrap(), end);
    let read = read_all(log, start, 1 << 20).await;
    assert_eq!(plain(&read), records);
    assert_eq!(read.first().unwrap().offset, start);
    assert!(read.is_sorted_by(|left, right| left.offset < right.offset), "offsets grow");
    assert!(read.last().unwrap().offset < end);
}

async fn receipts_resolve_in_append_order(log: &impl Transport) {
    let mut receipts = Vec::new();
    for commit in 0..50 {
        receipts.push(append(log, numbered(100 + commit, 1..=3)).await);
    }
    let mut before = Offset(0);
    while let Some(mut last) = receipts.pop() {
        let end = soon(&mut last.0).await.unwrap().unwrap();
        for earlier in &mut receipts {
            let end_earlier = earlier.0.try_recv().unwrap_or_else(|_| {
                panic!("the receipt before offset {end} resolved later than the one after it")
            });
            let end_earlier = end_earlier.unwrap();
            assert!(before < end_earlier && end_earlier < end, "{before} {end_earlier} {end}");
            before = end_earlier;
        }
        receipts.clear();
    }
}

async fn an_append_without_records_resolves(log: &impl Transport) {
    let partition = partition(log);
    let before = append(log, numbered(200, 1..=1)).await;
    let empty = append(log, Vec::new()).await;
    let end = soon(empty.0).await.unwrap().unwrap();
    assert_eq!(soon(before.0).await.unwrap().unwrap(), end);
    assert_eq!(log.end(&partition).await.unwrap(), end);
}

async fn newest_is_the_last_durable_position(log: &impl Transport) {
    let partition = partition(log);
    acknowledged(log, numbered(300, 1..=7)).await;
    let newest = log.newest(&partition).await.unwrap();
    assert_eq!(newest, Some(Position::new(300, 7)));
}

async fn readers_start_at_any_offset(log: &impl Transport) {
    let start = log.end(&partition(log)).await.unwrap();
    let records = numbered(400, 1..=40);
    for part in records.chunks(7) {
        acknowledged(log, part.to_vec()).await;
    }
    let all = read_all(log, start, 1 << 20).await;
    assert_eq!(plain(&all), records);
    for (skipped, first) in all.iter().enumerate() {
        let rest = read_all(log, first.offset, 100).await;
        assert_eq!(rest, all.iter().skip(skipped).cloned().collect::<Vec<_>>());
    }
}

async fn readers_stay_about_within_their_bytes(log: &impl Transport) {
    let partition = partition(log);
    let start = log.end(&partition).await.unwrap();
    let records: Vec<_> = (1..=64).map(|ordinal| sized(500, ordinal, 1000)).collect();
    let end = acknowledged(log, records.clone()).await;
    let mut reader = log.read(&partition, start).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < records.len() {
        let batch = soon(reader.next(10_000)).await.unwrap();
        assert!(!batch.records.is_empty() && batch.records.len() <= 20, "{}", batch.records.len());
        assert!(batch.next > batch.records.last().unwrap().offset);
        assert_eq!(batch.end, end);
        seen.extend(batch.records);
    }
    assert_eq!(plain(&seen), records);
    let mut reader = log.read(&partition, start).await.unwrap();
    for expected in &records {
        let batch = soon(reader.next(1)).await.unwrap();
        assert_eq!(
            plain(&batch.records),
            std::slice::from_ref(expected),
            "a large one comes alone"
        );
    }
}

async fn a_reader_at_the_tail_wakes(log: &impl Transport) {
    let partition = partition(log);
    let end = log.end(&partition).await.unwrap();
    let mut reader = log.read(&partition, end).await.unwrap();
    for ordinal in 1..=20 {
        let record = sized(600, ordinal, 10);
        let wake = async {
            waits(std::future::pending::<()>()).await;
            acknowledged(log, vec![record.clone()]).await
        };
        let (batch, end) = soon(async { tokio::join!(reader.next(1000), wake) }).await;
        let batch = batch.unwrap();
        assert_eq!(plain(&batch.records), [record]);
        assert_eq!((batch.next, batch.end), (end, end));
    }
}

async fn a_cancelled_read_consumes_nothing(log: &impl Transport) {
    let partition = partition(log);
    let start = log.end(&partition).await.unwrap();
    let mut reader = log.read(&partition, start).await.unwrap();
    waits(reader.next(1000)).await;
    let records = numbered(700, 1..=300);
    acknowledged(log, records.clone()).await;
    let mut seen = Vec::new();
    let mut cancelled = 0;
    while seen.len() < records.len() {
        // Polled once and dropped: whatever it had begun must not be missed later.
        if let Some(batch) = polled_once(reader.next(500)).await {
            seen.extend(batch.unwrap().records);
        } else {
            cancelled += 1;
        }
        if seen.len() < records.len() && cancelled % 3 == 2 {
            seen.extend(soon(reader.next(500)).await.unwrap().records);
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(plain(&seen), records);
}

async fn big_records_pass(log: &impl Transport) {
    let start = log.end(&partition(log)).await.unwrap();
    let sizes = [0, 1, 5_000_000, 3, 1_048_576, 300_000, 0];
    let records: Vec<_> =
        (1..).zip(sizes).map(|(ordinal, size)| sized(800, ordinal, size)).collect();
    acknowledged(log, records.clone()).await;
    for bytes_max in [1, 1000, 1 << 20, 1 << 30] {
        assert!(plain(&read_all(log, start, bytes_max).await) == records, "{bytes_max}");
    }
}

async fn any_position_passes(log: &impl Transport) {
    let start = log.end(&partition(log)).await.unwrap();
    let numbers = [(900, 1), (900, 1), (900, u64::MAX), (900, 0), (u128::MAX, 7), (0, 0), (901, 5)];
    let records: Vec<_> =
        numbers.iter().map(|(commit, ordinal)| sized(*commit, *ordinal, 3)).collect();
    acknowledged(log, records.clone()).await;
    assert_eq!(plain(&read_all(log, start, 1000).await), records);
}

async fn many_readers_see_the_same(log: &impl Transport) {
    let partition = partition(log);
    let start = log.end(&partition).await.unwrap();
    let records = numbered(1000, 1..=400);
    let reads = (1..=8).map(|share| {
        let (partition, count) = (partition.clone(), records.len());
        async move {
            let mut reader = log.read(&partition, start).await.unwrap();
            take(reader.as_mut(), count, share * 50).await
        }
    });
    let writes = async {
        for part in records.chunks(20) {
            acknowledged(log, part.to_vec()).await;
        }
    };
    let (seen, ()) = tokio::join!(join_all(reads), writes);
    for seen in seen {
        assert_eq!(plain(&seen), records);
    }
}

async fn concurrent_appends_stay_whole(log: &impl Transport) {
    let start = log.end(&partition(log)).await.unwrap();
    let appends = (0..10).map(|appender| async move {
        let mut receipts = Vec::new();
        for round in 0..10 {
            let commit = 2000 + appender * 100 + round;
            receipts.push((commit, append(log, numbered(commit, 1..=5)).await));
        }
        let mut ends = Vec::new();
        for (commit, receipt) in receipts {
            ends.push((commit, soon(receipt.0).await.unwrap().unwrap()));
        }
        ends
    });
    let ends = join_all(appends).await;
    let all = read_all(log, start, 1 << 20).await;
    assert_eq!(all.len(), 500);
    for part in all.chunks(5) {
        let commit = part.first().unwrap().record.position.commit;
        assert_eq!(plain(part), numbered(commit, 1..=5), "an append is contiguous");
        let end = ends.iter().flatten().find(|(of, _)| *of == commit).unwrap().1;
        assert!(part.last().unwrap().offset < end, "its receipt tells the offset after it");
    }
    for ends in ends {
        assert!(ends.is_sorted_by(|left, right| left.1 < right.1), "each appender's order is kept");
    }
}

async fn a_membership_assigns_the_partition(log: &impl Transport) {
    for group in ["first", "second"] {
        let mut membership = log.join(group).await.unwrap();
        match soon(membership.events.recv()).await {
            Some(MembershipEvent::Assigned(share)) => assert!(share.contains(&partition(log))),
            other => panic!("the first event assigns a share, not {other:?}"),
        }
        waits(membership.events.recv()).await;
    }
}

async fn unknown_offsets_are_refused(log: &impl Transport) {
    let partition = partition(log);
    let end = log.end(&partition).await.unwrap();
    let beyond = Offset(end.0 + 1);
    assert!(log.read(&partition, beyond).await.is_err(), "an offset of another log");
}

async fn a_release_keeps_what_follows(log: &impl Transport) {
    let partition = partition(log);
    let start = log.end(&partition).await.unwrap();
    let records = numbered(3000, 1..=100);
    acknowledged(log, records.clone()).await;
    let all = read_all(log, start, 1 << 20).await;
    let middle = all.get(50).unwrap().offset;
    log.release(&partition, middle).await.unwrap();
    log.release(&partition, start).await.unwrap();
    let rest = read_all(log, middle, 1 << 20).await;
    assert_eq!(plain(&rest), numbered(3000, 51..=100));
    let end = acknowledged(log, numbered(3001, 1..=1)).await;
    log.release(&partition, end).await.unwrap();
    assert_eq!(log.end(&partition).await.unwrap(), end);
    assert_eq!(log.newest(&partition).await.unwrap(), Some(Position::new(3001, 1)));
}

async fn what_was_acknowledged_survives<T: Transport>(reopen: &impl AsyncFn() -> T) {
    let log = reopen().await;
    let partition = partition(&log);
    let start = log.end(&partition).await.unwrap();
    let id = log.log();
    drop(log);
    let mut expected = Vec::new();
    for round in 0..5 {
        let log = reopen().await;
        assert_eq!(log.log(), id, "a log keeps its identity");
        assert_eq!(plain(&read_all(&log, start, 1000).await), expected);
        let last = expected.last().map(|record: &Record| record.position);
        if last.is_some() {
            assert_eq!(log.newest(&partition).await.unwrap(), last);
        }
        for part in 0..4 {
            let records = numbered(4000 + round * 10 + part, 1..=25);
            acknowledged(&log, records.clone()).await;
            expected.extend(records);
        }
        drop(log);
    }
    let log = reopen().await;
    assert_eq!(plain(&read_all(&log, start, 1 << 20).await), expected);
}

fn partition(log: &impl Transport) -> TopicPartition {
    log.partition_of("orders", b"")
}

fn numbered(commit: u128, ordinals: std::ops::RangeInclusive<u64>) -> Vec<Record> {
    ordinals.map(|ordinal| sized(commit, ordinal, 16)).collect()
}

/// A record whose payload has so many bytes, which differ from record to record.
fn sized(commit: u128, ordinal: u64, bytes: usize) -> Record {
    let position = Position { commit, ordinal };
    let payload: Vec<u8> =
        position.to_sortable_bytes().iter().rev().copied().cycle().take(bytes).collect();
    let key = Bytes::from(format!("{position}"));
    Record { key, payload: payload.into(), headers: Vec::new(), position }
}

fn plain(stored: &[StoredRecord]) -> Vec<Record> {
    stored.iter().map(|stored| stored.record.clone()).collect()
}

async fn append(log: &impl Transport, records: Vec<Record>) -> AppendReceipt {
    soon(log.append(&partition(log), records)).await.unwrap()
}

async fn acknowledged(log: &impl Transport, records: Vec<Record>) -> Offset {
    let receipt = append(log, records).await;
    soon(receipt.0).await.unwrap().unwrap()
}

/// Everything from an offset to the end of the log.
async fn read_all(log: &impl Transport, from: Offset, bytes_max: usize) -> Vec<StoredRecord> {
    let partition = partition(log);
    let end = log.end(&partition).await.unwrap();
    let mut reader = log.read(&partition, from).await.unwrap();
    let mut seen = Vec::new();
    let mut next = from;
    while next < end {
        let batch = soon(reader.next(bytes_max)).await.unwrap();
        assert!(batch.next > next, "each read makes progress");
        next = batch.next;
        seen.extend(batch.records);
    }
    seen
}

async fn take(
    reader: &mut dyn PartitionReader,
    count: usize,
    bytes_max: usize,
) -> Vec<StoredRecord> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(soon(reader.next(bytes_max)).await.unwrap().records);
    }
    seen
}

async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(SOON, what).await.expect("what should happen at once does not happen")
}

async fn waits<F: Future>(what: F) {
    let waited = tokio::time::timeout(WHILE, what).await;
    assert!(waited.is_err(), "what should wait has ended");
}

async fn polled_once<F: Future>(what: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = what => Some(output),
        () = std::future::ready(()) => None,
    }
}
