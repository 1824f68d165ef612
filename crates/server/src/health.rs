//! The status of a pipeline as JSON: what `/healthz`, the API and `cdc status --json` show.

use crate::PartitionLag;
use cdc_core::status::ConnectorState;
use cdc_engine::PipelineStatus;
use serde_json::{Map, Value, json};

/// The status with what monitoring of the reference platform looks for beside it: `source.connector`,
/// `source.tasks`, `consumer_lag`, and whether the pipeline is ready. Without `lag` the log has one
/// partition.
#[must_use]
pub fn health(status: &PipelineStatus, lag: Option<&[PartitionLag]>) -> Value {
    let mut body = match serde_json::to_value(status) {
        Ok(Value::Object(body)) => body,
        Ok(_) | Err(_) => Map::new(),
    };
    let state = connect_state(status.source.state);
    if let Some(source) = body.get_mut("source").and_then(Value::as_object_mut) {
        source.insert("connector".to_owned(), json!({ "state": state }));
        source.insert("tasks".to_owned(), json!([{ "state": state }]));
    }
    let lag = lag.map_or_else(|| json!(PartitionLag::of_whole(status)), |lag| json!(lag));
    body.insert("consumer_lag".to_owned(), lag);
    let reasons = status.not_ready();
    body.insert("ready".to_owned(), reasons.is_empty().into());
    body.insert("not_ready".to_owned(), reasons.into());
    Value::Object(body)
}

/// The word that Kafka Connect has for a state.
fn connect_state(state: ConnectorState) -> &'static str {
    match state {
        ConnectorState::Starting | ConnectorState::Standby => "UNASSIGNED",
        ConnectorState::Snapshotting | ConnectorState::Running => "RUNNING",
        ConnectorState::Retrying => "RESTARTING",
        ConnectorState::Parked => "FAILED",
        ConnectorState::Stopped => "STOPPED",
    }
}
