//! The `cdc` program: its configuration files, its commands, and the one list of connectors.
#![warn(missing_docs)]

pub mod catalog;
pub mod config;
pub mod pending;
