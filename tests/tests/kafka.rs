//! Kafka between capture and delivery: the same pipelines on a real broker.

use std::collections::BTreeSet;
use std::time::Duration;

use cdc_testkit::services::{Kafka, KafkaOptions, Port, Receiver};
use serde_json::{Value, json};

use crate::compare;
use crate::process::{Running, eventually};
use crate::scene::{Scene, any_server};

const TABLES: [&str; 2] = ["public.customers", "public.orders"];

const CREATE: &str = "
    CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, balance numeric(12,2), photo bytea);
    CREATE TABLE orders (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), customer bigint, placed timestamptz);
    INSERT INTO customers SELECT n, 'customer ' || n, n / 100.0, '\\x00ff' FROM generate_series(1, 400) n;
    INSERT INTO orders (customer, placed) SELECT id, now() FROM customers WHERE id % 3 = 0;";

impl Scene {
    /// The same with the topics of a cluster as its log, under names of its own.
    pub(crate) fn on_kafka(mut self, kafka: &Kafka) -> Self {
        self.pipeline["topic_prefix"] = json!(kafka.name("shop"));
        self.platform["transport_mode"] = json!("kafka");
        self.platform["kafka"] = json!({
            "bootstrap_servers": kafka.bootstrap(),
            "group_id": kafka.name("cdc-test"),
            "topic_configs": { "retention.ms": "-1" },
        });
        self.platform["rest"]["lag_monitor_interval_seconds"] = json!(1);
        self
    }

    /// The position of every line of the file sink.
    fn positions(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        let position = |line: &str| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(format!("{} {}", line["topic"], line["position"]))
        };
        text.lines().filter_map(position).collect()
    }
}

