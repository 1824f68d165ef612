//! The file sink against real files.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

// The promises that every sink makes, shared with the other sinks.
mod conformance;
// Crashes: what is cut off, what is kept, and what is refused rather than glossed over.
mod recovery;
// What an operator got wrong, and full disks.
mod refusals;
// Going on in new files by size and by age.
mod rotation;
// A directory of its own for each test, and its files as a reader sees them.
mod world;
