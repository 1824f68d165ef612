//! Why the registry does not do what it is asked for, by the numbers that clients of Confluent's know.

use cdc_core::Error;
use serde_json::{Value, json};

/// A request that is refused.
#[derive(Debug)]
pub struct Refusal {
    /// The number that clients look at; the HTTP status is its beginning.
    pub code: u32,
    /// What is wrong.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        let code = if self.code >= 1_000 { self.code / 100 } else { self.code };
        u16::try_from(code).unwrap_or(500)
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({ "error_code": self.code, "message": self.message })
    }

    pub(crate) fn no_subject(subject: &str) -> Self {
        Self::new(40401, format!("Subject '{subject}' not found."))
    }

    pub(crate) fn no_version(version: impl std::fmt::Display) -> Self {
        Self::new(40402, format!("Version {version} not found."))
    }

    pub(crate) fn no_schema(what: impl std::fmt::Display) -> Self {
        Self::new(40403, format!("Schema {what} not found"))
    }

    pub(crate) fn invalid_schema(why: impl std::fmt::Display) -> Self {
        Self::new(42201, format!("Invalid schema: {why}"))
    }

    pub(crate) fn not_permitted(why: impl Into<String>) -> Self {
        Self::new(42205, why)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        tracing::error!(error = %error.chain(), remedy = error.remedy, "the registry's store failed");
        Self::new(50001, format!("Error in the backend data store: {error}"))
    }
}
