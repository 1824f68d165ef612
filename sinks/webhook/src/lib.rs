//! The webhook sink: one HTTP request a change, at least once, with a stable identity.
//!
//! ```text
//! changes ─▶ lanes.rs ─▶ encode.rs ─▶ request ─▶ writer.rs ─▶ receiver
//!            by key       body, identity,            │
//!                         signature       answer.rs ◀┘ taken | refused | later | operator
//! ```
#![warn(missing_docs)]

mod answer;
mod check;
mod config;
mod connection;
mod encode;
mod error;
mod excerpt;
mod lanes;
mod writer;

pub use config::{Batch, Config, Method, Tls};
pub use connection::Connector;
