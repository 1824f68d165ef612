use crate::{SOON, append, open, read_all, record, records, small_segments, verify_numbered};
use cdc_core::{Offset, Transport};
use cdc_transport_embedded::{ByteSize, Config, Log};

#[tokio::test]
async fn a_reader_without_the_lock_follows_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), small_segments()).await;
    append(&log, records(0..10)).await;
    let follower = Log::open_read_only(dir.path(), "p").await.unwrap();
    assert_eq!(follower.log(), log.log());
    assert_eq!(verify_numbered(&follower).await, 10);
    let mut reader = follower.read(follower.partition(), Offset(0)).await.unwrap();
    let mut next = 0;
    for round in 1..40 {
        let end = append(&log, records(round * 10..round * 10 + 10)).await;
        while next < end.0 {
            let batch = tokio::time::timeout(SOON, reader.next(1000)).await.unwrap().unwrap();
            for stored in batch.records {
                assert_eq!((stored.offset, stored.record), (Offset(next), record(next)));
                next += 1;
            }
        }
    }
    assert_eq!(follower.newest(follower.partition()).await.unwrap(), Some(record(399).position));
}

#[tokio::test]
async fn a_follower_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Log::open_read_only(dir.path(), "p").await.unwrap_err().code, "CDC-2012");
    let log = open(dir.path(), small_segments()).await;
    append(&log, records(0..10)).await;
    log.close().await;
    let follower = Log::open_read_only(dir.path(), "p").await.unwrap();
    let partition = follower.partition().clone();
    assert_eq!(follower.append(&partition, records(0..1)).await.unwrap_err().code, "CDC-2011");
    assert_eq!(follower.release(&partition, Offset(1)).await.unwrap_err().code, "CDC-2011");
    assert_eq!(verify_numbered(&follower).await, 10);
    let log = open(dir.path(), small_segments()).await;
    assert_eq!(verify_numbered(&log).await, 10);
}

#[tokio::test]
async fn a_follower_is_told_what_retention_removed() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { retention_bytes: ByteSize(4 << 10), ..small_segments() };
    let log = open(dir.path(), config).await;
    append(&log, records(0..10)).await;
    let follower = Log::open_read_only(dir.path(), "p").await.unwrap();
    for round in 1..60 {
        let end = append(&log, records(round * 10..round * 10 + 10)).await;
        log.release(log.partition(), end).await.unwrap();
    }
    let error = read_all(&follower, Offset(0)).await.unwrap_err();
    assert_eq!(error.code, "CDC-2007", "{error}");
    assert!(follower.start() > Offset(0));
    assert_eq!(verify_numbered(&follower).await, 600);
}
