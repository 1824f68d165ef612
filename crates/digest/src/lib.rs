//! Hashes of PostgreSQL rows on which two servers agree.
//!
//! The source and the replica of a table are read by the same statements, so that equal rows have
//! equal hashes: each column as the server prints it under the same session settings, each row as a
//! record of those texts, each range as the sum of its rows' hashes.
#![warn(missing_docs)]

mod reader;
mod shape;

pub use reader::{Error, Reader};
pub use shape::{Cell, Shape};
