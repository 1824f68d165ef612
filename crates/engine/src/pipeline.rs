//! Starts the parts of a pipeline and waits for them.

use crate::{
    PipelineSpec, PipelineStatus, Until, capture, currency::Currency, deliver,
    deliver::release::Release, epoch::Epoch, repair,
};
use cdc_core::{
    Result,
    catalog::SinkContext,
    status::{ConnectorState, SinkStatus, SourceStatus},
    transport::Condition,
};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// What all parts of one running pipeline share.
pub(crate) struct Shared {
    pub(crate) spec: PipelineSpec,
    pub(crate) epoch: Epoch,
    pub(crate) currency: Currency,
    pub(crate) release: Release,
    status: watch::Sender<PipelineStatus>,
}

impl Shared {
    pub(crate) fn update(&self, change: impl FnOnce(&mut PipelineStatus)) {
        self.status.send_modify(change);
    }

    pub(crate) fn update_sink(&self, index: usize, change: impl FnOnce(&mut SinkStatus)) {
        self.status.send_modify(|status| status.sinks.get_mut(index).map_or((), change));
    }

    /// What the pipeline says about itself now.
    pub(crate) fn status(&self) -> PipelineStatus {
        self.status.borrow().clone()
    }

    /// Waits until what the pipeline says about itself is so.
    pub(crate) async fn status_with(&self, is_so: impl FnMut(&PipelineStatus) -> bool) {
        // This holds the sender, so that it does not go away.
        drop(self.status.subscribe().wait_for(is_so).await);
    }

    /// May other processes run this pipeline beside this one?
    pub(crate) fn is_shared(&self) -> bool {
        self.spec.is_shared()
    }

    /// What a sink is told when it is opened.
    pub(crate) fn sink_context(&self, sink: &crate::SinkSpec) -> SinkContext {
        SinkContext {
            pipeline_id: self.spec.pipeline_id.clone(),
            sink_id: sink.sink_id.clone(),
            topic_prefix: self.spec.topic_prefix.clone(),
            database: self.spec.database.clone(),
            memory_bytes: self.sink_bytes() / 2,
        }
    }

    /// The most bytes of log records that one reader asks for at a time.
    pub(crate) fn read_bytes_max(&self) -> usize {
        const READ_BYTES_MAX: usize = 1024 * 1024;
        (self.sink_bytes() / 4).clamp(1, READ_BYTES_MAX)
    }

    /// One sink's share of the memory budget: a half of it is theirs together.
    pub(crate) fn sink_bytes(&self) -> usize {
        self.spec.memory_budget_bytes / 2 / self.spec.sinks.len().max(1)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        milliseconds(self.spec.clock.now())
    }
}

