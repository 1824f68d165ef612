//! A target table as the statements of this sink see it.

use crate::encode::Wire;
use cdc_core::{TableId, TableSchema};
use std::{collections::BTreeSet, sync::Arc};

/// A source table's columns, each with its counterpart on the target.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) source: TableId,
    pub(crate) target: TableId,
    pub(crate) schema: Arc<TableSchema>,
    /// In the order of the schema's columns.
    pub(crate) columns: Vec<Column>,
    /// Indexes into `columns`.
    pub(crate) key: Vec<usize>,
}

/// One column on the target.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Its type with its limits, for messages.
    pub(crate) declared: String,
    /// Its type without limits, so that a cast to it never cuts a value.
    pub(crate) cast: String,
    /// How its values travel as parameters.
    pub(crate) wire: Wire,
    /// Is `wire` the type itself, so that no cast is needed?
    pub(crate) native: bool,
    /// How its values travel in a binary COPY; `None` where they cannot.
    pub(crate) copy: Option<CopyForm>,
    /// The labels that its type knows, where it is an enum or an array of one.
    pub(crate) labels: Option<Labels>,
}

/// How a value travels in a binary COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyForm {
    Scalar(Wire),
    Array(Wire),
}

/// The labels of an enum type on the target.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    /// The type's quoted name.
    pub(crate) type_name: String,
    pub(crate) known: BTreeSet<String>,
}

impl Layout {
    /// Can whole rows be sent by binary COPY?
    pub(crate) fn copies(&self) -> bool {
        !self.columns.is_empty() && self.columns.iter().all(|column| column.copy.is_some())
    }

    /// Are rows found by a key?
    pub(crate) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Is this column part of the key?
    pub(crate) fn is_key(&self, column: usize) -> bool {
        self.key.contains(&column)
    }
}
