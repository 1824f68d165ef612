use crate::{config, number_of, open, read_all, records};
use cdc_core::{TopicPartition, Transport as _};
use cdc_testkit::services::Kafka;
use cdc_transport_kafka::Config;
use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

const BOOTSTRAP: &str = "KAFKA_CRASH_BOOTSTRAP";
const PREFIX: &str = "KAFKA_CRASH_PREFIX";

/// The process that is killed. It goes on behind the newest record, as capture does, and prints the
/// number after the last record of each receipt as it resolves.
#[tokio::test]
#[ignore = "child: started by the test below"]
async fn child_appends_until_it_is_killed() {
    let (Ok(bootstrap_servers), Ok(prefix)) = (std::env::var(BOOTSTRAP), std::env::var(PREFIX))
    else {
        return;
    };
    let config = Config { bootstrap_servers, ..Config::default() };
    let log = open(config, &prefix).await;
    let at = TopicPartition::new(format!("{prefix}.t"), 0);
    let newest = log.newest(&at).await.unwrap();
    let mut next = newest.map_or(0, |newest| newest.commit as u64 - 1000 + 1);
    let mut receipts = VecDeque::new();
    loop {
        let count = 1 + next % 700;
        next += count;
        receipts.push_back((next, log.send(&at, records(next - count..next)).await.unwrap()));
        while receipts.len() > 20 {
            let (next, receipt) = receipts.pop_front().unwrap();
            receipt.0.await.unwrap().unwrap();
            println!("acknowledged {next}");
            std::io::stdout().flush().unwrap();
        }
    }
}

/// Lets the child run until it has acknowledged so many appends, kills it, and returns the number
/// after the last record that it acknowledged.
fn run_and_kill(bootstrap: &str, prefix: &str, appends: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::child_appends_until_it_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(BOOTSTRAP, bootstrap)
        .env(PREFIX, prefix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut last = 0;
    let number = |line: &str| line.strip_prefix("acknowledged ")?.parse::<u64>().ok();
    for _ in 0..appends {
        last = lines.by_ref().find_map(|line| number(&line.unwrap())).expect("it ended by itself");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it printed before it died counts as well.
    lines.map_while(Result::ok).filter_map(|line| number(&line)).last().unwrap_or(last)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_and_what_follows_joins_on() {
    let Some(kafka) = Kafka::shared_or_skip("transport-kafka").unwrap() else { return };
    let prefix = kafka.name("crash");
    let at = TopicPartition::new(format!("{prefix}.t"), 0);
    for round in 0..8 {
        let acknowledged = run_and_kill(&kafka.bootstrap(), &prefix, 1 + round * 7 % 40);
        let log = open(config(kafka), &prefix).await;
        let kept = read_all(&log, &at).await;
        // The brokers may take a moment longer to have what the killed process had sent.
        assert!(kept.iter().map(number_of).eq(0..kept.len() as u64), "round {round}");
        assert!(kept.len() as u64 >= acknowledged, "round {round}: {} {acknowledged}", kept.len());
    }
}
