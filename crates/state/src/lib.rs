//! The embedded state of one pipeline: a single file that survives a crash at any moment.
//!
//! ```text
//! state.redb ── checkpoints.rs   epoch, capture's progress, checkpoints of sinks that keep none
//!            ── schemas.rs       table schemas and their numbers
//!            ── dead_letters.rs  changes that a sink refused, until an operator decides
//! ```
#![warn(missing_docs)]

mod checkpoints;
mod dead_letters;
mod error;
mod schemas;
mod store;

pub use store::{Options, Store};