fn keys(receiver: &Receiver) -> BTreeSet<String> {
    receiver.accepted().iter().map(|request| request.json()["key"].to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_changes_and_new_columns_reach_every_sink_through_kafka() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let receiver = Receiver::start().await.unwrap();
    let scene = Scene::on(server).await.with_replica(server).with_file().with_webhook(&receiver);
    let scene = scene.on_kafka(kafka);
    scene.source.batch_execute(CREATE).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    scene
        .source
        .batch_execute(
            "UPDATE customers SET balance = balance + 1, photo = NULL WHERE id <= 20;
             DELETE FROM customers WHERE id = 400;
             UPDATE customers SET id = 1000 WHERE id = 399;
             ALTER TABLE customers ADD COLUMN city text;
             INSERT INTO customers VALUES (500, 'Zoë', 2.5, NULL, 'Zürich');",
        )
        .await
        .unwrap();
    compare::equal_within(Duration::from_secs(60), &scene.source, &scene.target, &TABLES).await;
    eventually("the webhook has the last change", async || {
        keys(&receiver).contains(r#"{"id":500}"#)
    })
    .await;
    let prefix = scene.pipeline["topic_prefix"].as_str().unwrap();
    let expected = [format!("{prefix}.public.customers"), format!("{prefix}.public.orders")];
    eventually("the lag of both topics is told", async || {
        let body = running.answers("/healthz", 200).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        let lags = body["consumer_lag"].as_array().unwrap();
        let topics: BTreeSet<&str> = lags.iter().filter_map(|l| l["topic"].as_str()).collect();
        topics == expected.iter().map(String::as_str).collect()
    })
    .await;
    let status = scene.cdc(&["status"]).await.exits_with(0);
    assert!(status.output.contains(&expected[0]), "{}", status.said());
    running.stop().await.exits_with(0);
    let positions = scene.positions();
    let distinct: BTreeSet<&String> = positions.iter().collect();
    assert_eq!(distinct.len(), positions.len(), "a clean stop repeats nothing");
    let consumed = scene.cdc(&["consume", "--from-beginning", "--no-follow"]).await.exits_with(0);
    assert_eq!(consumed.output.lines().count(), positions.len(), "{}", consumed.said());
    scene.cdc(&["status"]).await.exits_with(0).mentions(&["does not run on this machine"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replica_equals_the_source_after_kills_on_kafka() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let scene = Scene::on(server).await.with_replica(server).on_kafka(kafka);
    scene.source.batch_execute(CREATE).await.unwrap();
    for round in 0..4_i64 {
        let mut running = scene.start();
        for step in 0..20_i64 {
            let id = 10_000 + round * 100 + step;
            let sql = format!(
                "INSERT INTO customers VALUES ({id}, 'c', 1, NULL); \
                 UPDATE customers SET balance = balance + 1 WHERE id % 50 = {step}; \
                 DELETE FROM orders WHERE customer = {};",
                round * 20 + step
            );
            scene.source.batch_execute(&sql).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(running.is_running(), "{}", running.log());
        running.kill9();
    }
    let ended = scene.cdc_within(Duration::from_secs(120), &["run", "--until-current"]).await;
    ended.exits_with(0);
    let difference = compare::difference(&scene.source, &scene.target, &TABLES).await;
    assert_eq!(difference, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_compared_and_repaired_on_kafka() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let scene = Scene::on(server).await.with_replica(server).on_kafka(kafka);
    scene.source.batch_execute(CREATE).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    // Of two tables one is quiet, and the last record of the other is a tombstone.
    scene.source.batch_execute("DELETE FROM customers WHERE id = 7").await.unwrap();
    let equal = scene.cdc(&["verify"]).await.exits_with(0);
    equal.mentions(&["public.customers", "public.orders"]);
    let damage =
        "UPDATE customers SET name = 'other' WHERE id = 8; DELETE FROM orders WHERE customer = 3";
    scene.target.batch_execute(damage).await.unwrap();
    scene.cdc(&["verify"]).await.exits_with(3);
    scene.cdc_within(Duration::from_secs(90), &["verify", "--repair"]).await.exits_with(0);
    let difference = compare::difference(&scene.source, &scene.target, &TABLES).await;
    assert_eq!(difference, None);
    running.stop().await.exits_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pipeline_goes_on_when_the_broker_comes_back() {
    let Some(server) = any_server() else { return };
    let options = KafkaOptions::default();
    let Some(kafka) = Kafka::start_or_skip("e2e on Kafka", &options).unwrap() else { return };
    let scene = Scene::on(server).await.with_replica(server).on_kafka(&kafka);
    scene.source.batch_execute(CREATE).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    compare::equal_within(Duration::from_secs(60), &scene.source, &scene.target, &TABLES).await;
    kafka.kill9(1).unwrap();
    scene.source.batch_execute("UPDATE customers SET name = 'while it is away'").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    kafka.start_again(1).unwrap();
    compare::equal_within(Duration::from_secs(90), &scene.source, &scene.target, &TABLES).await;
    assert!(running.is_running(), "{}", running.log());
    running.stop().await.exits_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_takes_over_on_the_same_machine() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let mut scene = Scene::on(server).await.with_replica(server).on_kafka(kafka);
    scene.source.batch_execute(CREATE).await.unwrap();
    let mut first = scene.start();
    first.follows().await;
    // The same port is refused with the key that helps.
    scene.cdc(&["run"]).await.exits_with(1).mentions(&["CDC-5001", "rest.health_port"]);
    let port = Port::reserve().unwrap();
    scene.platform["rest"]["health_port"] = json!(port.number());
    let other = scene.directory().join("other");
    std::fs::create_dir(&other).unwrap();
    let files = ["pipeline.yaml", "platform.yaml"].map(|name| scene.directory().join(name));
    scene.cdc(&["validate"]).await.exits_with(0);
    let [pipeline, platform] = files.map(|file| file.to_str().unwrap().to_owned());
    let arguments = ["run", &pipeline, "--platform-config", &platform];
    let mut second = Running::start(&other, &arguments, port.number());
    second.answers("/healthz", 200).await;
    first.kill9();
    scene.source.batch_execute("UPDATE customers SET name = 'after the kill'").await.unwrap();
    compare::equal_within(Duration::from_secs(90), &scene.source, &scene.target, &TABLES).await;
    assert!(second.is_running(), "{}", second.log());
    second.stop().await.exits_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_made_looked_at_and_removed_on_request() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let mut scene = Scene::on(server).await.with_file().on_kafka(kafka);
    scene.platform["kafka"]["topic_num_partitions"] = json!(3);
    scene.source.batch_execute(CREATE).await.unwrap();
    let topic = format!("{}.public.customers", scene.pipeline["topic_prefix"].as_str().unwrap());
    scene
        .cdc(&["check"])
        .await
        .exits_with(0)
        .mentions(&["Kafka answers", " topics will be created"]);
    let made = format!("created the topic {topic} with 3 partitions");
    scene.cdc(&["deploy"]).await.exits_with(0).mentions(&[&made]);
    let again = scene.cdc(&["deploy"]).await.exits_with(0);
    assert!(!again.output.contains("created the topic"), "{}", again.said());
    scene.platform["kafka"]["topic_num_partitions"] = json!(2);
    let other = format!("the topic {topic} has 3 partitions, and new topics get 2");
    scene.cdc(&["check"]).await.exits_with(0).mentions(&[&other]);
    scene.cdc_within(Duration::from_secs(90), &["run", "--until-current"]).await.exits_with(0);
    assert_eq!(scene.positions().len(), 400 + 133);
    let kept = scene.cdc(&["undeploy"]).await.exits_with(0);
    assert!(!kept.output.contains(&topic), "{}", kept.said());
    let gone = format!("deleted the topic {topic}");
    scene.cdc(&["undeploy", "--topics"]).await.exits_with(0).mentions(&[&gone]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_is_named() {
    let Some(server) = any_server() else { return };
    if Kafka::shared_or_skip("e2e on Kafka").unwrap().is_none() {
        return;
    }
    let mut scene = Scene::on(server).await.with_file();
    let nobody = Port::reserve().unwrap();
    let at = format!("127.0.0.1:{}", nobody.number());
    scene.platform["kafka"] = json!({ "bootstrap_servers": at, "request_timeout_ms": 3000 });
    scene.cdc(&["run"]).await.exits_with(1).mentions(&["CDC-21", &at, "help: "]);
    scene.cdc(&["check"]).await.exits_with(1).mentions(&[&at]);
}
