//! The `cdc` program: its configuration files, its commands, and the one list of connectors.
#![warn(missing_docs)]

mod backbone;
pub mod catalog;
pub mod cli;
pub mod config;
mod debezium;
mod directory;
mod failure;
mod lag;
mod output;
mod pages;
mod pressure;
mod progress;
mod registry;
mod remote;
mod schemas;
mod settings;
mod stop;
mod tables;
mod telemetry;
mod terminal;
mod when;
