//! JSON Schemas.
//!
//! ```text
//! text ── parse ──▶ value ── shape ──▶ what a place allows ── compatibility ──▶ is it allowed less?
//! ```

mod combined;
mod compatibility;
mod object;
mod parse;
mod shape;

pub(crate) use compatibility::reads;
pub use parse::Schema;
