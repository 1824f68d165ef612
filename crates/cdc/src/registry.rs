//! The schema registry of a pipeline: its own or one elsewhere; what goes into it, and who watches it.
//!
//! ```text
//! capture ─▶ Announcing ─▶ own registry ◀─ HTTP: clients of Confluent's API
//!                              │
//! format  ─▶ Guarded ─▶ either one ─▶ monitor: schema.version_changed
//!               └── a schema that its subject's level forbids ─▶ Sentinel: told, and the run ends
//! ```

mod announce;
mod guarded;
mod monitor;
mod own;
mod sentinel;

pub(crate) use announce::{Announcements, Announcing};
pub(crate) use guarded::Guarded;
pub(crate) use monitor::Monitor;
pub(crate) use own::{Own, serve};
pub(crate) use sentinel::Sentinel;

use cdc_core::{Error, Origin, Result, Retry};
use cdc_registry::{client::Client, embedded};
use std::sync::Arc;

/// A registry that can be asked.
#[derive(Clone)]
pub(crate) enum Registry {
    /// The one of this process.
    Own(Arc<embedded::Registry>),
    /// One that is reached over HTTP.
    Elsewhere(Client),
}

/// Does something with the registry of this process, whose calls block.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(call).await.unwrap_or_else(|error| {
        let context = "the schema registry of this process gave up";
        Err(Error::new("CDC-0143", Origin::Internal, Retry::Backoff, context)
            .with_remedy("start the pipeline again; if it comes back, registry.enabled: false goes on without")
            .with_source(error))
    })
}

/// What the registry of this process refuses, for a reason that is no level.
fn refused(subject: &str, refusal: &embedded::Refusal) -> Error {
    let context =
        format!("the schema registry does not take subject {subject}: {}", refusal.message);
    Error::new("CDC-0143", Origin::Config, Retry::AfterOperator, context)
        .with_remedy("look at the subject with cdc schema show, and at its mode and level")
}
