use cdc_testkit::services::Receiver;
use serde_json::Value;

use crate::compare;
use crate::process::eventually;
use crate::scene::{Scene, any_server};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text);
                     INSERT INTO t SELECT n, 'v' FROM generate_series(1, 50) AS n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("not JSON ({error}): {text}"))
}

#[tokio::test]
async fn a_running_pipeline_says_that_it_is_well() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server).with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &["public.t"]).await;
    running.answers("/healthz", 200).await;
    let status = json(&running.answers("/api/v1/pipelines/shop", 200).await);
    assert_eq!(status["pipeline_id"], "shop");
    assert_eq!(status["source"]["state"], "running");
    assert_eq!(status["source"]["connected"], true);
    let sinks = status["sinks"].as_array().unwrap();
    assert_eq!(sinks.len(), 2);
    assert!(sinks.iter().all(|sink| sink["status"] == "running"), "{status}");
    running.answers("/api/v1/pipelines/other", 404).await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn status_and_health_tell_the_same_as_http() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(TABLE).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &["public.t"]).await;
    let status = scene.cdc(&["status", "--json"]).await.exits_with(0).json();
    assert_eq!(status["pipeline_id"], "shop", "{status}");
    assert_eq!(status["sinks"][0]["sink_id"], "replica", "{status}");
    scene.cdc(&["status"]).await.exits_with(0).mentions(&["shop", "replica", "running"]);
    let platform = scene.directory().join("platform.yaml");
    let health = ["health", "--platform-config", platform.to_str().unwrap()];
    crate::process::run(scene.directory(), &health).await.exits_with(0).mentions(&["ready"]);
    running.stop().await.exits_with(0);
    crate::process::run(scene.directory(), &health).await.exits_with(1);
}

/// The value of the first sample of a metric whose labels hold all of `labels`.
fn sample(metrics: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let line = metrics.lines().find(|line| {
        line.starts_with(name)
            && line.as_bytes().get(name.len()).is_some_and(|next| b"{ ".contains(next))
            && labels.iter().all(|label| line.contains(label))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test]
async fn metrics_are_true() {
    let Some(server) = any_server() else { return };
    let receiver = Receiver::start().await.unwrap();
    receiver.refuse_with(Some(400));
    let scene = Scene::on(server).await.with_replica(server).with_webhook(&receiver);
    scene.source.batch_execute(TABLE).await.unwrap();
    let mut running = scene.start();
    compare::eventually_equal(&scene.source, &scene.target, &["public.t"]).await;
    eventually("the refused changes are counted", async || {
        let metrics = running.get("/metrics").map(|(_, body)| body).unwrap_or_default();
        sample(&metrics, "dead_letter_queue_size", &["webhook"]) == Some(50.0)
    })
    .await;
    let metrics = running.answers("/metrics", 200).await;
    for name in ["replication_lag_seconds", "event_throughput_msgs"] {
        assert!(metrics.contains(name), "{name} is not in:\n{metrics}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "not a sample: {line}");
    }
    scene.cdc(&["dead-letters list"]).await.exits_with(0).mentions(&["webhook", "400"]);
    receiver.refuse_with(None);
    scene.cdc(&["dead-letters retry", "--all"]).await.exits_with(0);
    eventually("the dead letters are delivered", async || receiver.accepted_count() == 50).await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn consume_prints_changes_as_they_come() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(TABLE).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    let ended = scene.cdc(&["consume", "--from-beginning", "--no-follow"]).await.exits_with(0);
    assert_eq!(ended.output.lines().filter(|line| line.contains("cdc.public.t")).count(), 50);
}
