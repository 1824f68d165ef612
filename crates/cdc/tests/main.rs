//! Behaviour of the configuration files and of the built binary where no database is needed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests"
)]

mod config_errors;
mod config_values;
mod fuzz_regressions;
