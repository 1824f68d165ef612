use crate::world::{World, changes, checkpoint, context, deliver, error_code, write};
use cdc_core::Retry;
use cdc_core::catalog::SinkConnector as _;
use cdc_core::finding::Level;
use cdc_sink_file::{Config, Connector, Envelope};
use cdc_testkit::generate::batch;
use std::fs;

async fn levels(world: &World) -> Vec<Level> {
    let findings = world.connector().check(&context("pipeline"), &[]).await;
    for finding in &findings {
        assert_eq!(finding.remedy.is_none(), finding.level == Level::Ok, "{finding:?}");
    }
    findings.into_iter().map(|finding| finding.level).collect()
}

#[tokio::test]
async fn a_full_disk_is_waited_for() {
    let world = World::new();
    std::os::unix::fs::symlink("/dev/full", world.path("changes.jsonl")).unwrap();
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    let changes = changes(1_500);
    let written = sink.write(&batch(changes.clone())).await;
    let failed = written.expect_err("a write larger than the buffer reaches the disk");
    assert_eq!((failed.error.code, failed.error.retry), ("CDC-3202", Retry::Backoff));
    assert_eq!((failed.accepted, failed.rejected), (0, None));
    let after = sink.commit(&checkpoint(1, &changes)).await;
    assert_eq!(after.unwrap_err().code, "CDC-3209", "a failed session commits nothing");
    drop(sink);
    // There is space again.
    fs::remove_file(world.path("changes.jsonl")).unwrap();
    drop(deliver(&world, &changes).await);
    assert_eq!(world.committed().len(), changes.len());
}

#[tokio::test]
async fn a_full_disk_at_commit_commits_nothing() {
    let world = World::new();
    std::os::unix::fs::symlink("/dev/full", world.path("changes.jsonl")).unwrap();
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    let changes = changes(2);
    write(&mut *sink, &changes).await;
    let committed = sink.commit(&checkpoint(1, &changes)).await;
    assert_eq!(error_code(committed), ("CDC-3202", Retry::Backoff));
    drop(sink);
    let found = world.open().await.unwrap().claim(1).await.unwrap().unwrap();
    assert!(found.partitions.is_empty());
}

#[tokio::test]
async fn a_missing_directory_is_the_operators() {
    let mut world = World::new();
    world.config.path = world.path("missing/changes.jsonl").to_str().unwrap().to_owned();
    assert_eq!(error_code(world.open().await), ("CDC-3203", Retry::AfterOperator));
    assert_eq!(levels(&world).await, [Level::Error]);
    fs::create_dir(world.path("missing")).unwrap();
    assert!(world.open().await.is_ok());
}

#[tokio::test]
async fn a_path_that_is_a_directory_is_the_operators() {
    let world = World::new();
    fs::create_dir(world.path("changes.jsonl")).unwrap();
    assert_eq!(levels(&world).await, [Level::Ok, Level::Error]);
    assert_eq!(error_code(world.open().await), ("CDC-3203", Retry::AfterOperator));
}

#[tokio::test]
async fn somebody_elses_file_is_left_alone() {
    for name in ["changes.jsonl", "changes-000003.jsonl"] {
        let mut world = World::new();
        world.config.rotate_bytes = 1_000;
        fs::write(world.path(name), "precious\n").unwrap();
        assert_eq!(error_code(world.open().await), ("CDC-3207", Retry::AfterOperator));
        assert_eq!(fs::read_to_string(world.path(name)).unwrap(), "precious\n");
    }
}

#[tokio::test]
async fn an_empty_file_is_taken() {
    let world = World::new();
    fs::write(world.path("changes.jsonl"), "").unwrap();
    drop(deliver(&world, &changes(3)).await);
    assert_eq!(world.committed().len(), 3);
}

#[tokio::test]
async fn check_touches_nothing() {
    let world = World::new();
    assert_eq!(levels(&world).await, [Level::Ok]);
    assert!(world.names().is_empty());
    drop(deliver(&world, &changes(3)).await);
    let names = world.names();
    assert_eq!(levels(&world).await, [Level::Ok, Level::Ok]);
    fs::write(world.path("changes.jsonl.checkpoint"), "{").unwrap();
    assert_eq!(levels(&world).await, [Level::Ok, Level::Error]);
    fs::remove_file(world.path("changes.jsonl.checkpoint")).unwrap();
    assert_eq!(levels(&world).await, [Level::Ok, Level::Error]);
    assert_eq!(world.names().len(), names.len() - 1);
}

#[tokio::test]
async fn standard_output_warns_that_it_keeps_no_checkpoint() {
    let config = Config {
        path: "-".to_owned(),
        envelope: Envelope::Debezium,
        rotate_bytes: 0,
        rotate_seconds: 0,
    };
    let connector = Connector::new(config).unwrap();
    let findings = connector.check(&context("pipeline"), &[]).await;
    assert_eq!(findings[0].level, Level::Warning);
    let mut sink = connector.open(&context("pipeline")).await.unwrap();
    assert_eq!(sink.claim(1).await.unwrap(), None);
}

#[tokio::test]
async fn no_error_shows_a_row() {
    let world = World::new();
    std::os::unix::fs::symlink("/dev/full", world.path("changes.jsonl")).unwrap();
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    let changes = changes(1_500);
    let failed = sink.write(&batch(changes)).await.unwrap_err();
    let chain = failed.error.chain();
    assert!(chain.len() < 300 && !chain.contains("before"), "{chain}");
}
