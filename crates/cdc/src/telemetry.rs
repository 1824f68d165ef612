//! Logs go to standard error: text for people, JSON for machines.

use crate::terminal::Stderr;
use clap::ValueEnum;
use std::io::IsTerminal as _;
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Begins to log. `filter` is a level or a list of `target=level`; wrong parts of it are ignored.
pub(crate) fn start(format: LogFormat, filter: Option<&str>, default: &str, stderr: &Stderr) {
    let filter = match filter {
        Some(filter) => EnvFilter::builder().parse_lossy(filter),
        None => EnvFilter::new(default),
    };
    let writer = stderr.clone();
    let builder = fmt().with_env_filter(filter).with_writer(move || writer.clone());
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_ansi(false).try_init().is_ok(),
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal();
            builder.with_ansi(colours).with_target(false).try_init().is_ok()
        }
    };
    if !started {
        tracing::debug!("logs go elsewhere already");
    }
}
