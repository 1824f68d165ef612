//! What can be wrong with encoded bytes.

use cdc_core::{Error, Origin, Retry, SchemaId};

/// Bytes that are not what the row format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of something.
    #[error("the record ends too early")]
    Truncated,
    /// A tag that this version does not know.
    #[error("unknown {what} tag {tag}")]
    UnknownTag {
        /// What the tag stands for.
        what: &'static str,
        /// The tag found.
        tag: u8,
    },
    /// A number is larger than its field.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// Arrays are nested deeper than any source sends them.
    #[error("arrays are nested too deeply")]
    TooDeep,
    /// The record needs a schema that the caller did not supply.
    #[error("schema {} is not known", .0.0)]
    UnknownSchema(SchemaId),
    /// A schema record does not hold a schema.
    #[error("the schema record is not valid")]
    InvalidSchema,
    /// Bytes are left over after the record.
    #[error("bytes are left over after the record")]
    Trailing,
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::new("CDC-4201", Origin::Internal, Retry::AfterOperator, "cannot decode a log record")
            .with_remedy(
                "the log was written by a newer version or is damaged: run the version that wrote it",
            )
            .with_source(error)
    }
}
