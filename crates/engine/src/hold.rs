//! Capture waits while somebody says so.

use crate::pipeline::Shared;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Whether capture takes batches from its source now. A source whose batches are not taken answers its
/// database and reads no further.
pub(crate) struct Hold<'a> {
    shared: &'a Shared,
    wish: Option<watch::Receiver<Option<String>>>,
    draining: CancellationToken,
    on: bool,
}

impl<'a> Hold<'a> {
    /// Nothing is held back once `draining` is cancelled.
    pub(crate) fn new(shared: &'a Shared, draining: CancellationToken) -> Self {
        let mut wish = shared.spec.hold.clone();
        if let Some(wish) = &mut wish {
            wish.mark_changed();
        }
        Self { shared, wish, draining, on: false }
    }

    /// Does capture wait?
    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// Waits until that may have changed. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        let Some(wish) = &mut self.wish else { return std::future::pending().await };
        let reason = tokio::select! { biased;
            () = self.draining.cancelled() => None,
            changed = wish.changed() => match changed {
                Ok(()) => Some(wish.borrow_and_update().clone()),
                Err(_) => None,
            },
        };
        match reason {
            Some(reason) => self.set(reason),
            // Nobody holds anything back any more.
            None => {
                self.wish = None;
                self.set(None);
            }
        }
    }

    fn set(&mut self, reason: Option<String>) {
        match (&reason, self.on) {
            (Some(reason), false) => {
                let remedy = "the replication slot keeps its log meanwhile: watch \
                              cdc_source_retained_bytes, and look at the sink";
                tracing::warn!(reason, remedy, "capture.paused");
            }
            (None, true) => tracing::info!("capture.resumed"),
            (Some(_), true) | (None, false) => {}
        }
        self.on = reason.is_some();
        self.shared.update(|status| status.capture_paused = reason);
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        if self.on {
            self.shared.update(|status| status.capture_paused = None);
        }
    }
}
