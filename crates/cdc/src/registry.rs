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

use cdc_core::registry::SchemaRegistry;
use cdc_registry::{
    client::Client,
    embedded::{self, SharedRegistry},
};
use std::sync::Arc;

/// A registry that can be asked.
#[derive(Clone)]
pub(crate) enum Registry {
    /// The one of this process.
    Own(Arc<embedded::Registry>),
    /// One that is reached over HTTP.
    Elsewhere(Client),
}

impl Registry {
    /// The same as formats know it.
    pub(crate) fn of_formats(&self) -> Arc<dyn SchemaRegistry> {
        match self {
            Self::Own(registry) => Arc::new(SharedRegistry::new(Arc::clone(registry))),
            Self::Elsewhere(client) => Arc::new(client.clone()),
        }
    }
}
