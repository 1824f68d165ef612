//! What tests of every crate share: real servers as local processes, conformance suites, memory
//! implementations and generated data. A development dependency only.

pub mod conformance;
pub mod faults;
pub mod generate;
pub mod memory;
pub mod postgres_types;
pub mod services;
