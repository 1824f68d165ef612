use crate::world::{World, changes, checkpoint, context, deliver, error_code, positions, write};
use cdc_core::Retry;
use cdc_core::catalog::SinkConnector as _;
use std::fs;
use std::io::Write as _;

#[tokio::test]
async fn a_torn_tail_is_cut_off() {
    let world = World::new();
    let changes = changes(10);
    drop(deliver(&world, &changes[..6]).await);
    let path = world.path("changes.jsonl");
    let committed = fs::metadata(&path).unwrap().len();
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"topic\":\"cdc.pub").unwrap();
    drop(file);
    let mut sink = world.open().await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), committed);
    assert_eq!(sink.claim(1).await.unwrap(), Some(checkpoint(1, &changes[..6])));
    write(&mut *sink, &changes[6..]).await;
    sink.commit(&checkpoint(1, &changes)).await.unwrap();
    assert_eq!(world.positions(), positions(&changes));
}

#[tokio::test]
async fn a_session_dropped_in_a_large_write_leaves_nothing_behind() {
    let world = World::new();
    let changes = changes(3_000);
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    write(&mut *sink, &changes).await;
    let path = world.path("changes.jsonl");
    assert!(fs::metadata(&path).unwrap().len() > 1 << 18, "a large write does not wait in memory");
    drop(sink);
    drop(world.open().await.unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    drop(deliver(&world, &changes).await);
    assert_eq!(world.positions(), positions(&changes));
}

#[tokio::test]
async fn a_checkpoint_that_was_not_put_in_place_does_not_count() {
    let world = World::new();
    let changes = changes(4);
    drop(deliver(&world, &changes).await);
    fs::write(world.path("changes.jsonl.checkpoint.new"), "{\"half").unwrap();
    let mut sink = world.open().await.unwrap();
    assert_eq!(sink.claim(1).await.unwrap(), Some(checkpoint(1, &changes)));
}

#[tokio::test]
async fn a_crash_before_the_first_commit_starts_over() {
    let world = World::new();
    let changes = changes(4);
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    write(&mut *sink, &changes).await;
    drop(sink);
    fs::write(world.path("changes.jsonl"), "{\"topic\":").unwrap();
    drop(deliver(&world, &changes).await);
    assert_eq!(world.positions(), positions(&changes));
}

#[tokio::test]
async fn lost_data_is_told_and_not_glossed_over() {
    for damage in ["shorter", "gone"] {
        let world = World::new();
        drop(deliver(&world, &changes(4)).await);
        let path = world.path("changes.jsonl");
        match damage {
            "gone" => fs::remove_file(&path).unwrap(),
            _ => fs::write(&path, "{}\n").unwrap(),
        }
        assert_eq!(error_code(world.open().await), ("CDC-3207", Retry::AfterOperator), "{damage}");
    }
}

#[tokio::test]
async fn a_damaged_checkpoint_is_told_and_the_data_left_alone() {
    for text in ["", "{", "{\"version\":99}", "[]"] {
        let world = World::new();
        drop(deliver(&world, &changes(4)).await);
        let before = fs::read(world.path("changes.jsonl")).unwrap();
        fs::write(world.path("changes.jsonl.checkpoint"), text).unwrap();
        assert_eq!(error_code(world.open().await), ("CDC-3207", Retry::AfterOperator), "{text}");
        assert_eq!(fs::read(world.path("changes.jsonl")).unwrap(), before);
    }
}

#[tokio::test]
async fn a_checkpoint_cannot_lead_out_of_its_directory() {
    let world = World::new();
    drop(deliver(&world, &changes(4)).await);
    let path = world.path("changes.jsonl.checkpoint");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"changes.jsonl\"", "\"../changes.jsonl\"")).unwrap();
    assert_eq!(error_code(world.open().await), ("CDC-3207", Retry::AfterOperator));
}

#[tokio::test]
async fn a_refused_change_keeps_those_before_it() {
    let world = World::new();
    let mut changes = changes(5);
    let broken = cdc_core::Value::Text(bytes::Bytes::from_static(b"\xff"));
    let columns = changes[3].change.schema.columns.len();
    changes[3].change.before = Some(std::iter::repeat_n(broken, columns).collect());
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    let batch = cdc_testkit::generate::batch(changes.clone());
    let failed = sink.write(&batch).await.unwrap_err();
    assert_eq!((failed.error.code, failed.error.retry), ("CDC-4220", Retry::Never));
    assert_eq!((failed.accepted, failed.rejected), (3, Some(3)));
    write(&mut *sink, &changes[4..]).await;
    sink.commit(&checkpoint(1, &changes)).await.unwrap();
    let kept = [&changes[..3], &changes[4..]].concat();
    assert_eq!(world.positions(), positions(&kept));
}

#[tokio::test]
async fn two_sessions_cannot_write_one_file() {
    let world = World::new();
    let changes = changes(4);
    let mut first = deliver(&world, &changes[..2]).await;
    assert_eq!(error_code(world.open().await), ("CDC-3205", Retry::AfterOperator));
    write(&mut *first, &changes[2..]).await;
    first.commit(&checkpoint(1, &changes)).await.unwrap();
    assert_eq!(world.positions(), positions(&changes));
    first.close().await.unwrap();
    assert!(world.open().await.is_ok());
}

#[tokio::test]
async fn another_pipeline_cannot_continue_the_file() {
    let world = World::new();
    drop(deliver(&world, &changes(4)).await);
    let other = world.connector().open(&context("other")).await;
    assert_eq!(error_code(other), ("CDC-3207", Retry::AfterOperator));
    assert_eq!(world.committed().len(), 4);
}
