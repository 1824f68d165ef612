//! The sink against real servers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    clippy::large_futures,
    reason = "tests"
)]

// The shared conformance suite, both modes, with lost answers.
mod conformance;
// Preflight findings and what they tell to do.
mod check;
// Mode `events`.
mod events;
// Tables that are created, altered, taken over, and that cannot follow.
mod evolution;
// Refused changes, fencing, lost connections.
mod faults;
// Offsets of consumer groups in a table.
mod offsets;
// Histories from seeds, compared with a model.
mod random;
// Every operation on rows.
mod replica;
// A server, a database and a script of changes.
mod target;
// Rates and memory, printed; run by name.
mod throughput;
// Every type, by both ways into a table.
mod types;
