//! The formats that records of a log can have.

mod debezium;
mod row;

pub use debezium::{DebeziumFormat, DebeziumSpec};
pub use row::RowFormat;
