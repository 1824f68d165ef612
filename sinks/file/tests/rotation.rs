use crate::world::{World, changes, checkpoint, deliver, positions, write};
use std::fs;
use std::time::Duration;

const SIDE_FILES: [&str; 2] = ["changes.jsonl.checkpoint", "changes.jsonl.lock"];

fn data_files(world: &World) -> Vec<String> {
    let names = world.names().into_iter();
    names.filter(|name| !SIDE_FILES.contains(&name.as_str())).collect()
}

#[tokio::test]
async fn files_stay_below_their_limit_and_hold_whole_lines() {
    let mut world = World::new();
    world.config.rotate_bytes = 4_000;
    let changes = changes(60);
    drop(deliver(&world, &changes).await);
    let files = data_files(&world);
    assert!(files.len() > 5, "{files:?}");
    assert_eq!(files[0], "changes-000001.jsonl");
    for file in &files {
        let bytes = fs::read(world.path(file)).unwrap();
        assert!(bytes.len() <= 4_000 && bytes.ends_with(b"\n"), "{file}: {}", bytes.len());
    }
    assert_eq!(world.positions(), positions(&changes));
}

#[tokio::test]
async fn a_line_above_the_limit_has_a_file_of_its_own() {
    let mut world = World::new();
    world.config.rotate_bytes = 1;
    let changes = changes(5);
    drop(deliver(&world, &changes).await);
    assert_eq!(data_files(&world).len(), 5);
    assert_eq!(world.positions(), positions(&changes));
}

#[tokio::test]
async fn an_old_file_is_left_with_the_next_change() {
    let mut world = World::new();
    world.config.rotate_seconds = 60;
    let changes = changes(9);
    let mut sink = deliver(&world, &changes[..3]).await;
    world.clock.go_on(Duration::from_secs(59));
    write(&mut *sink, &changes[3..5]).await;
    sink.commit(&checkpoint(1, &changes[..5])).await.unwrap();
    assert_eq!(data_files(&world).len(), 1);
    world.clock.go_on(Duration::from_secs(1));
    write(&mut *sink, &changes[5..7]).await;
    sink.commit(&checkpoint(1, &changes[..7])).await.unwrap();
    assert_eq!(data_files(&world), ["changes-000001.jsonl", "changes-000002.jsonl"]);
    drop(sink);
    // The age of a file is remembered over a restart.
    world.clock.go_on(Duration::from_secs(60));
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    write(&mut *sink, &changes[7..]).await;
    sink.commit(&checkpoint(1, &changes)).await.unwrap();
    assert_eq!(data_files(&world).len(), 3);
    assert_eq!(world.positions(), positions(&changes));
}

#[tokio::test]
async fn files_begun_after_the_last_commit_are_removed() {
    let mut world = World::new();
    world.config.rotate_bytes = 2_000;
    let changes = changes(40);
    let mut sink = deliver(&world, &changes[..10]).await;
    let committed = data_files(&world);
    write(&mut *sink, &changes[10..]).await;
    assert!(data_files(&world).len() > committed.len());
    drop(sink);
    let mut sink = world.open().await.unwrap();
    assert_eq!(data_files(&world), committed);
    sink.claim(1).await.unwrap();
    write(&mut *sink, &changes[10..]).await;
    sink.commit(&checkpoint(1, &changes)).await.unwrap();
    assert_eq!(world.positions(), positions(&changes));
}

#[tokio::test]
async fn older_files_may_be_taken_away() {
    let mut world = World::new();
    world.config.rotate_bytes = 2_000;
    let changes = changes(40);
    drop(deliver(&world, &changes[..30]).await);
    let files = data_files(&world);
    for file in &files[..files.len() - 1] {
        fs::remove_file(world.path(file)).unwrap();
    }
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    write(&mut *sink, &changes[30..]).await;
    sink.commit(&checkpoint(1, &changes)).await.unwrap();
    let all = positions(&changes);
    assert!(all.ends_with(&world.positions()));
}

#[tokio::test]
async fn rotation_can_be_switched_on_later() {
    let mut world = World::new();
    let changes = changes(20);
    drop(deliver(&world, &changes[..10]).await);
    let before = fs::read(world.path("changes.jsonl")).unwrap();
    world.config.rotate_bytes = 100;
    let mut sink = world.open().await.unwrap();
    sink.claim(1).await.unwrap();
    write(&mut *sink, &changes[10..]).await;
    sink.commit(&checkpoint(1, &changes)).await.unwrap();
    assert_eq!(fs::read(world.path("changes.jsonl")).unwrap(), before);
    assert_eq!(data_files(&world).len(), 11);
}
