//! The connector against a REST interface like that of Kafka Connect.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod connect;

use cdc_core::{
    Finding, Position, Result, Source,
    catalog::{CapturedTable, SourceConnector},
};
use cdc_source_debezium::{Config, Connector, OWNER};
use std::{collections::BTreeMap, sync::Arc};

use connect::Connect;

/// A database that has nothing to say.
struct Native;

#[async_trait::async_trait]
impl SourceConnector for Native {
    fn kind(&self) -> &'static str {
        "postgres"
    }
    async fn check(&self) -> (Vec<Finding>, Vec<CapturedTable>) {
        (Vec::new(), Vec::new())
    }
    async fn provision(&self) -> Result<Vec<String>> {
        panic!("Debezium provisions");
    }
    async fn retire(&self) -> Result<Vec<String>> {
        Ok(vec!["dropped the slot".to_owned()])
    }
    async fn open(&self) -> Result<Box<dyn Source>> {
        panic!("Debezium captures");
    }
    fn begins_with_rows(&self) -> bool {
        true
    }
    async fn current_position(&self) -> Result<Position> {
        panic!("Debezium captures");
    }
}

fn connector(connect: &Connect, slot: &str) -> Connector {
    let config = Config {
        connect_url: connect.url(),
        retry_max_attempts: 2,
        retry_wait_seconds: 0.001,
        ..Config::default()
    };
    let settings = [(OWNER, "shop"), ("topic.prefix", "shop"), ("slot.name", slot)];
    let settings: BTreeMap<_, _> =
        settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Connector::new(Arc::new(Native), &config, settings).unwrap()
}

#[tokio::test]
async fn a_connector_is_made_once_changed_when_asked_for_and_removed() {
    let connect = Connect::start().await;
    let made = connector(&connect, "one").provision().await.unwrap();
    assert!(made[0].starts_with("made the connector shop"), "{made:?}");
    assert_eq!(connector(&connect, "one").provision().await.unwrap(), Vec::<String>::new());
    let changed = connector(&connect, "two").provision().await.unwrap();
    assert_eq!(changed, ["gave the connector shop its new settings"]);
    assert_eq!(connect.setting("shop", "slot.name").as_deref(), Some("two"));
    let removed = connector(&connect, "two").retire().await.unwrap();
    assert_eq!(removed, ["removed the connector shop", "dropped the slot"]);
    assert_eq!(connect.setting("shop", "slot.name"), None);
}

#[tokio::test]
async fn a_connector_of_others_stays_as_it_is() {
    let connect = Connect::start().await;
    connect.put("shop", &[("topic.prefix", "shop"), ("slot.name", "theirs")]);
    assert_eq!(connector(&connect, "ours").provision().await.unwrap(), Vec::<String>::new());
    let kept = connector(&connect, "ours").retire().await.unwrap();
    assert_eq!(kept, ["left the connector shop alone: somebody else made it"]);
    assert_eq!(connect.setting("shop", "slot.name").as_deref(), Some("theirs"));
    connect.put("shop", &[("topic.prefix", "other")]);
    let error = connector(&connect, "ours").provision().await.unwrap_err();
    assert_eq!(error.code, "CDC-1205");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_taken_for_a_connector_that_is_not_there() {
    let connect = Connect::start().await;
    connect.put_raw("shop", serde_json::json!(["a proxy's page"]));
    let error = connector(&connect, "ours").provision().await.unwrap_err();
    assert_eq!(error.code, "CDC-1203");
    assert!(error.context.contains("connect_url"), "{error}");
    assert_eq!(connect.setting("shop", "slot.name"), None, "nothing was put over it");
}

#[tokio::test]
async fn workers_that_are_busy_are_asked_again_and_a_failed_connector_is_started() {
    let connect = Connect::start().await;
    connect.refuse_once();
    connector(&connect, "one").provision().await.unwrap();
    connect.fail("shop", "boom\nCaused by: java.lang.Error: no such slot");
    let (findings, _) = connector(&connect, "one").check().await;
    assert!(findings.iter().any(|found| found.what.contains("no such slot")), "{findings:?}");
    let done = connector(&connect, "one").provision().await.unwrap();
    assert_eq!(done, ["started the connector shop again, which had failed"]);
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address() {
    let config = Config {
        connect_url: "http://127.0.0.1:1".to_owned(),
        retry_max_attempts: 1,
        ..Config::default()
    };
    let settings = BTreeMap::from([(OWNER.to_owned(), "shop".to_owned())]);
    let connector = Connector::new(Arc::new(Native), &config, settings).unwrap();
    let error = connector.provision().await.unwrap_err();
    assert_eq!(error.code, "CDC-1202");
    assert!(error.context.contains("http://127.0.0.1:1"), "{error}");
    assert_eq!(connector.current_position().await.unwrap_err().code, "CDC-1206");
}
