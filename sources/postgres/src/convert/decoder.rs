//! The plan by which the fields of one table are read.

use super::{
    codec::Codec,
    field::{Field, Problem},
    render::render,
};
use crate::schema::TypeCatalog;
use bytes::Bytes;
use cdc_core::{Origin, Retry, TableId, Value};
use std::{fmt, ops::Range, sync::Arc};

/// A column as a [`Decoder`] needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedColumn {
    /// Its name, for errors.
    pub name: String,
    /// Its type's number.
    pub type_oid: u32,
    /// Its type's name, for errors.
    pub type_name: String,
}

/// Reads the fields of one table's rows.
#[derive(Clone, Debug)]
pub struct Decoder {
    table: TableId,
    plans: Box<[Plan]>,
    types: Arc<TypeCatalog>,
}

#[derive(Clone, Debug)]
struct Plan {
    codec: Codec,
    column: DecodedColumn,
    /// Does the server have a binary form for the type at all?
    has_binary: bool,
}

impl Decoder {
    /// Plans how to read `columns`, which are in the order of the fields of a row.
    #[must_use]
    pub fn new(
        table: &TableId,
        columns: impl IntoIterator<Item = DecodedColumn>,
        types: &Arc<TypeCatalog>,
    ) -> Self {
        let plan = |column: DecodedColumn| Plan {
            codec: Codec::of(column.type_oid, types),
            has_binary: types.has_binary(column.type_oid),
            column,
        };
        let plans = columns.into_iter().map(plan).collect();
        Self { table: table.clone(), plans, types: Arc::clone(types) }
    }

    /// How many fields a row has.
    #[must_use]
    pub fn column_count(&self) -> usize {
        self.plans.len()
    }

    /// The types that the plan was made from.
    #[must_use]
    pub fn types(&self) -> &Arc<TypeCatalog> {
        &self.types
    }

    /// Reads a field in binary form, a range of the frame that it arrived in.
    #[inline]
    pub fn binary(
        &self,
        column: usize,
        frame: &Bytes,
        field: Range<usize>,
    ) -> Result<Value, Error> {
        self.read(column, frame, field, Codec::binary)
    }

    /// Reads a field in text form, a range of the frame that it arrived in.
    #[inline]
    pub fn text(&self, column: usize, frame: &Bytes, field: Range<usize>) -> Result<Value, Error> {
        self.read(column, frame, field, Codec::text)
    }

    /// The text that the server would print for a value of a column.
    pub(crate) fn print(&self, column: usize, value: &Value) -> String {
        let mut out = Vec::new();
        if let Some(plan) = self.plans.get(column) {
            render(value, &plan.codec, &mut out);
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    #[inline]
    fn read(
        &self,
        column: usize,
        frame: &Bytes,
        field: Range<usize>,
        read: impl for<'a> Fn(&Codec, Field<'a>) -> Result<Value, Problem>,
    ) -> Result<Value, Error> {
        let (Some(plan), Some(field)) = (self.plans.get(column), Field::new(frame, field)) else {
            return Err(self.outside(column));
        };
        read(&plan.codec, field).map_err(|problem| self.error(&plan.column, problem))
    }

    /// Can every field be read from the binary form that `pgoutput` sends when asked for it?
    #[must_use]
    pub fn binary_decodable(&self) -> bool {
        self.undecodable().next().is_none()
    }

    /// The columns that stand in the way of the binary form.
    pub fn undecodable(&self) -> impl Iterator<Item = &DecodedColumn> {
        // `pgoutput` falls back to text by itself where a type has no binary form.
        self.plans
            .iter()
            .filter(|plan| plan.has_binary && !plan.codec.reads_binary())
            .map(|plan| &plan.column)
    }

    /// Must the column be cast to text before it can be copied in binary form?
    #[must_use]
    pub(crate) fn needs_text_cast(&self, column: usize) -> bool {
        self.plans.get(column).is_some_and(|plan| !plan.codec.reads_binary())
    }

    #[cold]
    fn outside(&self, column: usize) -> Error {
        let column = self.plans.get(column).map(|plan| plan.column.clone());
        Error(Box::new(Failure {
            table: self.table.clone(),
            column: column.unwrap_or_else(|| DecodedColumn {
                name: "?".to_owned(),
                type_oid: 0,
                type_name: "?".to_owned(),
            }),
            problem: Problem::Truncated,
        }))
    }

    #[cold]
    fn error(&self, column: &DecodedColumn, problem: Problem) -> Error {
        Error(Box::new(Failure { table: self.table.clone(), column: column.clone(), problem }))
    }
}

/// A field that could not be read. Names the column, never the value.
#[derive(Debug, PartialEq, Eq)]
pub struct Error(Box<Failure>);

#[derive(Debug, PartialEq, Eq)]
struct Failure {
    table: TableId,
    column: DecodedColumn,
    problem: Problem,
}

impl Error {
    /// What is wrong with the field.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.0.problem
    }

    /// Would reading the catalog again help, because a type was changed since?
    #[must_use]
    pub fn needs_new_types(&self) -> bool {
        matches!(self.0.problem, Problem::UnknownType(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { table, column, problem } = &*self.0;
        write!(f, "column {} of {table}, type {}: {problem}", column.name, column.type_name)
    }
}

impl std::error::Error for Error {}

impl From<Error> for cdc_core::Error {
    fn from(error: Error) -> Self {
        let context = format!("cannot read a value of {error}");
        match error.problem() {
            Problem::UnknownType(_) => {
                Self::new("CDC-1051", Origin::Source, Retry::Backoff, context)
                    .with_remedy("nothing: the catalog is read again when the source restarts")
            }
            Problem::Utf8 => Self::new("CDC-1052", Origin::Source, Retry::AfterOperator, context)
                .with_remedy(
                    "correct the text in the table, or leave the table out of source.tables; \
                     databases whose encoding is SQL_ASCII hold whatever was written",
                ),
            _ => Self::new("CDC-1050", Origin::Source, Retry::AfterOperator, context)
                .with_remedy("leave the table out of source.tables and report the type"),
        }
    }
}