pub(crate) fn milliseconds(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a pipeline until it is cancelled, or until it is current if the specification says so.
///
/// On cancellation every part flushes and commits what it holds; the future then resolves to `Ok`.
/// Dropping the future is a crash: nothing is lost, and the next start resumes from the checkpoints.
///
/// A source that cannot start at all without a person's help ends the run with its error; later it is
/// parked and looked at again from time to time, as a sink always is.
pub async fn run(
    spec: PipelineSpec,
    status: watch::Sender<PipelineStatus>,
    cancel: CancellationToken,
) -> Result<()> {
    let epoch = Epoch::new(Arc::clone(&spec.checkpoints));
    if !spec.is_shared() {
        epoch.begin().await?;
    }
    let started_at_ms = milliseconds(spec.clock.now());
    status.send_replace(first_status(&spec, epoch.current(), started_at_ms));
    let target = match spec.until {
        Until::Cancelled => None,
        Until::Current => {
            tokio::select! { biased;
                () = cancel.cancelled() => return Ok(()),
                target = spec.source.current_position() => Some(target?),
            }
        }
    };
    let stop = cancel.child_token();
    let sink_count = spec.sinks.len();
    let release = Release::new(sink_count);
    let shared = Arc::new(Shared { spec, epoch, currency: Currency::new(target), release, status });
    let mut sinks = JoinSet::new();
    for index in 0..sink_count {
        sinks.spawn(deliver::supervise(Arc::clone(&shared), index, stop.clone()));
    }
    let mut rest = JoinSet::new();
    rest.spawn(capture::supervise(Arc::clone(&shared), stop.clone()));
    if repair::compares(&shared.spec) {
        rest.spawn(repair::supervise(Arc::clone(&shared), stop.clone()));
    }
    rest.spawn(follow_transport(Arc::clone(&shared), stop.clone()));
    let outcome = wait(&shared, &mut sinks, &mut rest, &stop).await;
    shared.update(|status| {
        status.source.state = ConnectorState::Stopped;
        for sink in &mut status.sinks {
            sink.state = ConnectorState::Stopped;
        }
    });
    outcome
}

/// Waits until every part has ended; the first error ends the run once the sinks are through.
async fn wait(
    shared: &Arc<Shared>,
    sinks: &mut JoinSet<Result<()>>,
    rest: &mut JoinSet<Result<()>>,
    stop: &CancellationToken,
) -> Result<()> {
    let mut outcome = Ok(());
    let mut current = std::pin::pin!(shared.currency.log_is_current());
    let mut log_is_current = false;
    while !(rest.is_empty() && sinks.is_empty()) {
        let ended = tokio::select! { biased;
            Some(ended) = rest.join_next() => {
                let failed = !matches!(ended, Ok(Ok(())));
                if failed {
                    stop.cancel();
                }
                Some(ended)
            }
            Some(ended) = sinks.join_next() => Some(ended),
            () = &mut current, if !log_is_current => {
                log_is_current = true;
                None
            }
        };
        match ended {
            Some(Ok(Err(error))) => outcome = outcome.and(Err(error)),
            Some(Err(panic)) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
            Some(Ok(Ok(())) | Err(_)) | None => {}
        }
        if log_is_current && sinks.is_empty() {
            stop.cancel();
        }
    }
    outcome
}

fn first_status(spec: &PipelineSpec, epoch: u64, started_at_ms: u64) -> PipelineStatus {
    let sink = |sink: &crate::SinkSpec| SinkStatus {
        sink_id: sink.sink_id.clone(),
        sink_type: sink.connector.kind().to_owned(),
        state: ConnectorState::Starting,
        delivery: None,
        lag_records: 0,
        lag_ms: 0,
        delivered: 0,
        position: None,
        dead_letters: 0,
        parked_tables: Vec::new(),
        error: None,
    };
    PipelineStatus {
        pipeline_id: spec.pipeline_id.clone(),
        epoch,
        started_at_ms,
        source: SourceStatus::default(),
        capture_paused: None,
        source_error: None,
        transport: crate::TransportStatus::default(),
        sinks: spec.sinks.iter().map(sink).collect(),
    }
}

/// Copies the log's condition into the status.
async fn follow_transport(shared: Arc<Shared>, stop: CancellationToken) -> Result<()> {
    let transport = &shared.spec.transport;
    let mut condition = transport.condition();
    if !shared.is_shared() {
        let partition = transport.partition_of("", &[]);
        let end = transport.end(&partition).await?;
        let newest = transport.newest(&partition).await?;
        shared.update(|status| {
            let log = &mut status.transport;
            log.end_offset = log.end_offset.max(end.0);
            log.newest_position = log.newest_position.max(newest);
        });
    }
    loop {
        let paused = match &*condition.borrow_and_update() {
            Condition::Writable => None,
            Condition::Paused { reason } => Some(reason.clone()),
        };
        if let Some(reason) = &paused {
            tracing::warn!(reason, "the log is paused");
        }
        shared.update(|status| status.transport.paused = paused);
        tokio::select! { biased;
            () = stop.cancelled() => return Ok(()),
            changed = condition.changed() => if changed.is_err() {
                stop.cancelled().await;
                return Ok(());
            }
        }
    }
}
