use crate::world::{Receiver, Reply, context, with};
use async_trait::async_trait;
use cdc_core::catalog::SinkConnector as _;
use cdc_core::{Result, Sink};
use cdc_sink_webhook::{Config, Connector};
use cdc_testkit::conformance::sink::{Destination, Seen, run};
use serde_json::{Value as Json, json};

struct Hook {
    receiver: Receiver,
    config: Config,
}

#[async_trait]
impl Destination for Hook {
    async fn open(&self) -> Result<Box<dyn Sink>> {
        Connector::new(self.config.clone())?.open(&context()).await
    }

    async fn seen(&self) -> Vec<Seen> {
        let taken = self.receiver.taken().into_iter();
        taken
            .map(|(identity, record)| Seen {
                id: record["value"]["after"]["id"].as_i64().unwrap(),
                sequence: record["value"]["after"]["sequence"].as_i64().unwrap(),
                identity,
            })
            .collect()
    }

    fn keeps_total_order(&self) -> bool {
        self.config.concurrency == 1
    }

    async fn lose_next_answer(&self) -> bool {
        self.receiver.reply([Reply::broken(true)]);
        true
    }
}

async fn verify(keys: Json) {
    run(async || {
        let receiver = Receiver::start().await;
        let config = with(&receiver.config(), &keys);
        Hook { receiver, config }
    })
    .await;
}

#[tokio::test]
async fn single_requests_keep_their_promise() {
    verify(json!({})).await;
}

#[tokio::test]
async fn batches_keep_their_promise() {
    verify(json!({"batch": {"max_records": 7, "max_bytes": 100_000}})).await;
}

#[tokio::test]
async fn parallel_requests_keep_their_promise() {
    verify(json!({"concurrency": 5})).await;
}

#[tokio::test]
async fn parallel_batches_keep_their_promise() {
    verify(json!({"concurrency": 3, "batch": {"max_records": 4}})).await;
}
