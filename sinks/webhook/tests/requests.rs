use crate::world::{Receiver, Reply, changes, config, context, deliver, identities, open, with};
use cdc_core::catalog::SinkConnector as _;
use cdc_core::clock::Clock;
use cdc_core::finding::Level;
use cdc_sink_webhook::Connector;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::test]
async fn a_request_carries_one_change_as_the_contract_says() {
    let receiver = Receiver::start().await;
    let changes = changes(5);
    deliver(&mut *receiver.open().await, &changes).await;
    let requests = receiver.all();
    assert_eq!(requests.len(), 5);
    for (request, delivered) in requests.iter().zip(&changes) {
        let body = request.json();
        let members: Vec<&String> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["key", "value", "metadata"]);
        let offset = delivered.offset.0;
        let metadata = json!({"topic": *delivered.topic, "partition": 0, "offset": offset});
        assert_eq!(body["metadata"], metadata);
        assert_eq!(body["value"]["source"]["table"], delivered.change.schema.table.name);
        assert!(body["key"]["id"].is_i64());
        assert_eq!(request.method, "POST");
        assert_eq!(request.headers["content-type"], "application/json");
        assert!(request.headers["user-agent"].starts_with("cdc/"));
        assert!(!request.headers.contains_key("cdc-signature"));
        assert!(!request.headers.contains_key("authorization"));
    }
    assert_eq!(receiver.identities(), identities(&changes));
}

#[tokio::test]
async fn identities_are_the_same_in_every_session() {
    let receiver = Receiver::start().await;
    let changes = changes(3);
    for _ in 0..2 {
        deliver(&mut *receiver.open().await, &changes).await;
    }
    assert_eq!(receiver.identities(), [identities(&changes), identities(&changes)].concat());
}

#[tokio::test]
async fn configured_headers_are_sent() {
    let receiver = Receiver::start().await;
    let keys = json!({
        "method": "PUT",
        "auth_token": "t0ken",
        "headers": {"X-Team": "data", "Content-Type": "application/vnd.shop+json"},
    });
    let mut sink = open(with(&receiver.config(), &keys)).await.unwrap();
    deliver(&mut *sink, &changes(1)).await;
    let request = &receiver.all()[0];
    assert_eq!(request.method, "PUT");
    assert_eq!(request.headers["authorization"], "Bearer t0ken");
    assert_eq!(request.headers["x-team"], "data");
    assert_eq!(request.headers["content-type"], "application/vnd.shop+json");
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000)
    }
}

#[tokio::test]
async fn a_signature_covers_time_and_body() {
    let receiver = Receiver::start().await;
    let config = with(&receiver.config(), &json!({"signing_secret": "shared"}));
    let connector = Connector::new(config).unwrap().with_clock(Arc::new(Noon));
    let mut sink = connector.open(&context()).await.unwrap();
    deliver(&mut *sink, &changes(2)).await;
    for request in receiver.all() {
        let signed = request.headers["cdc-signature"].clone();
        let hex = signed.strip_prefix("t=1700000000,v1=").unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"shared").unwrap();
        mac.update(b"1700000000.");
        mac.update(&request.body);
        let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap();
        let pairs = hex.as_bytes().chunks(2);
        let bytes: Vec<u8> = pairs
            .map(|pair| u8::try_from(digit(&pair[0]) * 16 + digit(&pair[1])).unwrap())
            .collect();
        mac.verify_slice(&bytes).unwrap();
    }
}

#[tokio::test]
async fn a_batch_is_an_array_below_its_limits() {
    let receiver = Receiver::start().await;
    let keys = json!({"batch": {"max_records": 4, "max_bytes": 6_000}});
    let mut sink = open(with(&receiver.config(), &keys)).await.unwrap();
    let changes = changes(30);
    deliver(&mut *sink, &changes).await;
    let requests = receiver.all();
    assert!(requests.len() >= 8 && requests.len() < 30);
    for request in &requests {
        let records = request.records();
        assert!(records.len() <= 4);
        assert!(request.body.len() <= 6_000 || records.len() == 1);
        let (first, last) = (&records[0].0, &records[records.len() - 1].0);
        let key = &request.headers["idempotency-key"];
        if records.len() == 1 {
            assert_eq!(key, first);
        } else {
            let last = last.strip_prefix("shop/hook/").unwrap();
            assert_eq!(key, &format!("{first}..{last}"));
        }
    }
    assert_eq!(receiver.identities(), identities(&changes));
}

#[tokio::test]
async fn a_change_above_the_limit_has_a_request_of_its_own() {
    let receiver = Receiver::start().await;
    let keys = json!({"batch": {"max_records": 100, "max_bytes": 1}});
    let mut sink = open(with(&receiver.config(), &keys)).await.unwrap();
    let changes = changes(4);
    deliver(&mut *sink, &changes).await;
    assert_eq!(receiver.all().len(), 4);
    assert!(receiver.all().iter().all(|request| request.json().is_array()));
    assert_eq!(receiver.identities(), identities(&changes));
}

#[tokio::test]
async fn one_connection_serves_all_requests() {
    let receiver = Receiver::start().await;
    receiver.behave(|_| Reply::ok().body("thanks ".repeat(300)));
    let mut sink = receiver.open().await;
    for changes in changes(20).chunks(5) {
        deliver(&mut *sink, changes).await;
    }
    let connections: BTreeSet<_> = receiver.all().iter().map(|request| request.from).collect();
    assert_eq!(connections.len(), 1);
}

#[tokio::test]
async fn requests_run_side_by_side_up_to_the_limit() {
    let receiver = Receiver::start().await;
    receiver.behave(|_| Reply::ok().after(Duration::from_millis(20)));
    let changes = changes(40);
    deliver(&mut *receiver.open().await, &changes).await;
    assert_eq!(receiver.under_way_most(), 1);
    let mut sink = open(with(&receiver.config(), &json!({"concurrency": 6}))).await.unwrap();
    deliver(&mut *sink, &changes).await;
    assert!((2..=6).contains(&receiver.under_way_most()), "{}", receiver.under_way_most());
}

#[tokio::test]
async fn check_connects_and_sends_nothing() {
    let receiver = Receiver::start().await;
    let levels = async |config| -> Vec<Level> {
        let findings = Connector::new(config).unwrap().check(&context(), &[]).await;
        assert!(findings.iter().all(|f| !f.what.contains("topsecret")), "{findings:?}");
        findings.into_iter().map(|finding| finding.level).collect()
    };
    assert_eq!(levels(receiver.config()).await, [Level::Ok]);
    assert!(receiver.all().is_empty());
    let closed = config(&json!({"url": "http://127.0.0.1:1/topsecret"}));
    assert_eq!(levels(closed).await, [Level::Error]);
    let unknown = config(&json!({"url": "https://no-such-host.invalid/topsecret"}));
    assert_eq!(levels(unknown).await, [Level::Error]);
    let tls = json!({"url": "https://127.0.0.1:1/", "tls": {"ca_file": "/no/such/file"}});
    assert_eq!(levels(config(&tls)).await, [Level::Error, Level::Error]);
}
