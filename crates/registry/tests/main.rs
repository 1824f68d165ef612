//! The registry crate's tests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "tests"
)]

/// The table of changes against another registry.
mod apicurio;
/// The table of changes: which level lets which change pass.
mod cases;
/// The client: refusals, several URLs, memory, credentials, certificates.
mod client;
/// Confluent's own client for Python.
mod clients;
/// The registries as formats know them.
mod contract;
/// The registry's file: restarts, damage, kills.
mod file;
/// Inputs that the fuzzer keeps.
mod fuzz_regressions;
/// Plans from one schema to another.
mod plans;
/// The REST API, over a real port.
mod server;
/// Texts: what is a schema, and which texts are the same one.
mod texts;
/// A registry on a real port.
mod world;
