//! Ends a run: by itself, on the first signal cleanly, on the second at once.

use crate::failure::{Failure, Outcome};
use std::{future::Future, pin::Pin, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// A clean stop flushes and commits; one that takes longer is given up, without loss.
const STOP_WAIT: Duration = Duration::from_secs(30);

/// Exit code of a process that a second signal ended.
const INTERRUPTED: i32 = 130;

/// Waits for the run to end, and tells it to when a signal comes or `tripped` resolves, which is then the
/// reason.
pub(crate) async fn ending<F>(
    mut running: Pin<&mut F>,
    tripped: impl Future<Output = Failure>,
    cancel: &CancellationToken,
) -> Outcome
where
    F: Future<Output = cdc_core::Result<()>>,
{
    let mut signals = Signals::new()?;
    let outcome = tokio::select! { biased;
        failure = tripped => {
            tracing::error!("stopping: what is in flight is committed");
            Err(failure)
        }
        ended = &mut running => return Ok(ended?),
        name = signals.next() => {
            tracing::info!(
                signal = name,
                "stopping: what is in flight is committed; a second signal stops at once"
            );
            Ok(())
        }
    };
    cancel.cancel();
    tokio::select! { biased;
        ended = running => match outcome {
            Ok(()) => Ok(ended?),
            Err(reason) => Err(reason),
        },
        name = signals.next() => {
            tracing::warn!(signal = name, "stopped at once; the next start resumes from the checkpoints");
            std::process::exit(INTERRUPTED)
        }
        () = sleep(STOP_WAIT) => {
            let context = format!("the pipeline did not stop within {} seconds", STOP_WAIT.as_secs());
            let remedy = "nothing is lost: the next start resumes from the checkpoints";
            Err(Failure::new("CDC-0127", context, remedy))
        }
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Outcome<Self> {
        let of = |kind| {
            signal(kind).map_err(|error| {
                let context = "this process cannot listen for signals";
                Failure::file(
                    "CDC-0111",
                    context,
                    "raise the limits of this user: ulimit -n",
                    error,
                )
            })
        };
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! { biased;
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
