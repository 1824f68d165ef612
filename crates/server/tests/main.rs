//! The server over real sockets, with a status that the tests write.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod answers;
mod client;
mod letters;
mod listening;
mod snapshots;
mod world;
