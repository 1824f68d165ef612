use crate::{SOON, config, scope, soon};
use cdc_core::{Transport as _, transport::Lease};
use cdc_testkit::services::{Kafka, KafkaOptions};
use cdc_transport_kafka::{Config, KafkaTransport, Scope};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead as _, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

const BOOTSTRAP: &str = "KAFKA_LEASE_BOOTSTRAP";
const PIPELINE: &str = "KAFKA_LEASE_PIPELINE";

fn kafka() -> Option<&'static Kafka> {
    Kafka::shared_or_skip("transport-kafka").unwrap()
}

async fn candidate(config: Config, pipeline: &str) -> KafkaTransport {
    let scope = Scope { pipeline: pipeline.to_owned(), ..scope("nothing") };
    KafkaTransport::open(config, scope).await.unwrap()
}

async fn lead(log: &KafkaTransport) -> Lease {
    soon(log.lead("capture")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_given_back_goes_to_the_next_at_once() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("lease");
    let one = candidate(config(kafka), &pipeline).await;
    let two = candidate(config(kafka), &pipeline).await;
    let first = lead(&one).await;
    let mut waiting = tokio::spawn(async move { two.lead("capture").await.unwrap() });
    let early = tokio::time::timeout(Duration::from_secs(8), &mut waiting).await;
    assert!(early.is_err(), "two hold the same name");
    assert!(!first.lost.is_cancelled(), "others who wait cost nothing");
    // Other names are other leases.
    drop(soon(one.lead("another")).await.unwrap());
    let begun = Instant::now();
    drop(first);
    let second = soon(waiting).await.unwrap();
    println!("taken over after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // The holder of before may wait again, and whoever stops waiting is in nobody's way.
    let gone = tokio::time::timeout(Duration::from_secs(2), one.lead("capture")).await;
    assert!(gone.is_err() && !second.lost.is_cancelled());
    drop(second);
    drop(lead(&one).await);
}

/// The process that holds a lease until it is killed or loses it.
#[tokio::test]
#[ignore = "child: started by the tests below"]
async fn child_holds_a_lease() {
    let (Ok(bootstrap_servers), Ok(pipeline)) = (std::env::var(BOOTSTRAP), std::env::var(PIPELINE))
    else {
        return;
    };
    let log = candidate(Config { bootstrap_servers, ..Config::default() }, &pipeline).await;
    let lease = log.lead("capture").await.unwrap();
    println!("held");
    lease.lost.cancelled().await;
    println!("lost");
}

struct Holder {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    fn start(kafka: &Kafka, pipeline: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["lease::child_holds_a_lease", "--exact", "--ignored", "--nocapture"])
            .env(BOOTSTRAP, kafka.bootstrap())
            .env(PIPELINE, pipeline)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut holder = Self { child, lines };
        holder.say("held");
        holder
    }

    fn say(&mut self, word: &str) {
        let said = self.lines.by_ref().find(|line| line.as_ref().unwrap() == word);
        assert!(said.is_some(), "it ended without saying {word}");
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_of_a_process_that_was_killed_is_taken_over_in_seconds() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("killed");
    let mut holder = Holder::start(kafka, &pipeline);
    let log = candidate(config(kafka), &pipeline).await;
    let waiting = tokio::spawn(async move { lead(&log).await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!waiting.is_finished(), "two hold the same name");
    let begun = Instant::now();
    holder.child.kill().unwrap();
    let lease = soon(waiting).await.unwrap();
    println!("taken over after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(!lease.lost.is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stood_still_finds_its_lease_lost() {
    let Some(kafka) = kafka() else { return };
    let pipeline = kafka.name("frozen");
    let mut holder = Holder::start(kafka, &pipeline);
    holder.signal(Signal::STOP);
    let begun = Instant::now();
    let log = candidate(config(kafka), &pipeline).await;
    let lease = lead(&log).await;
    println!("taken over after {:?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(20).saturating_sub(begun.elapsed())).await;
    holder.signal(Signal::CONT);
    let woken = Instant::now();
    let noticed = tokio::task::spawn_blocking(move || {
        holder.say("lost");
        (holder, woken.elapsed())
    });
    let (_holder, after) = soon(noticed).await.unwrap();
    println!("lost {after:?} after it woke up");
    assert!(after < Duration::from_secs(1), "{after:?}");
    assert!(!lease.lost.is_cancelled(), "the one that took over keeps it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_without_a_coordinator_gives_up_before_the_coordinator_does() {
    let options = KafkaOptions::default();
    let Some(kafka) = Kafka::start_or_skip("transport-kafka", &options).unwrap() else { return };
    let config = Config { request_timeout_ms: 5_000, ..config(&kafka) };
    let log = candidate(config, "pipeline").await;
    let lease = lead(&log).await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(!lease.lost.is_cancelled(), "a lease lasts as long as it is renewed");
    kafka.freeze(1).unwrap();
    let begun = Instant::now();
    soon(lease.lost.cancelled()).await;
    let after = begun.elapsed();
    println!("lost {after:?} after the broker froze");
    assert!(after > Duration::from_secs(3) && after < Duration::from_millis(5_800), "{after:?}");
    kafka.thaw(1).unwrap();
    drop(lease);
    let begun = Instant::now();
    drop(tokio::time::timeout(SOON, log.lead("capture")).await.unwrap().unwrap());
    println!("held again after {:?}", begun.elapsed());
}
