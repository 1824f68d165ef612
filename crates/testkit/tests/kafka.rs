use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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

#[test]
fn holds_brokers_until_it_is_killed() {
    if std::env::var_os("CDC_TEST_HOLD_BROKERS").is_none() {
        return;
    }
    let options = KafkaOptions { brokers: 2, ..KafkaOptions::default() };
    let Some(kafka) = Kafka::start_or_skip("testkit-kafka", &options).unwrap() else { return };
    // A frozen one must go as well.
    kafka.freeze(2).unwrap();
    println!("\ndirectory {} {}", kafka.directory().display(), kafka.bootstrap());
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_broker_behind() {
    if Kafka::is_missing().is_some() {
        return;
    }
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kafka::holds_brokers_until_it_is_killed", "--nocapture"])
        .env("CDC_TEST_HOLD_BROKERS", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let line = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("directory ").map(str::to_owned))
        .unwrap();
    let (directory, bootstrap) = line.split_once(' ').unwrap();
    assert!(std::path::Path::new(directory).join("2.pid").exists());
    holder.kill().unwrap();
    holder.wait().unwrap();
    for _ in 0..400 {
        let listens = bootstrap.split(',').any(|address| TcpStream::connect(address).is_ok());
        if !std::path::Path::new(directory).exists() && !listens {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{directory} or a broker of {bootstrap} is still there");
}
