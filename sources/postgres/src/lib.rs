//! The PostgreSQL source: a consistent first copy, then every committed change.
//!
//! ```text
//!   Connector ── check, provision, retire
//!       └─ open ─▶ Source ─┬─ snapshot ─▶ COPY, of tables without a key ─┐
//!                          ├─ backfill ─▶ COPY, in chunks ──────────────┤
//!                          └─ stream ───▶ pgoutput ─────────────────────┴─▶ rows ─▶ batches ─▶ engine
//! ```

mod backfill;
mod check;
mod config;
mod connection;
mod connector;
pub mod convert;
mod error;
mod order;
mod position;
pub mod protocol;
mod provision;
mod quote;
mod replication;
pub mod schema;
mod server;
pub mod snapshot;
mod source;
mod stream;
mod verify;

pub use backfill::Progress;
pub use config::{Config, SnapshotMode};
pub use connector::Connector;
pub use position::{Backend, Lsn, Phase, Resume};
pub use stream::Members;
