//! The embedded transport: one totally ordered, durable log per pipeline on the local disk.
//!
//! ```text
//! append ─▶ queue ─▶ writer thread ─▶ segment files ─▶ readers
//!                    one write, one sync for all that is queued
//! ```
//! The README beside this crate describes the files byte by byte.

mod append;
pub mod config;
mod disk;
mod error;
mod follow;
pub mod frame;
mod lock;
mod log;
mod marker;
mod open_log;
mod read;
mod recovery;
mod retention;
mod scan;
mod segment;
mod varint;
mod view;
mod writer;

pub use config::{ByteSize, Config, Fsync};
pub use log::{EmbeddedTransport, Log};
