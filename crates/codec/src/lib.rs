//! Changes to bytes and back. Pure functions: no I/O, no clock, no panics on foreign bytes.
#![warn(missing_docs)]

pub mod debezium;
mod error;
pub mod row;

pub use error::DecodeError;
