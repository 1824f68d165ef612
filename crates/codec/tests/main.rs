//! The codec from outside.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "tests"
)]

mod decoding;
mod fuzz_regressions;
mod golden_records;
mod records;
mod schemas;
