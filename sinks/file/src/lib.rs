//! The file sink: one JSON object a line, exactly once.
//!
//! ```text
//! changes ─▶ encode.rs ─▶ lines ─▶ writer.rs ─▶ changes.jsonl             appended, rotated
//!                                     │
//!                         commit ─▶ checkpoint.rs ─▶ changes.jsonl.checkpoint   replaced atomically
//! ```
#![warn(missing_docs)]

mod check;
mod checkpoint;
mod config;
mod connection;
mod encode;
mod error;
mod names;
mod stream;
mod writer;

pub use config::{Config, Envelope};
pub use connection::Connector;
