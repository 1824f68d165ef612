//! The engine's real code on memory implementations wrapped in faults: refused calls, lost answers,
//! torn batches, crashes (all futures dropped), two processes at once. Paused time, one thread and one
//! seed make a run repeatable: a failure prints its seed, and `SEED=n cargo test -p cdc-engine --test
//! simulation` replays it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::clone_on_ref_ptr,
    reason = "tests"
)]

mod avro; // records in Avro as the format of the log
mod history; // what happens in the simulated database, and the source that tells of it
mod ledger; // the simulated destinations, and what they may hold
mod planted; // bugs of the parts around the engine, each of which must be caught
mod scenarios; // worlds run for many seeds
mod verification; // replicas compared with their sources while both go on
mod world; // processes that start, crash and overlap until everything is delivered
