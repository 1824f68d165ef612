//! What can go wrong with a registry elsewhere, and what helps.

use cdc_core::{Error, Origin, Retry};
use std::{error::Error as StdError, io, time::Duration};

/// A setting that cannot work.
pub(super) fn config(what: impl Into<String>) -> Error {
    Error::new("CDC-6017", Origin::Config, Retry::AfterOperator, what)
        .with_remedy("correct it, like url: https://registry.example.com:8081")
}

/// Nothing answers at a URL.
pub(super) fn unreachable(at: &str, host: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let told = certificate(&error, host);
    if let Some(told) = told {
        return told;
    }
    let how = if error.is_timeout() { "does not answer in time" } else { "does not answer" };
    let context = format!("the schema registry at {at} {how}");
    Error::new("CDC-6010", Origin::Transport, Retry::Backoff, context)
        .with_remedy(format!(
            "see whether it runs and can be reached from here: curl -v {at}/subjects"
        ))
        .with_source(error)
}

/// A certificate that did not convince either side, in the words of the TLS crate.
fn certificate(error: &reqwest::Error, host: &str) -> Option<Error> {
    /// No chain of causes is longer.
    const CAUSES_MAX: usize = 16;
    let mut cause = error.source();
    for _ in 0..CAUSES_MAX {
        let found = cause?;
        let failure = found.downcast_ref::<io::Error>();
        if let Some(told) = failure.and_then(|it| cdc_tls::explain(it, host, Origin::Transport)) {
            return Some(told);
        }
        cause = found.source();
    }
    None
}

/// An answer that is no success.
pub(super) fn answered(
    at: &str,
    what: &str,
    status: u16,
    code: Option<u64>,
    message: &str,
    retry_after: Option<Duration>,
) -> Error {
    let said = match code {
        Some(code) => format!("{message} ({code})"),
        None => format!("status {status}"),
    };
    let (number, retry, context, remedy) = match status {
        401 | 403 => (
            "CDC-6011",
            Retry::AfterOperator,
            format!("the schema registry at {at} does not let this user {what}: {said}"),
            "correct username and password, or token, and the user's rights in the registry",
        ),
        409 => (
            "CDC-6012",
            Retry::AfterOperator,
            format!("the schema registry at {at} refuses to {what}: {said}"),
            "see what is incompatible: cdc schema check SUBJECT FILE --registry-url URL; then change \
             the schema, or the subject's level if its readers can bear it",
        ),
        404 => (
            "CDC-6013",
            Retry::AfterOperator,
            format!("the schema registry at {at} cannot {what}: {said}"),
            "see what is there: cdc schema list --registry-url URL; the URL may also need a path, \
             like /apis/ccompat/v7 for Apicurio",
        ),
        429 | 500..=599 => (
            "CDC-6015",
            Retry::Backoff,
            format!("the schema registry at {at} failed to {what}: {said}"),
            "look at the registry's own log",
        ),
        400..=499 => (
            "CDC-6014",
            Retry::AfterOperator,
            format!("the schema registry at {at} refuses to {what}: {said}"),
            "correct what the message names: the schema, its references, the version, or the mode of \
             the subject",
        ),
        _ => return strange(at, what),
    };
    let error = Error::new(number, Origin::Transport, retry, context).with_remedy(remedy);
    match retry_after {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

/// An answer that no registry gives.
pub(super) fn strange(at: &str, what: &str) -> Error {
    let context = format!("what answers at {at} when asked to {what} is no schema registry");
    Error::new("CDC-6016", Origin::Transport, Retry::AfterOperator, context)
        .with_remedy("correct the URL; a registry answers with a list: curl URL/subjects")
}

/// A number that no registry gives.
pub(crate) fn no_number(id: u32) -> Error {
    let context = format!("a record names schema {id}, and no registry gives such a number");
    Error::new("CDC-6014", Origin::Transport, Retry::Never, context).with_remedy(
        "the record was not written by a serializer of a registry: correct its producer",
    )
}
