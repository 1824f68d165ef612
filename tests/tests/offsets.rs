//! Offsets of sinks that Kafka has lost, and where they come from again.

use std::time::Duration;

use cdc_testkit::services::{Kafka, Postgres, Receiver};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use crate::process::{Ended, eventually};
use crate::scene::{Scene, any_server};

const RUN_WAIT: Duration = Duration::from_secs(120);
const CREATE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text);
    INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 50) n;";

fn admin(kafka: &Kafka) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", kafka.bootstrap()).create().unwrap()
}

impl Scene {
    fn storing_offsets(mut self, server: &Postgres) -> Self {
        let block = self.database_block(server);
        self.platform["kafka"]["offset_storage"] = json!("postgres");
        self.platform["kafka"]["offset_storage_postgres"] = block;
        self
    }

    fn topic(&self) -> String {
        format!("{}.public.t", self.pipeline["topic_prefix"].as_str().unwrap())
    }

    /// As an administrator would, or Kafka itself after a week without members.
    async fn lose_group(&self, kafka: &Kafka, sink_id: &str) {
        let group_id = self.platform["kafka"]["group_id"].as_str().unwrap();
        let group = format!("{group_id}.shop.{sink_id}");
        eventually("the group can be deleted", async || {
            let deleted = admin(kafka).delete_groups(&[&group], &AdminOptions::new()).await;
            deleted.is_ok_and(|deleted| deleted.iter().all(Result::is_ok))
        })
        .await;
    }

    async fn delete_topic(&self, kafka: &Kafka) {
        let deleted = admin(kafka).delete_topics(&[&self.topic()], &AdminOptions::new()).await;
        assert!(deleted.unwrap().iter().all(Result::is_ok));
    }

    async fn current(&self) -> Ended {
        self.cdc_within(RUN_WAIT, &["run", "--until-current"]).await
    }

    /// Brings what is new into the topic, and nowhere else.
    async fn capture_only(&mut self) {
        self.pipeline["sinks"][0]["enabled"] = json!(false);
        self.current().await.exits_with(0);
        self.pipeline["sinks"][0]["enabled"] = json!(true);
    }

    async fn insert(&self, from: i32, to: i32) {
        let sql = format!("INSERT INTO t SELECT n, 'later' FROM generate_series({from}, {to}) n");
        self.source.batch_execute(&sql).await.unwrap();
    }

