//! What can go wrong, with what helps.

use cdc_core::{Error, Origin, Retry};
use std::error::Error as StdError;
use std::io;
use std::time::Duration;

/// The configuration cannot work.
pub(crate) fn config(what: impl Into<String>) -> Error {
    Error::new("CDC-3101", Origin::Config, Retry::AfterOperator, what)
        .with_remedy("correct the `webhook:` block of the sink in the pipeline file")
}

/// The HTTP client cannot be set up.
pub(crate) fn client(source: reqwest::Error) -> Error {
    Error::new("CDC-3102", Origin::Internal, Retry::Backoff, "cannot set up the HTTP client")
        .with_remedy("report it, with the `webhook:` block without its secrets")
        .with_source(source.without_url())
}

/// The receiver does not know this client, or does not let it in.
pub(crate) fn not_allowed(receiver: &str, answer: &str) -> Error {
    let context = format!("{receiver} answered {answer}");
    Error::new("CDC-3103", Origin::Sink, Retry::AfterOperator, context).with_remedy(
        "correct `webhook.auth_token`, `webhook.headers` or `webhook.signing_secret`, or let the \
         receiver accept them",
    )
}

/// The receiver sends elsewhere.
pub(crate) fn redirected(receiver: &str, answer: &str) -> Error {
    let context = format!("{receiver} answered {answer}: redirects are not followed");
    Error::new("CDC-3104", Origin::Sink, Retry::AfterOperator, context)
        .with_remedy("set `webhook.url` to the address that the receiver redirects to")
}

/// The receiver asks to come back later.
pub(crate) fn later(receiver: &str, answer: &str, wait: Option<Duration>) -> Error {
    let context = format!("{receiver} answered {answer}");
    let error = Error::new("CDC-3105", Origin::Sink, Retry::Backoff, context).with_remedy(
        "nothing: the change is sent again; for fewer of these lower `webhook.concurrency`",
    );
    match wait {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

/// The receiver refuses this change for good.
pub(crate) fn refused(receiver: &str, answer: &str) -> Error {
    let context = format!("{receiver} answered {answer}");
    Error::new("CDC-3106", Origin::Sink, Retry::Never, context).with_remedy(
        "mend the receiver and run `cdc dead-letters retry`, or `cdc dead-letters discard`; when \
         every change is refused, look at `webhook.url`",
    )
}

/// The receiver failed.
pub(crate) fn failed(receiver: &str, answer: &str, wait: Option<Duration>) -> Error {
    let context = format!("{receiver} answered {answer}");
    let error = Error::new("CDC-3107", Origin::Sink, Retry::Backoff, context)
        .with_remedy("look at the receiver's log; the change is sent again until it is taken");
    match wait {
        Some(wait) => error.with_retry_after(wait),
        None => error,
    }
}

/// No answer came.
pub(crate) fn no_answer(receiver: &str, host: &str, source: reqwest::Error) -> Error {
    let source = source.without_url();
    if let Some(explained) = certificate(&source, host) {
        return explained;
    }
    let (code, what, remedy) = if source.is_connect() {
        ("CDC-3109", "cannot connect to", "start the receiver, or correct `webhook.url`")
    } else if source.is_timeout() {
        (
            "CDC-3108",
            "no answer in time from",
            "raise `webhook.timeout_seconds`, or let the receiver answer before it works",
        )
    } else {
        ("CDC-3110", "the connection broke before the answer of", "look at the receiver's log")
    };
    Error::new(code, Origin::Sink, Retry::Backoff, format!("{what} {receiver}"))
        .with_remedy(remedy)
        .with_source(source)
}

/// A certificate that did not convince either side, in the words of the TLS crate.
fn certificate(failure: &reqwest::Error, host: &str) -> Option<Error> {
    /// No chain of causes is longer.
    const CAUSES_MAX: usize = 16;
    let mut cause: Option<&(dyn StdError + 'static)> = failure.source();
    for _ in 0..CAUSES_MAX {
        let current = cause?;
        let explained = current
            .downcast_ref::<io::Error>()
            .and_then(|error| cdc_tls::explain(error, host, Origin::Sink));
        if let Some(error) = explained {
            let other_name = error.code == "CDC-1107";
            let remedy = "let `webhook.url` name a host that the certificate carries";
            return Some(if other_name { error.with_remedy(remedy) } else { error });
        }
        cause = current.source();
    }
    None
}
