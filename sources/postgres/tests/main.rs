//! The source against real servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

mod backfill;
mod check;
mod connect;
mod defaults;
mod failover;
mod fuzz_regressions;
mod golden;
mod harness;
mod messages;
mod model;
mod orders;
mod proxy;
mod restart;
mod schema;
mod slot;
mod snapshot;
mod stream;
mod types;
mod unseen;
