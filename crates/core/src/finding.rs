//! What a preflight check found.

use serde::Serialize;

/// One thing that a preflight check looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// What was looked at and what was found: `wal_level is "replica"`.
    pub what: String,
    /// What to do, in words an operator would type; always present unless `level` is `Ok`.
    pub remedy: Option<String>,
}

/// How a [`Finding`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// The pipeline runs, but an operator would want to know.
    Warning,
    /// The pipeline cannot run like this.
    Error,
}

impl Finding {
    /// Found as it should be.
    #[must_use]
    pub fn ok(what: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), remedy: None }
    }

    /// Worth knowing.
    #[must_use]
    pub fn warning(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warning, what: what.into(), remedy: Some(remedy.into()) }
    }

    /// Must be changed before the pipeline can run.
    #[must_use]
    pub fn error(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Error, what: what.into(), remedy: Some(remedy.into()) }
    }
}
