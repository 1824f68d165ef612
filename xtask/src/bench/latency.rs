//! From a change to its arrival.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::time::Duration;

use tokio::time::{Instant, interval};
use tokio_postgres::Client;

use super::arena::Arena;
use super::percentile::{milliseconds, percentile};
use super::report::{Figure, Report, Target};
use super::webhook::Webhook;

const RATE: u32 = 1000;
const WARM_UP: u64 = 2000;

/// Inserts a thousand rows a second, each in a transaction of its own, and notes when the webhook
/// gets each of them.
pub(super) async fn run(arena: &Arena<'_>, seconds: u64) -> anyhow::Result<Report> {
    let mut webhook = Webhook::start(arena).await?;
    println!("inserting {RATE} rows a second for {seconds} s");
    let rows = WARM_UP + seconds.max(1) * u64::from(RATE);
    let mut committed = Vec::new();
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    for _ in 0..rows {
        ticks.tick().await;
        committed.push(milliseconds(webhook.insert().await?));
    }
    webhook.wait_for_all().await?;
    let warm_up = usize::try_from(WARM_UP)?;
    let delays = webhook.delays(warm_up + 1)?;
    let committed = committed.split_off(warm_up);
    let trips = round_trips(&arena.client).await?;
    let figures = vec![
        Figure::new(
            "INSERT to arrival, p50 ms",
            percentile(&delays, 50),
            Some(Target::AtMost(5.0)),
        ),
        Figure::new(
            "INSERT to arrival, p99 ms",
            percentile(&delays, 99),
            Some(Target::AtMost(20.0)),
        ),
        Figure::new("INSERT to arrival, longest ms", percentile(&delays, 100), None),
        Figure::new("INSERT alone, p50 ms", percentile(&committed, 50), None),
        Figure::new("INSERT alone, p99 ms", percentile(&committed, 99), None),
        Figure::new("network round trip, p50 ms", percentile(&trips, 50), None),
    ];
    let server = arena.version().await?;
    Ok(Report { name: "latency", server, rows, rounds: 1, figures, ..Report::default() })
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
