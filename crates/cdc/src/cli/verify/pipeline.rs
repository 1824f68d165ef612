//! What the running pipeline says about its log and about the sink at hand.

use super::topics::Topics;
use crate::{
    directory::{Directory, Probe},
    remote::Remote,
    settings::Settings,
};
use async_trait::async_trait;
use cdc_core::Position;
use cdc_engine::verify::{LogState, LogView, Report, Verdict};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// A folder that nobody works in is not looked at again for so long: looking takes its lock for a
/// moment, which must not come between a pipeline and its start.
const ABSENT: Duration = Duration::from_secs(1);

/// What was found when somebody looked last.
#[derive(Default)]
struct Last {
    remote: Option<(String, Arc<Remote>)>,
    absent_since: Option<Instant>,
}

/// The process that runs the pipeline on this machine, if there is one.
pub(super) struct RunningPipeline<'a> {
    directory: &'a Directory,
    pipeline_id: &'a str,
    sink_id: &'a str,
    topics: Option<&'a Topics>,
    last: Mutex<Last>,
}

impl<'a> RunningPipeline<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        topics: Option<&'a Topics>,
        sink_id: &'a str,
    ) -> Self {
        let (directory, pipeline_id) = (&settings.directory, settings.id());
        Self { directory, pipeline_id, sink_id, topics, last: Mutex::default() }
    }

    fn remote(&self) -> Option<Arc<Remote>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.absent_since.is_some_and(|since| since.elapsed() < ABSENT) {
            return None;
        }
        let holder = match self.directory.probe() {
            Ok(Probe::Taken(holder)) => holder,
            Ok(Probe::Free) | Err(_) => {
                last.absent_since = Some(Instant::now());
                None
            }
        };
        let at = holder?.http?;
        if let Some((_, remote)) = last.remote.as_ref().filter(|(known, _)| *known == at) {
            return Some(Arc::clone(remote));
        }
        let remote = Arc::new(Remote::new(at.clone()).ok()?);
        last.remote = Some((at, Arc::clone(&remote)));
        Some(remote)
    }

    async fn status(&self) -> Option<Value> {
        let remote = self.remote()?;
        remote.get(&format!("/api/v1/pipelines/{}", self.pipeline_id)).await.ok()
    }

    /// Has the source handed over everything below a place of its log, and what was ordered there?
    pub(super) async fn has_copied(&self, ordered: Position) -> bool {
        let Some(status) = self.status().await else { return false };
        let captured = text(&status, "/transport/captured_position");
        let mut captured: Option<Position> = captured.and_then(|captured| captured.parse().ok());
        if let Some(topics) = self.topics {
            captured = captured.max(topics.captured().await);
        }
        let reached = captured.is_some_and(|captured| captured >= ordered);
        reached && text(&status, "/source/state") == Some("running")
    }

    fn sink<'v>(&self, status: &'v Value) -> Option<&'v Value> {
        let sinks = status.pointer("/sinks").and_then(Value::as_array)?;
        sinks.iter().find(|sink| text(sink, "/sink_id") == Some(self.sink_id))
    }

    /// Says of tables that differ whether their changes were set aside.
    pub(super) async fn explain(&self, report: &mut Report) {
        if report.tables.iter().all(|table| table.verdict != Verdict::Different) {
            return;
        }
        let Some(status) = self.status().await else { return };
        let parked = self.sink(&status).and_then(|sink| sink.pointer("/parked_tables"));
        let parked: Vec<&str> = parked
            .and_then(Value::as_array)
            .map(|tables| tables.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        for table in &mut report.tables {
            let differs = table.verdict == Verdict::Different;
            if differs && parked.contains(&table.table.to_string().as_str()) {
                table.reason =
                    Some("its changes are set aside: look with cdc dead-letters list".to_owned());
            }
        }
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

#[async_trait]
impl LogView for RunningPipeline<'_> {
    async fn state(&self) -> Option<LogState> {
        let status = self.status().await;
        let position =
            |pointer: &str| -> Option<Position> { text(status.as_ref()?, pointer)?.parse().ok() };
        let captured = position("/transport/captured_position");
        if let Some(topics) = self.topics {
            // Another process may be the one that captures.
            let captured = captured.max(topics.captured().await);
            return Some(LogState {
                captured,
                newest: None,
                ends: topics.ends(self.sink_id).await,
            });
        }
        status.as_ref()?;
        Some(LogState { captured, newest: position("/transport/newest_position"), ends: None })
    }

    async fn trouble(&self) -> Option<String> {
        let Some(status) = self.status().await else {
            return Some(
                "the pipeline does not run on this machine, or does not answer".to_owned(),
            );
        };
        let sink = self.sink(&status)?;
        let state = text(sink, "/status")?;
        let error = sink.pointer("/error").filter(|error| !error.is_null());
        match error.and_then(|error| Some((text(error, "/code")?, text(error, "/message")?))) {
            Some((code, message)) => Some(format!("it is {state}: {code}: {message}")),
            None if state == "running" => None,
            None => Some(format!("it is {state}")),
        }
    }
}
