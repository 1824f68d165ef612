//! Transport to one sink: opens the sink, restarts it after failures, and never disturbs the others.

mod offsets;
mod recall;
mod redeliver;
pub(crate) mod release;
mod session;
mod share;
mod write;

pub use recall::check_places;

use crate::{
    SinkSpec,
    pipeline::Shared,
    supervise::{Restart, Restarts},
};
use cdc_core::{
    Error, Position, Result, Retry, catalog::SinkContext, status::ConnectorState, status::Problem,
};
use session::{End, Session};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How long a sink may take to finish what it is doing once the pipeline stops.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// What a sink's supervisor remembers from one session to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Has a session of this process owned the sink before?
    claimed: bool,
    /// Did the last session commit anything?
    progressed: bool,
    /// Changes that are skipped by policy; nothing else remembers them until the checkpoint is past.
    skipped: BTreeSet<Position>,
    /// The change that was refused with a passing error, and how often.
    refused: Option<(Position, u32)>,
}

/// One sink and how to reach it.
pub(crate) struct Target {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    pub(crate) spec: SinkSpec,
    pub(crate) context: SinkContext,
}

/// Runs one sink for as long as the pipeline lives.
pub(crate) async fn supervise(
    shared: Arc<Shared>,
    index: usize,
    stop: CancellationToken,
) -> Result<()> {
    let Some(spec) = shared.spec.sinks.get(index).cloned() else { return Ok(()) };
    let context = shared.sink_context(&spec);
    let seed = shared.spec.seed.wrapping_add(index as u64 + 1);
    let mut restarts = Restarts::new(spec.retry, seed);
    let target = Target { shared, index, spec, context };
    let mut memory = Memory::default();
    loop {
        memory.progressed = false;
        let failure = match session(&target, &mut memory, &stop).await {
            Ok(End::Stopped | End::Current) => return Ok(()),
            Ok(End::Again) => continue,
            Err(failure) => failure,
        };
        if stop.is_cancelled() {
            return Ok(());
        }
        let restart = restarts.after(&failure, memory.progressed);
        target.report(&failure, &restart);
        if target.gives_up(&failure, &restart) {
            target.state(ConnectorState::Stopped);
            return Err(failure);
        }
        tokio::select! { biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(restart.wait) => {}
        }
    }
}

/// One session, given up when it does not end soon after the pipeline does: dropping it is a crash,
/// which it can stand.
async fn session(target: &Target, memory: &mut Memory, stop: &CancellationToken) -> Result<End> {
    let grace = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! { biased;
        end = Session::run(target, memory, stop) => end,
        () = grace => {
            tracing::warn!(sink_id = target.spec.sink_id, "the sink did not stop in time");
            Ok(End::Stopped)
        }
    }
}

impl Target {
    fn gives_up(&self, failure: &Error, restart: &Restart) -> bool {
        let hopeless = failure.retry != Retry::Backoff;
        let out_of_tries = restart.failures >= self.spec.retry.max_attempts;
        self.shared.currency.ends() && (hopeless || out_of_tries)
    }

    fn report(&self, failure: &Error, restart: &Restart) {
        tracing::warn!(
            sink_id = self.spec.sink_id, error = %failure.chain(),
            remedy = failure.remedy.as_deref().unwrap_or_default(),
            wait_ms = restart.wait.as_millis(), failures = restart.failures, "the sink failed",
        );
        metrics::counter!("cdc_sink_restarts_total", "sink" => self.spec.sink_id.clone())
            .increment(1);
        self.shared.update_sink(self.index, |status| {
            status.state = restart.state;
            status.error = Some(Problem::from(failure));
        });
    }

    pub(crate) fn state(&self, state: ConnectorState) {
        self.shared.update_sink(self.index, |status| status.state = state);
    }
}
