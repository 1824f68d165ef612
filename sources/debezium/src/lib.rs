//! Capture by Debezium: a connector on a Kafka Connect cluster writes the topics, and this source makes
//! it, watches it and removes it.
//!
//! ```text
//! database ──▶ Debezium on Kafka Connect ──▶ topics ──▶ sinks of the pipeline
//!                      ▲    │ state
//!             settings │    ▼
//!                 this source (no change passes through it)
//! ```

mod config;
mod connector;
mod error;
mod rest;
mod watch;

pub use config::Config;
pub use connector::{Connector, OWNER};
