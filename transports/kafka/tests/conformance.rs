use crate::{config, scope};
use cdc_testkit::{conformance, services::Kafka};
use cdc_transport_kafka::{Config, KafkaTransport, Scope};

async fn keeps_the_promises(kafka: &Kafka, with: impl Fn(Config) -> Config) {
    // The suite calls its topic `orders`, and every run needs a new one.
    let broker_of_its_own = kafka;
    let open = async || {
        let only = Scope { also: vec!["orders".to_owned()], ..scope("nothing") };
        let log = KafkaTransport::open(with(config(broker_of_its_own)), only).await.unwrap();
        log.provision(&[log.plan("orders")]).await.unwrap();
        log
    };
    conformance::transport::transport(open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_keeps_the_promises_of_a_transport() {
    let Some(kafka) = Kafka::start_or_skip("transport-kafka", &Default::default()).unwrap() else {
        return;
    };
    keeps_the_promises(&kafka, |config| config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_them_with_small_buffers_and_no_linger() {
    let Some(kafka) = Kafka::start_or_skip("transport-kafka", &Default::default()).unwrap() else {
        return;
    };
    keeps_the_promises(&kafka, |config| Config {
        buffer_bytes: 1 << 20,
        fetch_buffer_bytes: 1 << 16,
        linger_ms: 0,
        ..config
    })
    .await;
}
