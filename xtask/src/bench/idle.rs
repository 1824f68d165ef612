//! One captured row a second beside very many transactions that do not concern `cdc`.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, interval, sleep};
use tokio_postgres::Client;

use super::arena::Arena;
use super::noise::{self, Noise};
use super::percentile::{milliseconds, percentile};
use super::processes::{cpu_seconds, memory_bytes, memory_bytes_peak};
use super::report::{Figure, Report, Target, as_float};
use super::subject::SLOT;
use super::webhook::Webhook;

const WARM_UP: Duration = Duration::from_secs(2);
const CATCH_UP_MAX: Duration = Duration::from_secs(120);

/// How much of everything.
#[derive(clap::Args)]
pub(super) struct Load {
    /// How long the load lasts; a third of it without load comes first.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Transactions a second to aim at; the report says how many it became.
    #[arg(long, default_value_t = 50_000)]
    rate: u64,
}

/// What was seen while a row was inserted each second.
struct Seen {
    delays: Vec<f64>,
    commits: Vec<f64>,
    lags: Vec<f64>,
    memory_bytes: u64,
    cdc_processors: f64,
    walsender_processors: f64,
    transactions_per_second: f64,
}

/// First without the load, then under it, and then how long the slot needs to catch up.
pub(super) async fn run(arena: &Arena<'_>, load: &Load) -> anyhow::Result<Report> {
    let client = &arena.client;
    Noise::prepare(client).await?;
    let mut webhook = Webhook::start(arena).await?;
    let (seconds, quiet_seconds) = (load.seconds.max(2), (load.seconds / 3).max(2));
    println!("one captured row a second for {quiet_seconds} s without load");
    let quiet = watch(&mut webhook, client, quiet_seconds).await?;
    println!("and for {seconds} s beside {} transactions a second, if it can be", load.rate);
    let limit = WARM_UP + Duration::from_secs(seconds * 2) + CATCH_UP_MAX;
    let noise = Noise::start(arena, load.rate, limit)?;
    sleep(WARM_UP).await;
    let busy = watch(&mut webhook, client, seconds).await?;
    drop(noise);
    let catch_up = catch_up_seconds(client).await?;
    let peak = memory_bytes_peak(webhook.process()).unwrap_or(0);
    let mut figures = figures(&quiet, &busy);
    figures.extend([
        Figure::new("peak memory of cdc, MB", as_float(peak) / 1e6, Some(Target::AtMost(100.0))),
        Figure::new("confirmed_flush at the load's end after, s", catch_up, None),
    ]);
    let server = arena.version().await?;
    Ok(Report { name: "idle", server, rounds: 1, figures, ..Report::default() })
}

fn figures(quiet: &Seen, busy: &Seen) -> Vec<Figure> {
    let per_transaction = |processors: f64| processors * 1e6 / busy.transactions_per_second;
    vec![
        Figure::new("transactions a second beside cdc", busy.transactions_per_second, None),
        Figure::new("INSERT to arrival, p50 ms", percentile(&busy.delays, 50), None),
        Figure::new("INSERT to arrival, longest ms", percentile(&busy.delays, 100), None),
        Figure::new("INSERT alone, p50 ms", percentile(&busy.commits, 50), None),
        Figure::new("the same without load, p50 ms", percentile(&quiet.delays, 50), None),
        Figure::new("the same without load, longest ms", percentile(&quiet.delays, 100), None),
        Figure::new("memory of cdc under load, MB", as_float(busy.memory_bytes) / 1e6, None),
        Figure::new("the same without load, MB", as_float(quiet.memory_bytes) / 1e6, None),
        Figure::new("processors of cdc under load, %", busy.cdc_processors * 100.0, None),
        Figure::new("the same without load, %", quiet.cdc_processors * 100.0, None),
        Figure::new("cdc for one transaction, us", per_transaction(busy.cdc_processors), None),
        Figure::new("processors of its walsender, %", busy.walsender_processors * 100.0, None),
        Figure::new("confirmed_flush lag, p50 MB", percentile(&busy.lags, 50), None),
        Figure::new("confirmed_flush lag, longest MB", percentile(&busy.lags, 100), None),
    ]
}

async fn watch(webhook: &mut Webhook<'_>, client: &Client, seconds: u64) -> anyhow::Result<Seen> {
    let first = webhook.sent_count();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.tick().await;
    let walsender = walsender(client).await?;
    let (start, before) = (Instant::now(), noise::transactions(client).await?);
    let used = [webhook.process(), walsender].map(cpu_seconds);
    let (mut commits, mut lags, mut memory) = (Vec::new(), Vec::new(), 0);
    for _ in 0..seconds {
        commits.push(milliseconds(webhook.insert().await?));
        ticks.tick().await;
        lags.push(lag_megabytes(client).await?);
        memory = memory_bytes(webhook.process()).unwrap_or(0).max(memory);
    }
    let elapsed = start.elapsed().as_secs_f64();
    let transactions = noise::transactions(client).await?.saturating_sub(before);
    let now = [webhook.process(), walsender].map(cpu_seconds);
    let processors = |now: Option<f64>, used: Option<f64>| {
        now.zip(used).map_or(f64::NAN, |(now, used)| (now - used) / elapsed)
    };
    let [[cdc, sender], [cdc_used, sender_used]] = [now, used];
    webhook.wait_for_all().await?;
    Ok(Seen {
        delays: webhook.delays(first)?,
        commits,
        lags,
        memory_bytes: memory,
        cdc_processors: processors(cdc, cdc_used),
        walsender_processors: processors(sender, sender_used),
        transactions_per_second: as_float(transactions) / elapsed,
    })
}

async fn walsender(client: &Client) -> anyhow::Result<u32> {
    let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
    let process: Option<i32> = client.query_one(sql, &[&SLOT]).await?.try_get(0)?;
    Ok(u32::try_from(process.context("nobody reads the slot")?)?)
}

async fn lag_megabytes(client: &Client) -> anyhow::Result<f64> {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::float8 / 1e6
               FROM pg_replication_slots WHERE slot_name = $1";
    Ok(client.query_one(sql, &[&SLOT]).await?.try_get(0)?)
}

// Infinite when it takes longer than anybody would wait here.
async fn catch_up_seconds(client: &Client) -> anyhow::Result<f64> {
    let end: String =
        client.query_one("SELECT pg_current_wal_lsn()::text", &[]).await?.try_get(0)?;
    let sql = "SELECT confirmed_flush_lsn >= $2::text::pg_lsn
               FROM pg_replication_slots WHERE slot_name = $1";
    let start = Instant::now();
    while start.elapsed() < CATCH_UP_MAX {
        if client.query_one(sql, &[&SLOT, &end]).await?.try_get(0)? {
            return Ok(start.elapsed().as_secs_f64());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(f64::INFINITY)
}
