//! How far sinks are behind: told in the log, and to whoever asks for the health of the pipeline.

use crate::settings::Settings;
use cdc_engine::PipelineStatus;
use cdc_server::PartitionLag;
use cdc_transport_kafka::KafkaTransport;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};

/// How often offsets are looked at for health alone, where no log lines are wanted.
const HEALTH_INTERVAL: Duration = Duration::from_secs(15);
/// Soon after the start somebody may ask already.
const FIRST_LOOK: Duration = Duration::from_secs(1);

fn ticks(seconds: u64) -> tokio::time::Interval {
    let pace = match seconds {
        0 => HEALTH_INTERVAL,
        seconds => Duration::from_secs(seconds),
    };
    let mut ticks = interval_at(Instant::now() + FIRST_LOOK.min(pace), pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn tell(lag: &PartitionLag, lag_ms: Option<u64>) {
    tracing::info!(
        sink_id = lag.sink_id,
        topic = lag.topic,
        partition = lag.partition,
        lag = lag.lag,
        offset = lag.offset,
        lag_ms,
        "consumer.lag"
    );
}

/// Logs each sink's lag in a log of one partition, while there is any. Never ends.
pub(crate) async fn follow(status: watch::Receiver<PipelineStatus>, seconds: u64) {
    if seconds == 0 {
        return std::future::pending().await;
    }
    let mut ticks = ticks(seconds);
    loop {
        ticks.tick().await;
        let status = status.borrow();
        for (lag, sink) in PartitionLag::of_whole(&status).iter().zip(&status.sinks) {
            if lag.lag > 0 {
                tell(lag, Some(sink.lag_ms));
            }
        }
    }
}

/// The same in every partition of a cluster, for all processes of the pipeline together, which `to` hears
/// too. Never ends.
pub(crate) async fn follow_kafka(
    kafka: Arc<KafkaTransport>,
    settings: &Settings,
    to: watch::Sender<Vec<PartitionLag>>,
    seconds: u64,
) {
    let mut ticks = ticks(seconds);
    loop {
        ticks.tick().await;
        match of_kafka(&kafka, settings).await {
            Ok(found) => {
                for lag in found.iter().filter(|lag| lag.lag > 0 && seconds > 0) {
                    tell(lag, None);
                }
                to.send_replace(found);
            }
            // Whoever cannot go on without the cluster tells that.
            Err(error) => tracing::debug!(%error, "the offsets of sinks cannot be looked up"),
        }
    }
}

/// The lag of every sink in every partition of a cluster.
pub(crate) async fn of_kafka(
    kafka: &KafkaTransport,
    settings: &Settings,
) -> cdc_core::Result<Vec<PartitionLag>> {
    let mut found = Vec::new();
    for sink in &settings.sinks {
        let lags = kafka.lag(&sink.sink_id).await?;
        found.extend(lags.into_iter().map(|lag| PartitionLag {
            topic: lag.partition.topic.to_string(),
            partition: lag.partition.partition,
            lag: lag.records,
            offset: lag.end.0.saturating_sub(lag.records),
            sink_id: sink.sink_id.clone(),
        }));
    }
    Ok(found)
}
