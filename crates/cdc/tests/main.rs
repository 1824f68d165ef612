//! Behaviour of the configuration files and of the built binary where no database is needed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests"
)]

mod commands;
mod config_errors;
mod config_values;
mod documents;
mod fuzz_regressions;
mod schemas;
