//! How many changes a second each sink takes.

use cdc_engine::PipelineStatus;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Rates are means over this long.
const WINDOW: Duration = Duration::from_secs(10);
/// How often the status is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// Samples of one window, and one at its far end.
const SAMPLE_COUNT_MAX: usize = 11;

/// Counts of delivered changes at some moments of the last seconds.
#[derive(Debug, Default)]
pub(crate) struct Throughput {
    samples: Mutex<VecDeque<(Instant, BTreeMap<String, u64>)>>,
}

impl Throughput {
    /// Notes what has been delivered by now.
    pub(crate) fn sample(&self, now: Instant, status: &PipelineStatus) {
        let delivered =
            status.sinks.iter().map(|sink| (sink.sink_id.clone(), sink.delivered)).collect();
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() >= SAMPLE_COUNT_MAX {
            samples.pop_front();
        }
        samples.push_back((now, delivered));
    }

    /// Changes a second that a sink has taken in the last seconds.
    pub(crate) fn rate(&self, now: Instant, sink_id: &str, delivered: u64) -> f64 {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = samples.iter().find(|(at, _)| now.duration_since(*at) <= WINDOW + INTERVAL);
        let Some((at, counts)) = oldest else { return 0.0 };
        let seconds = now.duration_since(*at).as_secs_f64();
        let before = counts.get(sink_id).copied().unwrap_or(0);
        if seconds < 0.1 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let changes = delivered.saturating_sub(before) as f64;
        changes / seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::status::{ConnectorState, SinkStatus};

    fn status(delivered: u64) -> PipelineStatus {
        let sink = SinkStatus {
            sink_id: "a".to_owned(),
            sink_type: "file".to_owned(),
            state: ConnectorState::Running,
            delivery: None,
            lag_records: 0,
            lag_ms: 0,
            delivered,
            position: None,
            dead_letters: 0,
            parked_tables: Vec::new(),
            error: None,
        };
        PipelineStatus { sinks: vec![sink], ..PipelineStatus::default() }
    }

    #[test]
    fn the_rate_is_the_mean_of_the_last_seconds() {
        let throughput = Throughput::default();
        let start = Instant::now();
        assert!(throughput.rate(start, "a", 0).abs() < 1e-9);
        for second in 0..60_u32 {
            // Ten a second for half a minute, then a hundred.
            let delivered = if second < 30 { 10 * second } else { 300 + 100 * (second - 30) };
            throughput.sample(start + INTERVAL * second, &status(u64::from(delivered)));
        }
        let rate = throughput.rate(start + INTERVAL * 59, "a", 3200);
        assert!((rate - 100.0).abs() < 1.0, "{rate}");
        let idle = throughput.rate(start + INTERVAL * 3600, "a", 3200);
        assert!(idle.abs() < 1e-9, "{idle}");
    }
}
