use std::net::TcpStream;
use std::time::Instant;

use cdc_testkit::services::kafka::Listener;
use cdc_testkit::services::{Kafka, KafkaOptions};

fn answers(kafka: &Kafka, listener: Listener) -> bool {
    kafka.listener(listener).split(',').all(|address| TcpStream::connect(address).is_ok())
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a real start is measured")]
fn a_broker_starts_with_every_listener_and_leaves_nothing_behind() {
    let begun = Instant::now();
    let options = KafkaOptions { secured: true, ..KafkaOptions::default() };
    let Some(kafka) = Kafka::start_or_skip("testkit-kafka", &options).unwrap() else { return };
    println!("one broker is ready after {:?}", begun.elapsed());
    for listener in [Listener::Plain, Listener::Sasl, Listener::SaslTls, Listener::MutualTls] {
        assert!(answers(&kafka, listener), "{listener:?}");
    }
    let directory = kafka.directory().to_path_buf();
    drop(kafka);
    assert!(!directory.exists());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a real start is measured")]
fn three_brokers_start_and_one_comes_back_after_a_kill() {
    let begun = Instant::now();
    let options = KafkaOptions { brokers: 3, ..KafkaOptions::default() };
    let Some(kafka) = Kafka::start_or_skip("testkit-kafka", &options).unwrap() else { return };
    println!("three brokers are ready after {:?}", begun.elapsed());
    kafka.kill9(2).unwrap();
    assert!(!answers(&kafka, Listener::Plain));
    kafka.freeze(1).unwrap();
    kafka.thaw(1).unwrap();
    let begun = Instant::now();
    kafka.start_again(2).unwrap();
    println!("a killed broker is back after {:?}", begun.elapsed());
    assert!(answers(&kafka, Listener::Plain));
}
