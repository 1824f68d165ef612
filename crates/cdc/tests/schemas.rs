//! `cdc schema`, with files and with a registry.

use cdc_registry::{
    embedded::{MemoryStore, Registry},
    http::Server,
};
use serde_json::Value;
use std::{fs, path::Path, process::Command, sync::Arc};
use tokio_util::sync::CancellationToken;

const OLD: &str = r#"{"type":"record","name":"User","namespace":"shop","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"}]}"#;
const NEW: &str = r#"{"type":"record","name":"User","namespace":"shop","fields":[{"name":"id","type":"long"},{"name":"mail","type":["null","string"],"default":null}]}"#;

/// What it printed, what it complained about, and how it exited.
fn schema(folder: &Path, args: &[&str]) -> (String, String, i32) {
    let output = Command::new(env!("CARGO_BIN_EXE_cdc"))
        .arg("schema")
        .args(args)
        .current_dir(folder)
        .env_remove("CDC_REGISTRY_URL")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old.avsc"), OLD).unwrap();
    fs::write(folder.path().join("new.avsc"), NEW).unwrap();
    folder
}

#[test]
fn files_are_compared_without_a_registry() {
    let folder = folder();
    let (told, _, code) = schema(folder.path(), &["diff", "old.avsc", "new.avsc"]);
    assert_eq!(code, 0);
    assert_eq!(
        told,
        "+ shop.User.mail  [\"null\",\"string\"], default null\n- shop.User.name  \"string\"\n"
    );
    let (told, _, code) = schema(folder.path(), &["check", "old.avsc", "new.avsc"]);
    assert_eq!((told.as_str(), code), ("compatible by BACKWARD\n", 0));
    let (told, _, code) =
        schema(folder.path(), &["check", "old.avsc", "new.avsc", "--level", "full"]);
    assert_eq!(code, 1);
    assert!(told.contains("READER_FIELD_MISSING_DEFAULT_VALUE at /fields/1"), "{told}");
    assert!(told.contains("old.avsc cannot read data of new.avsc"), "{told}");
    let (told, _, code) = schema(folder.path(), &["plan", "old.avsc", "new.avsc"]);
    assert_eq!(code, 0);
    for part in
        ["[safe]", "consumers first", "upgrade every consumer, then the producers", "BACKWARD"]
    {
        assert!(told.contains(part), "{told}");
    }
    let (told, _, _) = schema(folder.path(), &["--json", "plan", "old.avsc", "new.avsc"]);
    let plan: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(plan["order"], "consumers_first");
    assert_eq!(schema(folder.path(), &["diff", "old.avsc", "old.avsc"]).0, "no difference\n");
}

#[test]
fn what_cannot_be_read_is_told_with_a_remedy() {
    let folder = folder();
    fs::write(folder.path().join("bad.avsc"), "{").unwrap();
    for (args, code, exit) in [
        (["show", "none.avsc"].as_slice(), "CDC-0140", 1),
        (&["show", "bad.avsc"], "CDC-6018", 1),
        (&["show", "old.avsc", "--reference", "x"], "CDC-0141", 2),
        (&["list", "--registry-url", "http://127.0.0.1:9"], "CDC-6010", 1),
        (&["list", "--registry-url", "x"], "CDC-6017", 1),
    ] {
        let (_, told, found) = schema(folder.path(), args);
        assert!(told.contains(code) && told.contains("help: "), "{args:?}: {told}");
        assert_eq!(found, exit, "{args:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subjects_of_a_registry_are_listed_and_compared() {
    let registry = Arc::new(Registry::open(Arc::new(MemoryStore::default())).unwrap());
    for text in [OLD, NEW] {
        let definition = serde_json::json!({ "schema": text });
        let definition = serde_json::from_value(definition).unwrap();
        registry.register("users-value", &definition, false).unwrap();
    }
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("http://{}", server.address());
    let cancel = CancellationToken::new();
    let serving = tokio::spawn(server.serve(registry, cancel.clone()));
    let folder = folder();
    let ask = |args: &[&str]| {
        let all: Vec<String> =
            args.iter().copied().chain(["--registry-url", &url]).map(str::to_owned).collect();
        let path = folder.path().to_path_buf();
        tokio::task::spawn_blocking(move || {
            schema(&path, &all.iter().map(String::as_str).collect::<Vec<_>>())
        })
    };
    let (told, _, _) = ask(&["list"]).await.unwrap();
    let lines: Vec<Vec<&str>> =
        told.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["users-value", "2", "2", "AVRO", "BACKWARD"]);
    let (told, _, _) = ask(&["show", "users-value@1"]).await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap()["fields"][1]["name"], "name");
    let (told, _, code) = ask(&["diff", "users-value@1", "users-value"]).await.unwrap();
    assert!(code == 0 && told.starts_with("+ shop.User.mail"), "{told}");
    let (told, _, code) = ask(&["check", "users-value", "old.avsc"]).await.unwrap();
    assert_eq!(code, 1);
    assert!(told.contains("old.avsc cannot read data of users-value@2"), "{told}");
    let (told, _, code) = ask(&["check", "users-value", "new.avsc"]).await.unwrap();
    assert_eq!((told.as_str(), code), ("compatible by BACKWARD\n", 0));
    let (_, told, code) = ask(&["show", "nobody"]).await.unwrap();
    assert!(code == 1 && told.contains("CDC-6013"), "{told}");
    cancel.cancel();
    serving.await.unwrap().unwrap();
}
