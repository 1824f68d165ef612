//! The store against its contracts, crashes, full disks and damaged files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod conformance;
mod crash;
mod damage;
mod limits;
