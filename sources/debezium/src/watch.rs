//! Watches the connector: it captures, and this says how it fares.

use crate::{error, rest::Rest};
use async_trait::async_trait;
use cdc_core::{Result, Source, SourceContext, status::ConnectorState};
use std::time::Duration;

/// How often the connector is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// The first looks may find nothing: a cluster tells a connector's state a moment after it was made.
const UNTOLD_MAX: u32 = 15;

/// A source through which no change passes.
pub(crate) struct Watcher {
    rest: Rest,
    name: String,
    /// How many looks have found nothing; `None` once one has found it.
    untold: Option<u32>,
}

impl Watcher {
    pub(crate) fn new(rest: Rest, name: String) -> Self {
        Self { rest, name, untold: Some(0) }
    }

    /// Its state and its worker.
    async fn look(&mut self) -> Result<(bool, String, String)> {
        let Some(status) = self.rest.status(&self.name).await? else {
            self.untold = self.untold.map(|looks| looks + 1).filter(|looks| *looks <= UNTOLD_MAX);
            return match self.untold {
                None => Err(error::gone(&self.name)),
                Some(_) => Ok((false, "unassigned".to_owned(), String::new())),
            };
        };
        self.untold = None;
        if let Some(why) = status.failure() {
            return Err(error::failed(&self.name, &why));
        }
        let (state, worker) = status.told();
        Ok((status.runs(), state, worker))
    }
}

#[async_trait]
impl Source for Watcher {
    async fn run(mut self: Box<Self>, context: SourceContext) -> Result<()> {
        let mut known = String::new();
        loop {
            let (runs, state, worker) = tokio::select! { biased;
                () = context.cancel.cancelled() => return Ok(()),
                looked = self.look() => looked?,
            };
            if state != known {
                tracing::info!(
                    connector = self.name,
                    state,
                    worker,
                    "state of Debezium's connector"
                );
                known.clone_from(&state);
            }
            context.status.send_modify(|status| {
                status.state =
                    if runs { ConnectorState::Running } else { ConnectorState::Starting };
                status.connected = runs;
                status.details = [
                    ("connector", self.name.clone()),
                    ("connector_state", state),
                    ("worker", worker),
                ]
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect();
            });
            tokio::select! { biased;
                () = context.cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }
}