    /// Kafka's and the stored offset of the table's topic.
    async fn offsets(&self, sink_id: &str) -> (Value, Value) {
        let shown = self.cdc(&["offsets show", "--json", "--sink-id", sink_id]).await;
        let shown = shown.exits_with(0).json();
        let of_table = |one: &&Value| one["topic"] == json!(self.topic());
        let found = shown.as_array().unwrap().iter().find(of_table);
        let found = found.unwrap_or_else(|| panic!("{shown}"));
        (found["kafka"]["offset"].clone(), found["stored"]["offset"].clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_kafka_has_lost_goes_on_from_the_stored_offsets() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let receiver = Receiver::start().await.unwrap();
    let scene = Scene::on(server).await.with_webhook(&receiver).on_kafka(kafka);
    let scene = scene.storing_offsets(server);
    scene.source.batch_execute(CREATE).await.unwrap();
    scene.cdc(&["check"]).await.exits_with(0).mentions(&["cdc.group_offsets will be created"]);
    scene.current().await.exits_with(0);
    assert_eq!(receiver.accepted_count(), 50);
    assert_eq!(scene.offsets("webhook").await, (json!(50), json!(50)));

    scene.lose_group(kafka, "webhook").await;
    assert_eq!(scene.offsets("webhook").await, (Value::Null, json!(50)));
    scene.insert(51, 53).await;
    let ended = scene.current().await.exits_with(0);
    assert!(ended.said().contains("the log has lost the offset of this sink"), "{}", ended.said());
    assert_eq!(receiver.accepted_count(), 53, "neither lost nor delivered again");
    assert_eq!(scene.offsets("webhook").await, (json!(53), json!(53)));

    scene.lose_group(kafka, "webhook").await;
    scene.cdc(&["offsets restore"]).await.exits_with(0).mentions(&["restored", &scene.topic()]);
    assert_eq!(scene.offsets("webhook").await, (json!(53), json!(53)));
    let again = scene.cdc(&["offsets restore", "--sink-id", "webhook"]).await.exits_with(0);
    again.mentions(&["Kafka has every stored offset"]);
    // Somebody sets the offsets while nobody runs: the stored ones are still the last ones delivered.
    scene.source.batch_execute("UPDATE t SET v = 'x' WHERE id = 1").await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    eventually("the update arrives", async || receiver.accepted_count() == 54).await;
    running.kill9();
    scene.target.batch_execute("UPDATE cdc.group_offsets SET next_offset = 1").await.unwrap();
    let refused = scene.cdc(&["offsets restore"]).await.exits_with(1);
    refused.mentions(&["CDC-2124", "stop every process of the pipeline"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_storage_a_lost_group_begins_at_the_oldest_record() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let receiver = Receiver::start().await.unwrap();
    let scene = Scene::on(server).await.with_webhook(&receiver).with_file().on_kafka(kafka);
    scene.source.batch_execute(CREATE).await.unwrap();
    scene.current().await.exits_with(0);
    assert_eq!(scene.offsets("webhook").await, (json!(50), Value::Null));
    scene.lose_group(kafka, "webhook").await;
    scene.lose_group(kafka, "file").await;
    let refused = scene.cdc(&["offsets restore"]).await.exits_with(1);
    refused.mentions(&["CDC-0133", "kafka.offset_storage: postgres"]);
    scene.current().await.exits_with(0);
    assert_eq!(receiver.accepted_count(), 100, "all records once more");
    // A sink with its own checkpoint needs no group, and gives its offsets back to Kafka.
    let lines = std::fs::read_to_string(scene.file()).unwrap().lines().count();
    assert_eq!(lines, 50);
    assert_eq!(scene.offsets("file").await, (json!(50), Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_offset_of_a_topic_that_was_made_anew_is_refused() {
    let Some(server) = any_server() else { return };
    let Some(kafka) = Kafka::shared_or_skip("e2e on Kafka").unwrap() else { return };
    let receiver = Receiver::start().await.unwrap();
    let scene = Scene::on(server).await.with_webhook(&receiver).on_kafka(kafka);
    let mut scene = scene.storing_offsets(server);
    scene.source.batch_execute(CREATE).await.unwrap();
    scene.current().await.exits_with(0);
    scene.delete_topic(kafka).await;
    scene.lose_group(kafka, "webhook").await;
    let topic = scene.topic();
    let forget = format!("cdc offsets forget PIPELINE --sink-id SINK --topic {topic}");
    // The new topic is shorter than the old one was …
    scene.insert(51, 60).await;
    scene.capture_only().await;
    scene.current().await.exits_with(1).mentions(&["CDC-2110", &forget]);
    // … and then longer.
    scene.insert(61, 120).await;
    scene.capture_only().await;
    scene.current().await.exits_with(1).mentions(&["CDC-4014", &forget]);
    scene.cdc(&["offsets restore"]).await.exits_with(1).mentions(&["CDC-4014"]);
    assert_eq!(receiver.accepted_count(), 50, "nothing is delivered with a gap");
    let words = ["offsets forget", "--sink-id", "webhook", "--topic", &topic];
    scene.cdc(&words).await.exits_with(0).mentions(&["1 stored offset forgotten"]);
    scene.current().await.exits_with(0);
    assert_eq!(receiver.accepted_count(), 120);
    let gone = scene.cdc(&["undeploy", "--topics"]).await.exits_with(0);
    gone.mentions(&["forgot 1 stored offsets of sink webhook"]);
}
