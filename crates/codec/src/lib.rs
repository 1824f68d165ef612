//! Changes to bytes and back. Pure functions: no I/O, no clock, no panics on foreign bytes.
#![warn(missing_docs)]

pub mod connect;
pub mod debezium;
mod error;
mod json;
pub mod row;

pub use error::DecodeError;
