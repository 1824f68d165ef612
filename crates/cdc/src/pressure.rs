//! Capture waits while sinks are too far behind, so that they catch up before the topics' retention has
//! passed what they have not got.

use crate::{config::BesideKafka, settings::Settings};
use cdc_transport_kafka::KafkaTransport;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

/// How often it is looked how far sinks are behind.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// How many records a sink may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thresholds {
    /// Above this capture waits …
    pause: u64,
    /// … until every sink is at most so far behind.
    resume: u64,
}

/// How far one sink is behind.
struct Behind {
    sink_id: String,
    records: u64,
}

impl Thresholds {
    fn of(beside: &BesideKafka) -> Option<Self> {
        let pause = beside.pause_capture_lag?;
        Some(Self { pause, resume: beside.resume_capture_lag.unwrap_or(pause / 2) })
    }

    /// Why capture waits now; `None` where it does not.
    fn why(self, waits: bool, sinks: &[Behind]) -> Option<String> {
        let limit = if waits { self.resume } else { self.pause };
        let worst = sinks.iter().max_by_key(|sink| sink.records);
        worst.filter(|sink| sink.records > limit).map(|sink| {
            format!(
                "sink {} is {} records behind, and kafka.pause_capture_lag is {}; capture goes on when \
                 every sink is at most {} behind",
                sink.sink_id, sink.records, self.pause, self.resume
            )
        })
    }
}

/// Tells capture when to wait, and why. Never ends.
pub(crate) async fn follow(
    kafka: Option<Arc<KafkaTransport>>,
    settings: &Settings,
    hold: watch::Sender<Option<String>>,
) {
    let beside = settings.platform.kafka().map(|kafka| kafka.beside);
    let thresholds = beside.as_ref().and_then(Thresholds::of);
    let (Some(kafka), Some(thresholds)) = (kafka, thresholds) else {
        return std::future::pending().await;
    };
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match look(&kafka, settings).await {
            Ok(sinks) => {
                let waits = hold.borrow().is_some();
                let why = thresholds.why(waits, &sinks);
                hold.send_if_modified(|now| {
                    let changed = *now != why;
                    *now = why;
                    changed
                });
            }
            // Whoever cannot go on without the cluster tells that.
            Err(error) => tracing::debug!(%error, "the lag of sinks cannot be looked up"),
        }
    }
}

async fn look(kafka: &KafkaTransport, settings: &Settings) -> cdc_core::Result<Vec<Behind>> {
    let mut sinks = Vec::with_capacity(settings.sinks.len());
    for sink in &settings.sinks {
        let lags = kafka.lag(&sink.sink_id).await?;
        let records = lags.iter().map(|lag| lag.records).sum();
        sinks.push(Behind { sink_id: sink.sink_id.clone(), records });
    }
    Ok(sinks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_waits_above_one_lag_and_goes_on_below_another() {
        let thresholds = Thresholds { pause: 100, resume: 20 };
        let mut waits = false;
        let mut step = |a, b| {
            let behind = |sink_id: &str, records| Behind { sink_id: sink_id.to_owned(), records };
            waits = thresholds.why(waits, &[behind("a", a), behind("b", b)]).is_some();
            waits
        };
        let seen =
            [step(0, 0), step(100, 3), step(101, 3), step(60, 3), step(20, 21), step(20, 20)];
        assert_eq!(seen, [false, false, true, true, true, false]);
        assert!(!step(100, 100), "it waits again only above the higher one");
    }

    #[test]
    fn the_sink_that_is_furthest_behind_is_named() {
        let behind = |sink_id: &str, records| Behind { sink_id: sink_id.to_owned(), records };
        let sinks = [behind("a", 500), behind("b", 700)];
        let why = Thresholds { pause: 100, resume: 50 }.why(false, &sinks).unwrap();
        assert!(why.starts_with("sink b is 700 records behind"), "{why}");
        assert_eq!(Thresholds { pause: 100, resume: 50 }.why(false, &[]), None);
    }

    #[test]
    fn half_the_lag_is_low_enough_unless_somebody_says_otherwise() {
        let beside = BesideKafka { pause_capture_lag: Some(9), ..BesideKafka::default() };
        assert_eq!(Thresholds::of(&beside), Some(Thresholds { pause: 9, resume: 4 }));
        assert_eq!(Thresholds::of(&BesideKafka::default()), None);
    }
}
