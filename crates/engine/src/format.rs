//! The formats that records of a log can have.

mod debezium;
mod row;

pub use debezium::DebeziumFormat;
pub use row::RowFormat;
