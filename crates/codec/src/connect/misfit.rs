//! What cannot be said in a format.

use cdc_core::{Error, Origin, Retry};

/// A schema has no form in a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsayable {
    /// The format takes only letters, digits and `_`.
    #[error("{format} does not take the name {name:?}")]
    Name {
        /// The format.
        format: &'static str,
        /// The name of a record or field.
        name: String,
    },
    /// Two records of one schema, or two fields of one record, have one name and are not the same.
    #[error("two different records or fields have the name {0:?}")]
    Redefined(String),
    /// A map has keys that are not text.
    #[error("{0} has no maps with other keys than text")]
    Keys(&'static str),
    /// The format does not take these two things within each other.
    #[error("{format} cannot hold {what}")]
    Shape {
        /// The format.
        format: &'static str,
        /// What it cannot hold.
        what: &'static str,
    },
    /// It is larger than any table's.
    #[error("the schema is too large")]
    TooLarge,
}

/// A value was told that its schema has no place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Null for what may not be null.
    #[error("null where the schema does not allow it")]
    Null,
    /// A number of more bits than its schema's.
    #[error("a number of more bits than its schema has")]
    Range,
    /// A value of another type, too many values or too few.
    #[error("a value of another type than its schema's")]
    Order,
}

impl From<Unsayable> for Error {
    fn from(unsayable: Unsayable) -> Self {
        let remedy = match &unsayable {
            Unsayable::Name { .. } => {
                "set the adjustment of the names of schemas and fields to avro, or rename the table or column"
            }
            _ => "leave the column out of the publication, or choose JSON",
        };
        Self::new("CDC-4240", Origin::Config, Retry::Never, unsayable.to_string())
            .with_remedy(remedy)
    }
}

impl From<Misfit> for Error {
    fn from(misfit: Misfit) -> Self {
        Self::new("CDC-4241", Origin::Internal, Retry::Never, misfit.to_string())
            .with_remedy("report it with the table's definition")
    }
}
