//! Avro schemas.
//!
//! ```text
//! text ── parse ──▶ model ─┬─ print ──▶ canonical and normalised text
//!                          └─ compatibility ──▶ can data of one be read by the other?
//! ```

mod compatibility;
mod default;
mod model;
mod parse;
mod print;

pub(crate) use compatibility::reads;
pub use model::Schema;
