use crate::world::{record, world_on};
use cdc_core::Error;
use cdc_registry::embedded::{Definition, FileStore, Registry};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

const FOLDER: &str = "CDC_REGISTRY_CRASH_FOLDER";

fn open(folder: &Path) -> Arc<FileStore> {
    Arc::new(FileStore::open(folder.join("data/registry.redb")).unwrap())
}

fn failure(path: &Path) -> Error {
    let error = FileStore::open(path).err().unwrap();
    assert!(error.context.contains(&path.display().to_string()), "names the file: {error}");
    assert!(error.remedy.is_some(), "says what helps: {error}");
    error
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let before = {
        let world = world_on(open(folder.path())).await;
        world.register("s", &record(&["a"])).await;
        world.register("s", &record(&[])).await;
        world.register("t", &record(&["z"])).await;
        world.delete("/subjects/s/versions/1").await;
        world.delete("/subjects/t").await;
        world.delete("/subjects/t?permanent=true").await;
        world.put("/config/s", json!({ "compatibility": "FULL" })).await;
        world.put("/mode", json!({ "mode": "READONLY" })).await;
        let told = world.get("/schemas?deleted=true").await.1;
        (told, world.get("/config/s").await.1, world.get("/mode").await.1)
    };
    // The server ends in the background; the file is free a moment later.
    let store = loop {
        match FileStore::open(folder.path().join("data/registry.redb")) {
            Ok(store) => break Arc::new(store),
            Err(error) => assert_eq!(error.code, "CDC-6001"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let world = world_on(store).await;
    let told = world.get("/schemas?deleted=true").await.1;
    assert_eq!((told, world.get("/config/s").await.1, world.get("/mode").await.1), before);
    world.put("/mode", json!({ "mode": "READWRITE" })).await;
    assert_eq!(world.register("u", &record(&["new"])).await, 4, "three was given and taken back");
}

#[test]
fn a_file_in_use_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let _store = open(folder.path());
    assert_eq!(failure(&folder.path().join("data/registry.redb")).code, "CDC-6001");
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    for contents in [&b"x"[..], &[7; 100_000]] {
        fs::write(&path, contents).unwrap();
        assert_eq!(failure(&path).code, "CDC-6002");
        assert_eq!(fs::read(&path).unwrap(), contents);
    }
    assert_eq!(failure(folder.path()).code, "CDC-6004", "a folder");
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.redb");
    drop(FileStore::open(&path).unwrap());
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert_eq!(failure(&path).code, "CDC-6003");
}

/// Registers without end, and prints each number after it was given.
#[test]
#[ignore = "child: started by the test below"]
fn child_registers_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let registry = Registry::open(open(&PathBuf::from(folder))).unwrap();
    for number in registry.last_id() + 1.. {
        let field = format!("f{number}");
        let schema = record(&[&field]).to_string();
        let definition = Definition { schema: Some(schema), ..Definition::default() };
        let given = registry.register(&format!("s{number}"), &definition, false).unwrap();
        assert_eq!(given.id, number);
        println!("saved {number}");
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn numbers_that_were_given_outlive_kill_nine() {
    let folder = tempfile::tempdir().unwrap();
    for kill in 1..=6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "file::child_registers_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut told, mut seen) = (0, 0);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, number)) = line.split_once("saved ") else { continue };
            told = number.parse::<i32>().unwrap();
            seen += 1;
            if seen == kill * 5 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let registry = Registry::open(open(folder.path())).unwrap();
        assert!(registry.last_id() >= told, "told {told}, found {}", registry.last_id());
        for id in 1..=told {
            let content = registry.content(id).unwrap();
            assert!(content.schema.contains(&format!("f{id}")), "{id}: {}", content.schema);
        }
    }
}
