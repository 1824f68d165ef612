//! Tells of schemas that may not be, and ends the run where an operator wants that.

use crate::failure::Failure;
use cdc_core::{Error, Origin, Retry};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// More findings than this are forgotten, and told once more when they come back.
const TOLD_MAX: usize = 10_000;

/// Shared by everybody who may come upon such a schema.
#[derive(Clone)]
pub(crate) struct Sentinel {
    inner: Arc<Inner>,
}

struct Inner {
    stops: bool,
    told: Mutex<BTreeSet<(String, String)>>,
    found: watch::Sender<Option<(String, String)>>,
}

impl Sentinel {
    /// With `stops`, the first such schema ends the run.
    pub(crate) fn new(stops: bool) -> Self {
        let (told, found) = (Mutex::default(), watch::Sender::new(None));
        Self { inner: Arc::new(Inner { stops, told, found }) }
    }

    /// Does such a schema end the run?
    pub(crate) fn stops(&self) -> bool {
        self.inner.stops
    }

    /// A subject's level forbids what it would become. The error where the run ends by that.
    pub(crate) fn incompatible(&self, subject: &str, what: &str) -> Option<Error> {
        let key = (subject.to_owned(), what.to_owned());
        let is_new = {
            let mut told = self.inner.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() >= TOLD_MAX {
                told.clear();
            }
            told.insert(key.clone())
        };
        if is_new {
            tracing::error!(
                subject,
                what,
                remedy = "see cdc schema check and cdc schema plan",
                "schema.incompatible_change_detected"
            );
        }
        if !self.inner.stops {
            return None;
        }
        self.inner.found.send_if_modified(|found| {
            let first = found.is_none();
            found.get_or_insert(key);
            first
        });
        Some(error(subject, what))
    }

    /// Resolves with the reason once the run has to end; never where it does not.
    pub(crate) async fn tripped(&self) -> Failure {
        let mut found = self.inner.found.subscribe();
        let (subject, what) = match found.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(found)) => found.clone(),
            // This holds the sender, so that it does not go away.
            Ok(None) | Err(_) => return std::future::pending().await,
        };
        error(&subject, &what).into()
    }
}

fn error(subject: &str, what: &str) -> Error {
    let context = format!(
        "the new schema of subject {subject} is incompatible, and rest.stop_on_incompatible_schema is \
         true: {what}"
    );
    let remedy = format!(
        "undo the change of the table, or let the new schema in: set the level of {subject} to NONE in \
         the registry (PUT /config/{subject}) once its readers can bear it; then start the pipeline again"
    );
    Error::new("CDC-0142", Origin::Config, Retry::AfterOperator, context).with_remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_schema_that_may_not_be_ends_the_run_where_that_is_wanted() {
        let lenient = Sentinel::new(false);
        assert!(lenient.incompatible("a-value", "x").is_none());
        let strict = Sentinel::new(true);
        assert!(strict.incompatible("a-value", "x is gone").is_some());
        assert!(strict.incompatible("b-value", "y is gone").is_some());
        let text = strict.tripped().await.to_string();
        assert!(
            text.contains("CDC-0142") && text.contains("a-value") && text.contains("x is gone")
        );
        assert!(text.contains("PUT /config/a-value"), "{text}");
        let waited = tokio::time::timeout(std::time::Duration::from_millis(20), lenient.tripped());
        assert!(waited.await.is_err());
    }
}
