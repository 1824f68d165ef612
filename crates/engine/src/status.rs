//! What a running pipeline says about itself; the JSON is part of the HTTP and command-line contract.

use cdc_core::{
    Position,
    status::{ConnectorState, Problem, SinkStatus, SourceStatus},
};
use serde::Serialize;

/// A pipeline and its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PipelineStatus {
    /// The pipeline's id.
    pub pipeline_id: String,
    /// Grows each time the pipeline starts.
    pub epoch: u64,
    /// When the process started it, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// The source.
    pub source: SourceStatus,
    /// Why capture waits, while it does: a sink is too far behind.
    pub capture_paused: Option<String>,
    /// The source's last failure, while it matters.
    pub source_error: Option<Problem>,
    /// The log.
    pub transport: TransportStatus,
    /// The sinks, in the order of the configuration.
    pub sinks: Vec<SinkStatus>,
}

/// The log between capture and delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TransportStatus {
    /// Records appended since the log began.
    pub end_offset: u64,
    /// Everything that was committed up to here and is captured is in the log; `None` until the source
    /// has told so.
    pub captured_position: Option<Position>,
    /// Newest position that a record of the log has; `None` while that is not known. A sink that has
    /// committed it has everything up to `captured_position`.
    pub newest_position: Option<Position>,
    /// Why appends wait, while they do: a full disk, retention at stake.
    pub paused: Option<String>,
}

impl PipelineStatus {
    /// A sink that has the whole snapshot is no longer receiving one.
    pub(crate) fn settle_sinks(&mut self) {
        if self.source.state == ConnectorState::Snapshotting {
            return;
        }
        for sink in &mut self.sinks {
            if sink.state == ConnectorState::Snapshotting && sink.lag_records == 0 {
                sink.state = ConnectorState::Running;
            }
        }
    }

    /// Why the pipeline is not ready; empty when it is: the source is connected and at work, here or in
    /// another process, the log
    /// takes records, and no sink is parked or down.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        let healthy =
            |state| matches!(state, ConnectorState::Running | ConnectorState::Snapshotting);
        let elsewhere = self.source.state == ConnectorState::Standby;
        if !elsewhere && (!healthy(self.source.state) || !self.source.connected) {
            reasons.push(reason("source", self.source.state, self.source_error.as_ref()));
        }
        if let Some(paused) = &self.capture_paused {
            reasons.push(format!("capture: paused: {paused}"));
        }
        if let Some(paused) = &self.transport.paused {
            reasons.push(format!("log: {paused}"));
        }
        for sink in &self.sinks {
            if !healthy(sink.state) {
                let name = format!("sink {}", sink.sink_id);
                reasons.push(reason(&name, sink.state, sink.error.as_ref()));
            } else if !sink.parked_tables.is_empty() {
                let tables = sink.parked_tables.join(", ");
                reasons.push(format!("sink {}: tables are parked: {tables}", sink.sink_id));
            }
        }
        reasons
    }
}

fn reason(name: &str, state: ConnectorState, problem: Option<&Problem>) -> String {
    let state = match state {
        ConnectorState::Starting => "starting",
        ConnectorState::Standby => "standing by",
        ConnectorState::Snapshotting => "snapshotting",
        ConnectorState::Running => "not connected",
        ConnectorState::Retrying => "retrying",
        ConnectorState::Parked => "parked until an operator acts",
        ConnectorState::Stopped => "stopped",
    };
    match problem {
        Some(problem) => format!("{name}: {state}: {}: {}", problem.code, problem.message),
        None => format!("{name}: {state}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(source: ConnectorState, lag_records: u64) -> PipelineStatus {
        let sink = SinkStatus {
            sink_id: "s".into(),
            sink_type: "file".into(),
            state: ConnectorState::Snapshotting,
            delivery: None,
            lag_records,
            lag_ms: 0,
            delivered: 0,
            position: None,
            dead_letters: 0,
            parked_tables: Vec::new(),
            error: None,
        };
        let source = SourceStatus { state: source, connected: true, ..SourceStatus::default() };
        PipelineStatus { source, sinks: vec![sink], ..PipelineStatus::default() }
    }

    #[test]
    fn a_sink_runs_once_it_has_the_whole_snapshot() {
        let settled = |source, lag| {
            let mut status = status(source, lag);
            status.settle_sinks();
            status.sinks.first().map(|sink| sink.state)
        };
        let (snapshotting, running) = (ConnectorState::Snapshotting, ConnectorState::Running);
        assert_eq!(settled(snapshotting, 0), Some(snapshotting));
        assert_eq!(settled(running, 5), Some(snapshotting));
        assert_eq!(settled(running, 0), Some(running));
    }

    #[test]
    fn ready_means_connected_and_nothing_parked() {
        let mut status = status(ConnectorState::Running, 0);
        assert_eq!(status.not_ready(), Vec::<String>::new());
        status.source.connected = false;
        status.transport.paused = Some("disk full".into());
        if let Some(sink) = status.sinks.first_mut() {
            sink.state = ConnectorState::Parked;
        }
        let reasons = status.not_ready();
        assert_eq!(
            reasons,
            ["source: not connected", "log: disk full", "sink s: parked until an operator acts"]
        );
    }
}
