//! Capture waits while a sink is too far behind.

use std::time::Duration;

use cdc_testkit::services::{Kafka, Receiver};
use serde_json::{Value, json};

use crate::process::{Running, eventually};
use crate::scene::{Scene, any_server};

/// Longer than capture needs to see what is new.
const A_WHILE: Duration = Duration::from_secs(4);

async fn insert(scene: &Scene, from: i32, to: i32) {
    let sql = format!("INSERT INTO t SELECT n, 'v' FROM generate_series({from}, {to}) n");
    scene.source.batch_execute(&sql).await.unwrap();
}

async fn paused(running: &mut Running) -> Value {
    let status = running.answers("/api/v1/pipelines/shop", 200).await;
    let status: Value = serde_json::from_str(&status).unwrap();
    status["capture_paused"].clone()
}

/// How many records the topic has.
async fn captured(scene: &Scene) -> u64 {
    let shown = scene.cdc(&["offsets show", "--json"]).await.exits_with(0).json();
    shown.as_array().unwrap().iter().filter_map(|one| one["end"].as_u64()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capture_waits_for_a_sink_that_is_too_far_behind() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let receiver = Receiver::start().await.unwrap();
    let mut scene = Scene::on(server).await.with_webhook(&receiver).on_kafka(kafka);
    scene.platform["kafka"]["pause_capture_lag"] = json!(20);
    scene.platform["kafka"]["resume_capture_lag"] = json!(5);
    scene.platform["retry"]["max_attempts"] = json!(10_000);
    scene.source.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    insert(&scene, 1, 10).await;
    let mut running = scene.start();
    running.follows().await;
    eventually("the snapshot arrives", async || receiver.accepted_count() == 10).await;
    assert_eq!(paused(&mut running).await, Value::Null);

    receiver.refuse_with(Some(503));
    insert(&scene, 11, 60).await;
    eventually("capture waits", async || !paused(&mut running).await.is_null()).await;
    let why = paused(&mut running).await;
    assert!(why.as_str().unwrap().starts_with("sink webhook is 50 records behind"), "{why}");
    assert!(running.answers("/readyz", 503).await.contains("capture: paused: sink webhook"));
    let metrics = running.answers("/metrics", 200).await;
    assert!(metrics.contains("cdc_capture_paused{pipeline=\"shop\"} 1"), "{metrics}");
    scene.cdc(&["status"]).await.exits_with(0).mentions(&["paused: sink webhook is 50 records"]);
    insert(&scene, 61, 90).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(captured(&scene).await, 60, "nothing is read from the source");

    receiver.refuse_with(None);
    eventually("everything arrives", async || receiver.accepted_count() == 90).await;
    eventually("capture goes on", async || paused(&mut running).await.is_null()).await;
    let log = running.log();
    assert!(log.contains("capture.paused") && log.contains("cdc_source_retained_bytes"), "{log}");
    assert!(log.contains("capture.resumed"), "{log}");
    running.stop().await.exits_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_that_waits_can_be_stopped() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let receiver = Receiver::start().await.unwrap();
    let mut scene = Scene::on(server).await.with_webhook(&receiver).on_kafka(kafka);
    scene.platform["kafka"]["pause_capture_lag"] = json!(5);
    scene.platform["retry"]["max_attempts"] = json!(10_000);
    scene.source.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    insert(&scene, 1, 50).await;
    receiver.refuse_with(Some(503));
    let mut running = scene.start();
    eventually("capture waits", async || !paused(&mut running).await.is_null()).await;
    insert(&scene, 51, 80).await;
    running.stop().await.exits_with(0);
    receiver.refuse_with(None);
    let ended = scene.cdc_within(Duration::from_secs(120), &["run", "--until-current"]).await;
    ended.exits_with(0);
    assert_eq!(receiver.accepted_count(), 80);
}
