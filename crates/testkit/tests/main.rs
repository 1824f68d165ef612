//! The test kit, tested by itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

// Real servers: they answer, survive what a test does to them, and leave nothing behind.
mod services;

// The same for Apache Kafka.
mod kafka;

// The suite of sinks: a correct memory sink passes it, and each planted fault is found.
mod sink;

// The memory implementations pass the suites that the real ones must pass.
mod memory;
