//! A pipeline's status in the text format of Prometheus.

use crate::{PartitionLag, metrics::METRICS, throughput::Throughput};
use cdc_core::status::{ConnectorState, SinkStatus};
use cdc_engine::PipelineStatus;
use std::{collections::BTreeMap, fmt::Write as _};
use tokio::time::Instant;

/// Samples by metric: labels and value.
type Samples = BTreeMap<&'static str, Vec<(String, f64)>>;

/// Everything that the status tells.
pub(crate) fn exposition(
    status: &PipelineStatus,
    lag: &[PartitionLag],
    throughput: &Throughput,
    now: Instant,
) -> String {
    let mut samples = Samples::new();
    pipeline(status, &mut samples);
    source(status, &mut samples);
    for sink in &status.sinks {
        let rate = throughput.rate(now, &sink.sink_id, sink.delivered);
        sink_samples(&status.pipeline_id, sink, rate, &mut samples);
    }
    for one in lag {
        let partition = one.partition.to_string();
        let labels = labels(&[
            ("pipeline", &status.pipeline_id),
            ("sink", &one.sink_id),
            ("topic", &one.topic),
            ("partition", &partition),
        ]);
        push(&mut samples, "cdc_consumer_lag_records", &labels, float(one.lag));
    }
    let mut out = String::new();
    for metric in METRICS {
        let Some(values) = samples.get(metric.name) else { continue };
        let help = metric.help.replace('\\', "\\\\");
        // Writing to a `String` cannot fail.
        let _written = writeln!(out, "# HELP {} {help}", metric.name);
        let _written = writeln!(out, "# TYPE {} {}", metric.name, metric.kind);
        for (labels, value) in values {
            let _written = writeln!(out, "{}{labels} {value}", metric.name);
        }
    }
    out
}

fn pipeline(status: &PipelineStatus, samples: &mut Samples) {
    let labels = labels(&[("pipeline", &status.pipeline_id)]);
    let mut add = |name, value| push(samples, name, &labels, value);
    add("cdc_pipeline_ready", truth(status.not_ready().is_empty()));
    add("cdc_pipeline_epoch", float(status.epoch));
    add("cdc_log_records_total", float(status.transport.end_offset));
    add("cdc_capture_paused", truth(status.capture_paused.is_some()));
    add("cdc_log_paused", truth(status.transport.paused.is_some()));
    let version = self::labels(&[("version", env!("CARGO_PKG_VERSION"))]);
    push(samples, "cdc_build_info", &version, 1.0);
    push(samples, "process_start_time_seconds", "", float(status.started_at_ms) / 1_000.0);
    if let Some(bytes) = resident_bytes() {
        push(samples, "process_resident_memory_bytes", "", float(bytes));
    }
}

fn source(status: &PipelineStatus, samples: &mut Samples) {
    let pipeline = &status.pipeline_id;
    let source = &status.source;
    for (state, name) in STATES {
        let labels = labels(&[("pipeline", pipeline), ("state", name)]);
        push(samples, "cdc_source_state", &labels, truth(source.state == state));
    }
    let labels = labels(&[("pipeline", pipeline)]);
    let mut add = |name, value| push(samples, name, &labels, value);
    add("cdc_source_connected", truth(source.connected));
    if let Some(ms) = source.lag_ms {
        add("cdc_source_lag_seconds", float(ms) / 1_000.0);
    }
    if let Some(bytes) = source.lag_bytes {
        add("cdc_source_lag_bytes", float(bytes));
    }
    if let Some(bytes) = source.retained_bytes {
        add("cdc_source_retained_bytes", float(bytes));
    }
    if let Some(bytes) = source.slot.as_ref().and_then(|slot| slot.safe_wal_bytes) {
        // Bytes of one disk: far below where this loses digits that matter.
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        add("cdc_source_slot_safe_wal_bytes", bytes as f64);
    }
    slot(status, samples);
    let labels = self::labels(&[("pipeline", pipeline)]);
    let mut add = |name, value| push(samples, name, &labels, value);
    let count = |done: bool| source.snapshot.iter().filter(|table| table.done || !done).count();
    add("cdc_snapshot_tables", float(count(false) as u64));
    add("cdc_snapshot_tables_done", float(count(true) as u64));
    add("cdc_snapshot_rows", float(source.snapshot.iter().map(|table| table.rows).sum()));
    let estimated = source.snapshot.iter().filter_map(|table| table.rows_estimated).sum();
    add("cdc_snapshot_rows_estimated", float(estimated));
}

fn slot(status: &PipelineStatus, samples: &mut Samples) {
    let Some(slot) = &status.source.slot else { return };
    for name in ["reserved", "extended", "unreserved", "lost"] {
        let labels = labels(&[("pipeline", &status.pipeline_id), ("status", name)]);
        push(samples, "cdc_source_slot_wal_status", &labels, truth(slot.wal_status == name));
    }
}

fn sink_samples(pipeline: &str, sink: &SinkStatus, rate: f64, samples: &mut Samples) {
    for (state, name) in STATES {
        let labels = labels(&[("pipeline", pipeline), ("sink", &sink.sink_id), ("state", name)]);
        push(samples, "cdc_sink_state", &labels, truth(sink.state == state));
    }
    let labels = labels(&[("pipeline", pipeline), ("sink", &sink.sink_id)]);
    let mut add = |name, value| push(samples, name, &labels, value);
    add("replication_lag_seconds", float(sink.lag_ms) / 1_000.0);
    add("event_throughput_msgs", rate);
    add("dead_letter_queue_size", float(sink.dead_letters));
    add("cdc_sink_lag_records", float(sink.lag_records));
    add("cdc_sink_parked_tables", float(sink.parked_tables.len() as u64));
}

const STATES: [(ConnectorState, &str); 7] = [
    (ConnectorState::Starting, "starting"),
    (ConnectorState::Standby, "standby"),
    (ConnectorState::Snapshotting, "snapshotting"),
    (ConnectorState::Running, "running"),
    (ConnectorState::Retrying, "retrying"),
    (ConnectorState::Parked, "parked"),
    (ConnectorState::Stopped, "stopped"),
];

fn push(samples: &mut Samples, name: &'static str, labels: &str, value: f64) {
    samples.entry(name).or_default().push((labels.to_owned(), value));
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            format!("{name}=\"{value}\"")
        })
        .collect();
    format!("{{{}}}", pairs.join(","))
}

fn truth(truth: bool) -> f64 {
    if truth { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has no other numbers")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Memory of this process, as Linux tells it; `None` elsewhere.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
