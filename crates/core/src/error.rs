//! The one error type that crosses crate boundaries.

use std::{error::Error as StdError, time::Duration};

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The database that is captured.
    Source,
    /// The log between capture and delivery.
    Transport,
    /// The destination.
    Sink,
    /// A file or argument that the user wrote.
    Config,
    /// This program.
    Internal,
}

/// What helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Trying again later, with growing waits.
    Backoff,
    /// Nothing: this record or request will always fail.
    Never,
    /// A person must change something first; trying again before is useless but harmless.
    AfterOperator,
}

/// An error with what an operator needs: a code with a page of its own, the context, the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {context}")]
pub struct Error {
    /// `CDC-` and four digits; documented in `docs/errors/`.
    pub code: &'static str,
    /// Whose fault it is.
    pub origin: Origin,
    /// What helps.
    pub retry: Retry,
    /// One sentence that names the thing that failed. Never a row value or a secret.
    pub context: String,
    /// What to do, in words an operator would type.
    pub remedy: Option<String>,
    /// How long the other side asked us to wait.
    pub retry_after: Option<Duration>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Starts an error from its code, origin, retry class and context.
    #[must_use]
    pub fn new(
        code: &'static str,
        origin: Origin,
        retry: Retry,
        context: impl Into<String>,
    ) -> Self {
        let context = context.into();
        Self { code, origin, retry, context, remedy: None, retry_after: None, source: None }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Says how long the other side asked us to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Attaches the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The error and its causes on one line, outermost first, without repeating a cause that the
    /// text before it already holds.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut out = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !out.contains(&text) {
                out.push_str(": ");
                out.push_str(&text);
            }
            cause = error.source();
        }
        out
    }
}
