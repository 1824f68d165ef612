//! The webhook sink against a real HTTP server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

// The promises that every sink makes, shared with the other sinks.
mod conformance;
// Receivers that are slow, failing, refusing, or gone.
mod faults;
// What a receiver gets: body, headers, signature, batches, connections.
mod requests;
// Encryption and the receiver's certificate.
mod tls;
// A receiver that does what a test tells it to.
mod world;
