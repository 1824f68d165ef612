//! When a pipeline that runs until it is current has got there.

use cdc_core::Position;
use tokio::sync::watch;

/// Shared between capture, which tells how far the log has got, and the sinks, which finish once they
/// have delivered that much.
pub(crate) struct Currency {
    target: Option<Position>,
    captured: watch::Sender<Option<Position>>,
    ended: watch::Sender<bool>,
}

impl Currency {
    /// `target`: where the source stood at the start; `None` runs on for ever.
    pub(crate) fn new(target: Option<Position>) -> Self {
        Self { target, captured: watch::Sender::new(None), ended: watch::Sender::new(false) }
    }

    /// Is there an end at all?
    pub(crate) fn ends(&self) -> bool {
        self.target.is_some()
    }

    /// Everything up to `end` is durable in the log.
    pub(crate) fn captured(&self, end: Position) {
        self.captured.send_if_modified(|captured| {
            let moved = captured.is_none_or(|before| before < end);
            if moved {
                *captured = Some(end);
            }
            moved
        });
    }

    /// The source has nothing more to send, ever.
    pub(crate) fn source_ended(&self) {
        self.ended.send_replace(true);
    }

    /// Resolves once the log holds everything up to the target, or everything there is.
    pub(crate) async fn log_is_current(&self) {
        let mut captured = self.captured.subscribe();
        let reached = |captured: &Option<Position>| {
            self.target.is_some_and(|target| captured.is_some_and(|end| end >= target))
        };
        let mut ended = self.ended.subscribe();
        // The senders are in this struct, so neither wait can fail.
        tokio::select! { biased;
            _ = captured.wait_for(reached) => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }
}
