//! What can go wrong with a Kafka Connect cluster, and what helps.

use cdc_core::{Error, Origin, Retry};

/// A setting that cannot work.
pub(crate) fn config(what: &str) -> Error {
    Error::new("CDC-1201", Origin::Config, Retry::AfterOperator, what)
        .with_remedy("correct it in the block `connector` of the platform file")
}

/// Nothing answers.
pub(crate) fn unreachable(at: &str, error: reqwest::Error) -> Error {
    let how = if error.is_timeout() { "does not answer in time" } else { "does not answer" };
    let context = format!("Kafka Connect at {at} {how}");
    Error::new("CDC-1202", Origin::Source, Retry::Backoff, context)
        .with_remedy(format!(
            "see whether it runs and can be reached from here: curl {at}/connectors"
        ))
        .with_source(error.without_url())
}

/// An answer that is no success.
pub(crate) fn refused(at: &str, doing: &str, status: u16, said: &str) -> Error {
    let context = format!("Kafka Connect at {at} refuses to {doing}: {said} ({status})");
    let retry = if status >= 500 { Retry::Backoff } else { Retry::AfterOperator };
    Error::new("CDC-1203", Origin::Source, retry, context).with_remedy(
        "correct what the message names: the source block of the pipeline file, or the plugins of the \
         workers (curl URL/connector-plugins)",
    )
}

/// The connector, or its task, has failed.
pub(crate) fn failed(name: &str, why: &str) -> Error {
    let context = format!("Debezium's connector {name} has failed: {why}");
    Error::new("CDC-1204", Origin::Source, Retry::AfterOperator, context).with_remedy(
        "correct what the message names; the connector is started again with the next look at it, within \
         minutes, or by a new start of cdc run",
    )
}

/// Nobody has the connector any more.
pub(crate) fn gone(name: &str) -> Error {
    let context = format!("Kafka Connect has no connector {name} any more");
    Error::new("CDC-1204", Origin::Source, Retry::Backoff, context)
        .with_remedy("nothing: it is made again; remove the pipeline with cdc undeploy")
}

/// A connector of this name does something else.
pub(crate) fn of_others(name: &str, writes: &str, prefix: &str) -> Error {
    let context = format!(
        "the connector {name} on Kafka Connect was made by somebody else, and writes topics {writes}.…, \
         not {prefix}.…"
    );
    Error::new("CDC-1205", Origin::Source, Retry::AfterOperator, context).with_remedy(
        "name another one with connector.name, or set topic_prefix of the pipeline to what that one \
         writes",
    )
}

/// What only capture by `cdc` itself can do.
pub(crate) fn not_captured_here(what: &str) -> Error {
    let context = format!("{what} needs capture by cdc itself, and here Debezium captures");
    Error::new("CDC-1206", Origin::Config, Retry::Never, context).with_remedy(
        "remove the block `connector` of the platform file, or do without: Debezium has signals of its \
         own for snapshots",
    )
}
