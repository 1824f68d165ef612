//! From a change to its arrival.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::{Postgres, Receiver};
use tokio::time::{Instant, interval, sleep};
use tokio_postgres::Client;

use super::report::{Figure, Report, Target};
use super::subject::Subject;
use super::workload;

const RATE: u64 = 1000;
const WARM_UP: u64 = 2 * RATE;
const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(30);

/// Ends `cdc` however the measurement ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already, which is fine here.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Inserts a thousand rows a second, each in a transaction of its own, and notes when the webhook
/// gets each of them.
pub(super) async fn run(binary: &Path, server: &Postgres, seconds: u64) -> anyhow::Result<Report> {
    let database = server.create_database("bench").await?;
    let client = server.connect(&database).await?;
    workload::create_table(&client).await?;
    let receiver = Receiver::start().await?;
    let sink = format!(
        "{{ sink_id: webhook, sink_type: webhook, webhook: {{ url: \"{}\" }} }}",
        receiver.url()
    );
    let subject = Subject::new(binary, server, &database, "bench_cdc", "initial", Some(&sink))?;
    let mut running = Running(subject.command("run").spawn().context("start cdc")?);
    insert(&client, 0).await?;
    wait_for(&receiver, 1, &mut running).await?;
    println!("inserting {RATE} rows a second for {seconds} s");
    let rows = WARM_UP + seconds.max(1) * RATE;
    let mut sent = Vec::new();
    let mut committed = Vec::new();
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(RATE)?);
    for id in 1..=rows {
        ticks.tick().await;
        let before = Instant::now();
        insert(&client, id).await?;
        sent.push(before);
        committed.push(milliseconds(before.elapsed()));
    }
    wait_for(&receiver, rows + 1, &mut running).await?;
    let mut delays = delays(&receiver, &sent)?;
    let trips = round_trips(&client).await?;
    let committed = committed.split_off(usize::try_from(WARM_UP)?);
    let figures = vec![
        Figure::new(
            "INSERT to arrival, p50 ms",
            percentile(&mut delays, 50),
            Some(Target::AtMost(5.0)),
        ),
        Figure::new(
            "INSERT to arrival, p99 ms",
            percentile(&mut delays, 99),
            Some(Target::AtMost(20.0)),
        ),
        Figure::new("INSERT to arrival, longest ms", percentile(&mut delays, 100), None),
        Figure::new("INSERT alone, p50 ms", percentile(&mut committed.clone(), 50), None),
        Figure::new("INSERT alone, p99 ms", percentile(&mut committed.clone(), 99), None),
        Figure::new("network round trip, p50 ms", percentile(&mut trips.clone(), 50), None),
    ];
    let server = workload::version(&client).await?;
    Ok(Report { name: "latency", server, rows, rounds: 1, contenders: Vec::new(), figures })
}

async fn insert(client: &Client, id: u64) -> anyhow::Result<()> {
    let sql =
        format!("INSERT INTO events VALUES ({id}, 1, 'kind', 9.99, now(), true, repeat('x', 72))");
    client.batch_execute(&sql).await.context("insert a row")
}

async fn wait_for(receiver: &Receiver, count: u64, running: &mut Running) -> anyhow::Result<()> {
    let deadline = Instant::now() + ARRIVAL_WAIT_MAX;
    while receiver.accepted_count() < count {
        let ended = running.0.try_wait()?;
        ensure!(ended.is_none(), "cdc ended by itself");
        ensure!(Instant::now() < deadline, "the webhook did not get every change");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn delays(receiver: &Receiver, sent: &[Instant]) -> anyhow::Result<Vec<f64>> {
    let mut delays = Vec::new();
    for request in receiver.accepted() {
        let body = request.json();
        let id = body.pointer("/value/after/id").and_then(serde_json::Value::as_u64);
        let id = id.context("a request without an id")?;
        if id > WARM_UP {
            let sent = sent.get(usize::try_from(id - 1)?).context("an unknown id")?;
            delays.push(milliseconds(request.at.duration_since(*sent)));
        }
    }
    Ok(delays)
}

async fn round_trips(client: &Client) -> anyhow::Result<Vec<f64>> {
    let mut trips = Vec::new();
    for _ in 0..RATE {
        let before = Instant::now();
        client.batch_execute("").await?;
        trips.push(milliseconds(before.elapsed()));
    }
    Ok(trips)
}

fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((values.len() * percent / 100).min(last)).copied().unwrap_or(f64::NAN)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let found = [50, 99, 100].map(|percent| percentile(&mut values, percent));
        assert_eq!(found, [51.0, 100.0, 100.0]);
    }
}
