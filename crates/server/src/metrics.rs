//! The metrics that `/metrics` has: their names are a contract.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// One metric: what dashboards and alerts may rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// `gauge` or `counter`.
    pub kind: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($kind:ident $name:ident [$($label:ident),*] $help:literal;)*) => {
        /// Every metric, in the order of `/metrics`.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: stringify!($name),
            kind: stringify!($kind),
            labels: &[$(stringify!($label)),*],
            help: $help,
        }),*];
    };
}

metrics! {
    gauge replication_lag_seconds [pipeline, sink] "Seconds between now and the commit of the newest change that the sink has, while it is behind; 0 otherwise.";
    gauge event_throughput_msgs [pipeline, sink] "Changes a second that the sink took, mean of the last 10 seconds.";
    gauge dead_letter_queue_size [pipeline, sink] "Changes set aside.";
    gauge cdc_pipeline_ready [pipeline] "1 when the source is at work, the log takes records and no sink is down; what /readyz says.";
    gauge cdc_pipeline_epoch [pipeline] "Grows each time the pipeline starts.";
    gauge cdc_source_state [pipeline, state] "1 for the state that the source is in, 0 for the others.";
    gauge cdc_source_connected [pipeline] "1 while the replication connection is up.";
    gauge cdc_source_lag_seconds [pipeline] "Seconds between the commit of the newest change and its arrival here.";
    gauge cdc_source_lag_bytes [pipeline] "Bytes of the database's log that are not here yet.";
    gauge cdc_source_retained_bytes [pipeline] "Bytes of log that the database keeps for this pipeline.";
    gauge cdc_source_slot_safe_wal_bytes [pipeline] "Bytes that may still be written before the database may remove log that the slot needs; absent where nothing limits it.";
    gauge cdc_source_slot_wal_status [pipeline, status] "1 for the status of the slot's log: reserved, extended (beyond max_wal_size), unreserved (to be removed at the next checkpoint), lost; 0 for the others.";
    gauge cdc_snapshot_tables [pipeline] "Tables of the snapshot.";
    gauge cdc_snapshot_tables_done [pipeline] "Tables of the snapshot that are complete.";
    gauge cdc_snapshot_rows [pipeline] "Rows of the snapshot read so far.";
    gauge cdc_snapshot_rows_estimated [pipeline] "Rows of the snapshot by the database's statistics, where it has them.";
    counter cdc_log_records_total [pipeline] "Records appended to the log since it began.";
    gauge cdc_capture_paused [pipeline] "1 while capture waits for a sink that is too far behind (`kafka.pause_capture_lag`).";
    gauge cdc_log_paused [pipeline] "1 while the log takes no records: the disk is full or retention is at stake.";
    gauge cdc_sink_state [pipeline, sink, state] "1 for the state that the sink is in, 0 for the others.";
    gauge cdc_sink_lag_records [pipeline, sink] "Records of the log that the sink has not committed.";
    gauge cdc_consumer_lag_records [pipeline, sink, topic, partition] "Records of a partition that the sink has not committed; only where the log has several.";
    gauge cdc_sink_parked_tables [pipeline, sink] "Tables whose changes are all set aside.";
    counter cdc_changes_captured_total [] "Changes captured and durable in the log since the process started.";
    counter cdc_changes_delivered_total [sink] "Changes committed by the sink since the process started.";
    counter cdc_dead_letters_total [sink] "Changes set aside since the process started; `~capture` in place of a sink for those that have no form in the log's format.";
    counter cdc_source_restarts_total [] "Times that the source was opened again after a failure.";
    counter cdc_sink_restarts_total [sink] "Times that the sink was opened again after a failure.";
    gauge cdc_build_info [version] "1; the version is in the label.";
    gauge process_start_time_seconds [] "When the process started, in seconds since 1970.";
    gauge process_resident_memory_bytes [] "Memory that the process occupies.";
}

/// The list of metrics as a page of documentation.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         `GET /metrics` of a running pipeline, in the text format of Prometheus. These names and labels \
         are a contract;\nothers may come and go.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            metric.name,
            metric.kind,
            labels.join(", "),
            metric.help
        ));
    }
    out
}

/// What the parts of the program count by themselves, through the `metrics` macros.
#[derive(Clone, Debug, Default)]
pub struct Counters(Option<PrometheusHandle>);

impl Counters {
    /// Makes this the place where the whole process counts. Only the first call of a process does.
    #[must_use]
    pub fn install() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::debug!("metrics are already counted elsewhere in this process");
            return Self(None);
        }
        for metric in METRICS.iter().filter(|metric| metric.kind == "counter") {
            metrics::describe_counter!(metric.name, metric.help);
        }
        Self(Some(handle))
    }

    pub(crate) fn render(&self) -> String {
        self.0.as_ref().map(PrometheusHandle::render).unwrap_or_default()
    }

    /// Housekeeping that keeps memory bounded.
    pub(crate) fn upkeep(&self) {
        if let Some(handle) = &self.0 {
            handle.run_upkeep();
        }
    }
}
