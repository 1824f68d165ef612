//! Protocol Buffers schemas.
//!
//! ```text
//! text or descriptor ── parse ──▶ file descriptor ─┬─ print ──▶ canonical and normalised text
//!                                                  └─ compatibility ──▶ can it be read by another?
//! ```

mod compatibility;
mod known;
mod options;
mod parse;
mod print;

pub(crate) use compatibility::reads;
pub use parse::Schema;
