use std::time::Duration;

use cdc_testkit::services::{Port, Receiver};
use serde_json::{Value, json};

use crate::compare;
use crate::process::{Running, eventually};
use crate::scene::{Scene, any_server};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text);
                     INSERT INTO t SELECT n, 'v' FROM generate_series(1, 50) AS n";
const TABLES: [&str; 1] = ["public.t"];

fn state(running: &Running, sink: &str) -> Option<String> {
    let (_, body) = running.get("/api/v1/pipelines/shop")?;
    let status: Value = serde_json::from_str(&body).ok()?;
    let sinks = status["sinks"].as_array()?;
    let found = sinks.iter().find(|found| found["sink_id"] == sink)?;
    found["status"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_sink_that_is_down_at_the_start_delays_no_other() {
    let Some(server) = any_server() else { return };
    let port = Port::reserve().unwrap();
    let url = format!("http://127.0.0.1:{}/events", port.number());
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(TABLE).await.unwrap();
    let scene = scene.with_sink("webhook", "webhook", json!({ "url": url }));
    let mut running = scene.start();
    compare::eventually_equal(&scene.source, &scene.target, &TABLES).await;
    scene.source.batch_execute("UPDATE t SET v = 'w'").await.unwrap();
    compare::eventually_equal(&scene.source, &scene.target, &TABLES).await;
    eventually("the dead sink is known", async || {
        state(&running, "webhook").as_deref() == Some("retrying")
    })
    .await;
    running.answers("/healthz", 200).await;
    let reason = running.answers("/readyz", 503).await;
    assert!(reason.contains("webhook"), "{reason}");
    let receiver = Receiver::start_on(port).await.unwrap();
    eventually("the late sink has everything", async || receiver.accepted_count() >= 100).await;
    running.ready().await;
    running.stop().await.exits_with(0);
    assert_eq!(receiver.accepted_count(), 100);
}

#[tokio::test]
async fn a_webhook_that_answers_500_for_a_while_misses_nothing() {
    let Some(server) = any_server() else { return };
    let receiver = Receiver::start().await.unwrap();
    let scene = Scene::on(server).await;
    scene.source.batch_execute(TABLE).await.unwrap();
    let scene = scene.with_replica(server).with_webhook(&receiver);
    let mut running = scene.start();
    running.follows().await;
    eventually("the snapshot has arrived", async || receiver.accepted_count() == 50).await;
    receiver.refuse_with(Some(500));
    for number in 0..20 {
        let sql = format!("UPDATE t SET v = '{number}' WHERE id = 1");
        scene.source.batch_execute(&sql).await.unwrap();
    }
    compare::eventually_equal(&scene.source, &scene.target, &TABLES).await;
    let reason = running.answers("/readyz", 503).await;
    assert!(reason.contains("500"), "{reason}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(receiver.refused_count() > 1, "it is tried again");
    receiver.refuse_with(None);
    eventually("everything has arrived", async || receiver.accepted_count() == 70).await;
    let values: Vec<Value> = receiver.accepted()[50..]
        .iter()
        .map(|request| request.json()["value"]["after"]["v"].clone())
        .collect();
    let expected: Vec<Value> = (0..20).map(|number| json!(number.to_string())).collect();
    assert_eq!(values, expected, "in order, nothing skipped");
    running.ready().await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_refused_change_is_set_aside_and_the_rest_goes_on() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(TABLE).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &TABLES).await;
    scene.target.batch_execute("ALTER TABLE t ADD CHECK (v <> 'refused')").await.unwrap();
    scene
        .source
        .batch_execute(
            "CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t VALUES (51, 'refused');
             INSERT INTO t VALUES (52, 'good')",
        )
        .await
        .unwrap();
    // The second change waits behind the first: a replica never shows a later state of half a table.
    eventually("both changes are dead letters", async || {
        let list = scene.cdc(&["dead-letters list", "--json"]).await.json();
        list["dead_letters"].as_array().is_some_and(|letters| letters.len() == 2)
    })
    .await;
    running.answers("/healthz", 200).await;
    scene.target.batch_execute("ALTER TABLE t DROP CONSTRAINT t_v_check").await.unwrap();
    scene.cdc(&["dead-letters retry", "--all"]).await.exits_with(0);
    compare::eventually_equal(&scene.source, &scene.target, &TABLES).await;
    running.stop().await.exits_with(0);
}
