//! From before an INSERT to the arrival at a consumer of the topic, at a fixed rate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use cdc_testkit::services::Connect;
use tokio::time::interval;

use super::Place;
use super::contender::{self, Form};
use super::watch::What;
use crate::bench::measure::Running;
use crate::bench::percentile::percentile;
use crate::bench::report::Figure;
use crate::bench::subject::{self, Subject};
use crate::bench::workload;

/// Rows a second, each in a transaction of its own.
pub(super) const RATE: u32 = 1000;
const WARM_UP: usize = 2000;
const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(120);
// Both begin with an empty table and read rows that come later.
const SNAPSHOT_MODE: &str = "initial";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Cdc,
    Debezium,
}

/// One of them at work.
enum Contender {
    Cdc { _running: Running, _files: Subject },
    Debezium { _worker: Connect },
}

impl Contender {
    fn start(place: &Place<'_>, who: Who, prefix: &str) -> anyhow::Result<Self> {
        match who {
            Who::Cdc => {
                let files = contender::files(place, Form::Json, prefix, SNAPSHOT_MODE, None)?;
                let running = Running::start(&mut files.command("run"))?;
                Ok(Self::Cdc { _running: running, _files: files })
            }
            Who::Debezium => {
                let worker = contender::started(place, Form::Json, prefix, SNAPSHOT_MODE)?;
                Ok(Self::Debezium { _worker: worker })
            }
        }
    }
}

/// The figures of one contender.
pub(super) async fn run(place: &Place<'_>, who: Who, seconds: u64) -> anyhow::Result<Vec<Figure>> {
    let prefix = match who {
        Who::Cdc => "cdc_latency",
        Who::Debezium => "debezium_latency",
    };
    let client = &place.arena.client;
    client.batch_execute("TRUNCATE events").await?;
    let rows = WARM_UP + usize::try_from(seconds.max(1))? * usize::try_from(RATE)?;
    let topic = format!("{prefix}.public.events");
    let mut watch = place.program.watch(What::Arrivals, place.brokers, &topic, rows as u64).await?;
    // Each ends when it goes out of scope.
    let _contender = Contender::start(place, who, prefix)?;
    let mut sent = Vec::with_capacity(rows);
    let mut ticks = interval(Duration::from_secs(1) / RATE);
    for id in 0..rows {
        ticks.tick().await;
        #[expect(clippy::disallowed_methods, reason = "is compared with the time of records")]
        sent.push(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros());
        let sql = format!(
            "INSERT INTO events VALUES ({id}, 1, 'kind', 9.99, now(), true, repeat('x', 72))"
        );
        client.batch_execute(&sql).await.context("insert a row")?;
        // The first rows wait until it follows the database's log.
        while id == 0 && !watch.has_begun() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    watch.done(ARRIVAL_WAIT_MAX).await?;
    let delays = delays(&sent, watch.arrivals());
    let name = match who {
        Who::Cdc => "cdc",
        Who::Debezium => "Debezium",
    };
    Ok([50, 99, 100]
        .into_iter()
        .map(|percent| {
            let what = format!("{name}: INSERT to arrival, p{percent} ms");
            Figure::new(what, percentile(&delays, percent), None)
        })
        .collect())
}

/// Forgets what a contender leaves in the database.
pub(super) async fn clean_up(place: &Place<'_>) -> anyhow::Result<()> {
    let client = &place.arena.client;
    for slot in [subject::SLOT, "bench_debezium"] {
        let sql = "SELECT FROM pg_replication_slots WHERE slot_name = $1";
        if client.query_opt(sql, &[&slot]).await?.is_some() {
            workload::drop_slot(client, slot).await?;
        }
    }
    Ok(())
}

/// Milliseconds of each row after the warm-up.
fn delays(sent: &[u128], arrivals: &[(usize, u64)]) -> Vec<f64> {
    let measured = arrivals.iter().filter(|(id, _)| *id >= WARM_UP);
    let delay = |(id, at): &(usize, u64)| {
        let micros = u128::from(*at).saturating_sub(*sent.get(*id)?);
        Some(Duration::from_micros(u64::try_from(micros).ok()?).as_secs_f64() * 1e3)
    };
    measured.filter_map(delay).collect()
}

#[cfg(test)]
mod tests {
    use super::{WARM_UP, delays};

    #[test]
    fn rows_of_the_warm_up_do_not_count() {
        let sent = vec![1_000; WARM_UP + 1];
        assert_eq!(delays(&sent, &[(0, 9_000), (WARM_UP, 3_000)]), [2.0]);
    }
}
