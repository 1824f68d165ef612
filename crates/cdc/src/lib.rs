//! The `cdc` program: its configuration files, its commands, and the one list of connectors.
#![warn(missing_docs)]

pub mod catalog;
pub mod cli;
pub mod config;
mod directory;
mod failure;
mod output;
mod pages;
mod progress;
mod remote;
mod schemas;
mod settings;
mod stop;
mod tables;
mod telemetry;
mod terminal;
mod when;
