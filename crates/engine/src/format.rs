//! The formats that records of a log can have.

mod row;

pub use row::RowFormat;
