//! What an answer means.

use crate::error;
use cdc_core::Error;
use reqwest::StatusCode;
use std::time::{Duration, SystemTime};

/// A receiver may ask for a longer wait, and gets this one.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// The status of an answer, and what came with it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The `Retry-After` header.
    pub(crate) retry_after: Option<String>,
    /// What the receiver says about it, fit for an error.
    pub(crate) excerpt: String,
}

impl Answer {
    /// `Ok` when the receiver took the request.
    pub(crate) fn verdict(&self, receiver: &str, now: SystemTime) -> Result<(), Error> {
        let code = self.status.as_u16();
        let shown = match self.status.canonical_reason() {
            Some(reason) => format!("{code} {reason}{}", self.excerpt),
            None => format!("{code}{}", self.excerpt),
        };
        let wait = self.retry_after.as_deref().and_then(|text| retry_after(text, now));
        match code {
            200..=299 => Ok(()),
            300..=399 => Err(error::redirected(receiver, &shown)),
            401 | 403 => Err(error::not_allowed(receiver, &shown)),
            408 | 409 | 425 | 429 => Err(error::later(receiver, &shown, wait)),
            400..=499 => Err(error::refused(receiver, &shown)),
            _ => Err(error::failed(receiver, &shown, wait)),
        }
    }
}

/// Reads a `Retry-After`: seconds, or the date to wait for.
pub(crate) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than 64 bits hold are a long wait too.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::Retry;
    use std::time::UNIX_EPOCH;

    #[test]
    fn each_status_has_its_consequence() {
        for (status, expected) in [
            (200, None),
            (202, None),
            (204, None),
            (301, Some(("CDC-3104", Retry::AfterOperator))),
            (308, Some(("CDC-3104", Retry::AfterOperator))),
            (400, Some(("CDC-3106", Retry::Never))),
            (401, Some(("CDC-3103", Retry::AfterOperator))),
            (403, Some(("CDC-3103", Retry::AfterOperator))),
            (404, Some(("CDC-3106", Retry::Never))),
            (408, Some(("CDC-3105", Retry::Backoff))),
            (409, Some(("CDC-3105", Retry::Backoff))),
            (410, Some(("CDC-3106", Retry::Never))),
            (422, Some(("CDC-3106", Retry::Never))),
            (425, Some(("CDC-3105", Retry::Backoff))),
            (429, Some(("CDC-3105", Retry::Backoff))),
            (500, Some(("CDC-3107", Retry::Backoff))),
            (503, Some(("CDC-3107", Retry::Backoff))),
            (599, Some(("CDC-3107", Retry::Backoff))),
            (999, Some(("CDC-3107", Retry::Backoff))),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let retry_after = Some("7".to_owned());
            let answer = Answer { status, retry_after, excerpt: String::new() };
            let verdict = answer.verdict("https://h", UNIX_EPOCH);
            let found = verdict.as_ref().err().map(|error| (error.code, error.retry));
            assert_eq!(found, expected, "{status}");
            if let Err(error) = verdict {
                let waits = error.retry == Retry::Backoff;
                assert_eq!(error.retry_after, waits.then_some(Duration::from_secs(7)));
                assert!(error.context.contains(status.as_str()) && error.remedy.is_some());
            }
        }
    }

    #[test]
    fn waits_are_seconds_or_dates_and_capped() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 90);
        let seconds = |n| Some(Duration::from_secs(n));
        for (text, expected) in [
            ("0", seconds(0)),
            (" 120 ", seconds(120)),
            ("86400", seconds(3_600)),
            ("99999999999999999999999", seconds(3_600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(90)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", seconds(90)),
            ("Sun, 06 Nov 1994 07:00:00 GMT", seconds(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", seconds(3_600)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(text, now), expected, "{text:?}");
        }
    }
}
