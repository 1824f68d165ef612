//! A schema registry: schemas of three languages, which of their changes are safe, a store for them
//! behind Confluent's REST API, and a client of such registries.
//!
//! ```text
//! text ── schema ──▶ Schema ── compatibility ──▶ why a change is refused
//! ```
#![warn(missing_docs)]

pub mod avro;
pub mod client;
pub mod compatibility;
pub mod embedded;
mod error;
pub mod http;
pub mod json;
pub mod plan;
pub mod protobuf;
pub mod schema;

pub use compatibility::{Breach, Direction, Finding, Level, check, reads};
pub use schema::{Invalid, Reference, Referenced, Schema, SchemaType};
