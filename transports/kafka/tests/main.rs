//! The Kafka transport against real brokers: the shared suite, logins, groups, transactions and brokers
//! that fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "tests"
)]

/// The preflight.
mod check;
/// The shared suite.
mod conformance;
/// A process killed while it appends.
mod crash;
/// Brokers that are killed, frozen and lose leadership.
mod faults;
/// Consumer groups, rebalances and committed offsets.
mod group;
/// One holder of a name.
mod lease;
/// Ways to log in.
mod login;
/// Groups that Kafka has lost.
mod lost_group;
/// Headers, tombstones, partitions and what retention removed.
mod records;
/// The state that processes share.
mod state;
/// Records in transactions.
mod transaction;

use bytes::Bytes;
use cdc_core::{Offset, Position, TopicPartition, Transport as _};
use cdc_testkit::services::Kafka;
use cdc_transport_kafka::{Config, Incoming, KafkaTransport, Outgoing, Scope};
use std::time::Duration;

/// What should happen at once happens within this time on a slow machine.
const SOON: Duration = Duration::from_secs(60);

fn config(kafka: &Kafka) -> Config {
    Config { bootstrap_servers: kafka.bootstrap(), ..Config::default() }
}

fn scope(prefix: &str) -> Scope {
    Scope {
        foreign: false,
        prefix: prefix.to_owned(),
        without_suffixes: vec!["dlq".to_owned()],
        ..Scope::default()
    }
}

async fn open(config: Config, prefix: &str) -> KafkaTransport {
    KafkaTransport::open(config, scope(prefix)).await.unwrap()
}

/// Record number `number`: everything about it follows from the number.
fn record(number: u64) -> Outgoing {
    let text = format!("{number:020}");
    Outgoing {
        key: Some(Bytes::from(format!("key-{number}"))),
        value: Some(Bytes::from(text.repeat(1 + (number % 7) as usize))),
        headers: Vec::new(),
        position: Position::new(1000 + u128::from(number), 1),
    }
}

fn records(numbers: std::ops::Range<u64>) -> Vec<Outgoing> {
    numbers.map(record).collect()
}

fn number_of(record: &Incoming) -> u64 {
    (record.position.unwrap().commit - 1000) as u64
}

async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(SOON, what).await.expect("what should happen at once does not happen")
}

async fn send(log: &KafkaTransport, to: &TopicPartition, records: Vec<Outgoing>) -> Offset {
    let receipt = soon(log.send(to, records)).await.unwrap();
    soon(receipt.0).await.unwrap().unwrap()
}

async fn read_all(log: &KafkaTransport, of: &TopicPartition) -> Vec<Incoming> {
    let end = log.end(of).await.unwrap();
    let mut next = log.start(of).await.unwrap();
    let mut reader = log.records(of, next).await.unwrap();
    let mut seen = Vec::new();
    while next < end {
        let batch = soon(reader.next(100_000)).await.unwrap();
        next = batch.next;
        seen.extend(batch.records);
    }
    seen
}
