//! Drives the `cdc` binary against real servers and knows nothing of its insides.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tests, in real time and with the environment of their runner"
)]

// The binary as a process: its files, its exit, its log, its HTTP answers.
mod process;
// A source, three destinations and the two configuration files between them.
mod scene;
// Whether two databases hold the same tables.
mod compare;
// What the lines of the file sink say that the tables hold.
mod repair;
mod replay;

// Every operation reaches every kind of sink, from every installed version.
mod deliver;
// What was put into the source's log without a table.
mod messages;
// What a run tells about itself.
mod observe;
// Whether replicas are proved to be equal, and differences found.
mod verify;
// Every type, at its extremes, on all ways.
mod fidelity;
// Tables that change their shape under load.
mod evolution;
// Tables that join or leave the publication.
mod members;
// The widest table, and thousands of them.
mod wide;
// One sink's trouble is that sink's own.
mod independent;
// Encrypted connections and ways to log in.
mod secure;
mod snapshot;
// Columns, rows and tables that are left out.
mod parts;
// Slots, publications and what happens to them.
mod provision;
// Kafka in place of the log on disk.
mod chaos;
mod kafka;
// Groups that Kafka has lost.
mod offsets;
// Sinks that are too far behind.
mod pressure;
mod transactions;
// The registry of an embedded pipeline.
mod registry;

// Mistakes that a new user makes, and what he is told.
mod refuse;
// What hurts users elsewhere.
mod pains;
// Disks that are full or return something else than was written.
mod disk;

// Random changes to ten tables.
mod load;
// Kills at random moments under that load.
mod crash;

// Sizes and loads for which a normal run has no time; `make test-heavy` runs them.
mod heavy;
