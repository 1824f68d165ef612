//! Files that are locked, foreign, damaged or newer than this program.

use bytes::Bytes;
use cdc_core::{
    Error, Position, Retry,
    dead_letter::DeadLetterStore,
    store::{CaptureProgress, CheckpointStore},
};
use cdc_state::Store;
use cdc_testkit::conformance::store::letter;
use std::{fs, path::Path};

fn code_of(path: &Path) -> Error {
    let error = Store::open(path).unwrap_err();
    assert!(error.context.contains(&path.display().to_string()), "names the file: {error}");
    assert!(error.remedy.is_some(), "says what helps: {error}");
    error
}

#[tokio::test]
async fn a_file_in_use_is_told_apart_and_free_again_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let store = Store::open(&path).unwrap();
    let clone = store.clone();
    assert_eq!(code_of(&path).code, "CDC-4101");
    drop(store);
    assert_eq!(code_of(&path).code, "CDC-4101", "a clone still holds it");
    drop(clone);
    Store::open(&path).unwrap();
}

#[test]
fn a_missing_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/orders/state.redb");
    assert_eq!(Store::open(&path).unwrap().path(), path);
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    for contents in [&b"x"[..], &[7; 100_000], b"redb\x1A\x0A\xA9\x0D\x0A then nothing of it"] {
        fs::write(&path, contents).unwrap();
        let error = code_of(&path);
        assert_eq!((error.code, error.retry), ("CDC-4102", Retry::AfterOperator), "{error}");
        assert_eq!(fs::read(&path).unwrap(), contents);
    }
}

#[test]
fn a_folder_in_the_place_of_the_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(code_of(folder.path()).code, "CDC-4104");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(Store::open(&path).unwrap());
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = code_of(&path);
    assert_eq!(error.code, "CDC-4103");
    assert!(error.context.contains("format 2"), "{error}");
}

/// A byte that changed on disk never changes what a store says: it is an error, or it was in a
/// place that nobody reads.
#[tokio::test]
async fn a_flipped_byte_is_never_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let progress = CaptureProgress {
        position: Position::new(0x1234_5678, 9),
        resume: Bytes::from_static(b"{\"lsn\":\"0/12345678\"}"),
    };
    let store = Store::open(&path).unwrap();
    let epoch = store.begin_epoch(41).await.unwrap();
    store.save_capture(epoch, &progress).await.unwrap();
    store.park((1..=20).map(|number| letter("sink", number)).collect()).await.unwrap();
    let letters = store.list(None, 0, 100).await.unwrap();
    drop(store);
    let sound = fs::read(&path).unwrap();
    let places = (0..sound.len()).filter(|at| *at < 512 || sound[*at] != 0);
    let (mut refused, mut sound_still) = (0, 0);
    let places: Vec<usize> = places.collect();
    for at in places.iter().step_by(places.len() / 400 + 1) {
        let mut flipped = sound.clone();
        flipped[*at] ^= 0x10;
        fs::write(&path, &flipped).unwrap();
        let Ok(store) = Store::open(&path) else {
            refused += 1;
            continue;
        };
        let capture = store.load_capture().await;
        let list = store.list(None, 0, 100).await;
        let (Ok(capture), Ok(list)) = (capture, list) else {
            refused += 1;
            continue;
        };
        // An older commit that is whole may be what a repair finds; nothing invented may be.
        assert!(capture.is_none() || capture.as_ref() == Some(&progress), "byte {at}: {capture:?}");
        assert!(list.is_empty() || list == letters, "byte {at}");
        sound_still += 1;
    }
    assert!(refused > 50, "{refused} of the flips were refused, {sound_still} did no harm");
}
