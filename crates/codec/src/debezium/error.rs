//! What cannot be written as Debezium JSON.

use cdc_core::{Error, Origin, Retry, TableId};

/// Why one value could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// Text holds bytes that are not UTF-8.
    #[error("the text is not valid UTF-8")]
    Encoding,
    /// The envelope's type for this column cannot hold the value.
    #[error("the value does not fit the envelope's type: {0}")]
    Range(&'static str),
    /// The row or an array is not built as its schema or dimensions say.
    #[error("the value has an inconsistent shape: {0}")]
    Shape(&'static str),
    /// The database logged no value for a column of the key.
    #[error("the database logged no value for this key column")]
    MissingKey,
}

impl Problem {
    /// The error of one column of one table.
    pub(super) fn at(self, table: &TableId, column: &str) -> Error {
        let (code, origin, remedy) = match self {
            Self::Encoding => (
                "CDC-4220",
                Origin::Source,
                "convert the database to encoding UTF8, or leave the column out of the publication",
            ),
            Self::Range(_) => (
                "CDC-4221",
                Origin::Source,
                "correct the row, or leave the column out of the publication",
            ),
            Self::Shape(_) => {
                ("CDC-4222", Origin::Internal, "report it with the table's definition")
            }
            Self::MissingKey => (
                "CDC-4223",
                Origin::Source,
                "set the table's replica identity to FULL: ALTER TABLE … REPLICA IDENTITY FULL",
            ),
        };
        Error::new(code, origin, Retry::Never, format!("column {column:?} of {table}: {self}"))
            .with_remedy(remedy)
    }
}
