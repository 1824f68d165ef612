//! How a command fails: what it prints and how it exits.

use crate::config::ConfigError;
use cdc_core::{Error, Origin, Retry, status::Problem};
use serde_json::{Value, json};
use std::{error::Error as _, fmt, io};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A configuration file cannot be used.
    Config(Box<ConfigError>),
    /// The command was used wrongly, in a way that only shows while it runs.
    Usage(Box<Error>),
    /// Something else failed.
    Failed(Box<Error>),
    /// The command has printed what is wrong itself: a preflight with findings, a pipeline that is
    /// not ready.
    Told,
    /// A replica is not as its source, and the command has listed how.
    Differs,
    /// A replica could not be compared with its source, and the command has said why.
    NotCompared,
    /// Whoever read our output has gone away, which is no fault of anyone.
    OutputClosed,
}

/// A result of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(Box::new(error))
    }
}

impl Failure {
    /// A failure of the program's surroundings on this machine.
    pub(crate) fn new(code: &'static str, context: impl Into<String>, remedy: &str) -> Self {
        let error = Error::new(code, Origin::Config, Retry::AfterOperator, context);
        error.with_remedy(remedy).into()
    }

    /// Wrong use.
    pub(crate) fn usage(code: &'static str, context: impl Into<String>, remedy: &str) -> Self {
        let error = Error::new(code, Origin::Config, Retry::Never, context).with_remedy(remedy);
        Self::Usage(Box::new(error))
    }

    /// A file or folder that could not be used.
    pub(crate) fn file(
        code: &'static str,
        context: impl Into<String>,
        remedy: &str,
        error: io::Error,
    ) -> Self {
        Error::new(code, Origin::Config, Retry::AfterOperator, context)
            .with_remedy(remedy)
            .with_source(error)
            .into()
    }

    /// What the process exits with: 0 for good, 1 when the thing failed, 2 for wrong use; 3 for a
    /// replica that differs, 4 for one that could not be compared.
    #[must_use]
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => 2,
            Self::Failed(_) | Self::Told => 1,
            Self::Differs => 3,
            Self::NotCompared => 4,
            Self::OutputClosed => 0,
        }
    }

    /// The failure as JSON, for `--json`; `None` when there is nothing more to tell.
    #[must_use]
    pub(crate) fn to_json(&self) -> Option<Value> {
        match self {
            Self::Config(error) => Some(json!({ "errors": error.to_json() })),
            Self::Usage(error) | Self::Failed(error) => {
                Some(json!({ "errors": [Problem::from(&**error)] }))
            }
            Self::Told | Self::Differs | Self::NotCompared | Self::OutputClosed => None,
        }
    }
}

/// What a person reads; empty when there is nothing more to tell.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Usage(error) | Self::Failed(error) => show(error, f),
            Self::Told | Self::Differs | Self::NotCompared | Self::OutputClosed => Ok(()),
        }
    }
}

fn show(error: &Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "error[{}]: {}", error.code, error.context)?;
    let mut told = error.context.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            writeln!(f, "  because: {text}")?;
            told.push_str(&text);
        }
        cause = error.source();
    }
    if let Some(remedy) = &error.remedy {
        writeln!(f, "help: {remedy}")?;
    }
    writeln!(f, "more: cdc explain {}", error.code)
}
