//! Delivers changes to a PostgreSQL database, exactly once: as rows of JSON in one table, or as
//! replicas of the source tables. `README.md` says what is promised, `TYPES.md` what each type becomes.
#![warn(missing_docs)]

mod apply;
mod catalog;
mod check;
mod coalesce;
mod columns;
mod config;
mod connection;
mod connector;
mod encode;
mod error;
mod events;
mod evolve;
mod identity;
mod layout;
mod literal;
mod numeric;
mod offsets;
mod replica;
mod session;
mod shares;
mod sql;
mod state;
mod table;
mod verify;

pub use config::{Config, Mode, TargetSchema};
pub use connector::Connector;
pub use offsets::{OffsetTable, OffsetTableConfig};
