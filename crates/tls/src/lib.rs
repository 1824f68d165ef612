//! Encrypted connections to databases, with the modes that PostgreSQL's users know.
//!
//! One configuration block becomes one [`rustls::ClientConfig`]. Whoever connects asks
//! [`explain`] for the error that an operator reads when the handshake fails.
#![warn(missing_docs)]

mod binding;
mod config;
mod error;
mod files;
mod verify;

pub use binding::end_point_binding;
pub use config::{Mode, TlsConfig, without_authorities};
pub use error::{Error, explain};
