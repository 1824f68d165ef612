//! The shared suites.

use cdc_state::Store;
use cdc_testkit::conformance::store;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn checkpoints() {
    let folder = folder();
    store::checkpoint_store(async || Store::open(folder.path().join("state.redb")).unwrap()).await;
}

#[tokio::test]
async fn schemas() {
    let folder = folder();
    store::schema_store(async || Store::open(folder.path().join("state.redb")).unwrap()).await;
}

#[tokio::test]
async fn dead_letters() {
    let folder = folder();
    store::dead_letter_store(async || Store::open(folder.path().join("state.redb")).unwrap()).await;
}
