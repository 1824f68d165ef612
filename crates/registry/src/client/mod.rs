//! A client of registries that speak Confluent's REST API.
//!
//! ```text
//! Client ── cache: one request for what many ask at once ── connection: several URLs, one after the
//!                                                           other until one answers
//! ```

mod cache;
mod config;
mod connection;
mod contract;
mod error;
mod requests;

pub use config::{Config, Tls};
pub use requests::{Client, Found, Named, Verdict};
