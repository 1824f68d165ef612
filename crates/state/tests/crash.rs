//! What was saved outlives `kill -9` at any moment. The child is this test binary, started again.

use bytes::Bytes;
use cdc_core::{
    Checkpoint, LogId, Offset, Place, Position, TopicPartition,
    dead_letter::DeadLetterStore,
    store::{CaptureProgress, CheckpointStore},
};
use cdc_state::Store;
use cdc_testkit::conformance::store::letter;
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const FOLDER: &str = "CDC_STATE_CRASH_FOLDER";
const KILLS: u64 = 12;

/// Saves and parks without end, and prints each number after its save returned.
#[tokio::test]
#[ignore = "child: started by the test below"]
async fn child_saves_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = Store::open(PathBuf::from(folder).join("state.redb")).unwrap();
    let epoch = store.begin_epoch(0).await.unwrap();
    let from = store.load_capture().await.unwrap().map_or(1, |saved| saved.position.ordinal + 1);
    for number in from.. {
        store.park(vec![letter("crash", number)]).await.unwrap();
        store.save("sink", &checkpoint(epoch, number)).await.unwrap();
        let resume = Bytes::from(vec![b'x'; 3000]);
        let position = Position::new(1, number);
        store.save_capture(epoch, &CaptureProgress { position, resume }).await.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "saved {number}").unwrap();
        out.flush().unwrap();
    }
}

fn checkpoint(epoch: u64, number: u64) -> Checkpoint {
    let place = Place { offset: Offset(number), position: Position::new(1, number) };
    let partitions = [(TopicPartition::new("pipeline", 0), place)].into();
    Checkpoint { epoch, log: Some(LogId(uuid::Uuid::from_u128(1))), partitions }
}

/// Lets the child save at least `saves` times, kills it, and returns the last number it told.
fn run_and_kill(folder: &Path, saves: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_saves_until_it_is_killed", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut told = 0;
    let mut seen = 0;
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((_, number)) = line.split_once("saved ") else { continue };
        told = number.parse().unwrap();
        seen += 1;
        if seen >= saves && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself");
    told
}

#[tokio::test]
async fn what_was_saved_outlives_kill_nine() {
    let folder = tempfile::tempdir().unwrap();
    let mut epoch = 0;
    for kill in 1..=KILLS {
        let told = run_and_kill(folder.path(), kill * 7 % 20 + 1);
        let store = Store::open(folder.path().join("state.redb")).unwrap();
        let capture = store.load_capture().await.unwrap().unwrap();
        assert!(capture.position.ordinal >= told, "saved {told}, found {}", capture.position);
        assert_eq!(capture.resume.len(), 3000);
        let sink = store.load("sink").await.unwrap();
        let place = sink.partitions.values().next().unwrap();
        let found = place.position.ordinal;
        assert_eq!(place.offset, Offset(found));
        let ahead = found - capture.position.ordinal;
        assert!(ahead <= 1, "the sink's save comes one before capture's");
        let letters = store.count(None).await.unwrap();
        assert!(letters == found || letters == found + 1, "{letters} letters, {found} saves");
        assert_eq!(store.list(None, 0, usize::MAX).await.unwrap().len() as u64, letters);
        assert!(sink.epoch > epoch, "each start has a new epoch");
        epoch = sink.epoch;
    }
}
