//! Tables and columns as the catalog describes them.

use super::TypeCatalog;
use cdc_core::TableId;
use std::sync::Arc;

/// The captured tables and every type that occurs in them.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// Sorted by name; partitions are folded into their topmost selected ancestor.
    pub tables: Vec<CatalogTable>,
    /// Tables that the selection leaves out although its patterns name them.
    pub left_out: Vec<LeftOut>,
    /// The types of their columns, and what those are made of.
    pub types: Arc<TypeCatalog>,
    /// `server_version_num`: 150018.
    pub server_version: u32,
}

/// A table that is left out of the selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub table: TableId,
    /// The captured table that it is a partition of: then its rows are captured all the same.
    pub captured_as: Option<TableId>,
}

/// One captured table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogTable {
    /// The number of the relation.
    pub oid: u32,
    /// Its name.
    pub table: TableId,
    /// Is it the root of partitions?
    pub partitioned: bool,
    /// Is it unlogged, so that its changes are never in the log?
    pub unlogged: bool,
    /// May the connected role read all of it?
    pub readable: bool,
    /// In the order of the table.
    pub columns: Vec<CatalogColumn>,
    /// Numbers of the primary key's columns, in the key's order; empty without one.
    pub primary_key: Vec<i16>,
    /// What the server logs of a row before a change.
    pub replica_identity: ReplicaIdentity,
    /// Rows by the server's statistics; `None` where it has none.
    pub rows_estimated: Option<u64>,
}

/// What the server logs of a row before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key, if there is one.
    Default,
    /// Nothing.
    Nothing,
    /// The whole row.
    Full,
    /// The columns of an index, by number in the index's order.
    Index(Vec<i16>),
}

/// One column of a [`CatalogTable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogColumn {
    /// Its number in the table.
    pub attnum: i16,
    /// Its name.
    pub name: String,
    /// Its type's number.
    pub type_oid: u32,
    /// Its type's modifier; -1 without one.
    pub type_modifier: i32,
    /// Its type as it would be declared.
    pub declared: String,
    /// May it hold NULL?
    pub nullable: bool,
    /// Does the server compute it?
    pub generated: Generated,
    /// What rows from before the column hold, where the server did not write them anew.
    pub missing: Option<String>,
    /// The expression of its default, as the server prints it.
    pub default: Option<String>,
    /// Is it part of the rows that we emit? Generated columns are not, unless they are published.
    pub captured: bool,
}

/// Whether the server computes a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generated {
    /// It does not.
    No,
    /// When the row is written.
    Stored,
    /// When the row is read.
    Virtual,
}

impl CatalogTable {
    /// The columns of the rows that we emit.
    pub fn captured_columns(&self) -> impl Iterator<Item = &CatalogColumn> {
        self.columns.iter().filter(|column| column.captured)
    }

    /// Numbers of the columns that identify a row in the log: those of the replica identity's index
    /// where one was chosen, since the log holds nothing else of a deleted row; else the primary key.
    #[must_use]
    pub fn key(&self) -> &[i16] {
        match &self.replica_identity {
            ReplicaIdentity::Index(columns) => columns,
            ReplicaIdentity::Default | ReplicaIdentity::Full | ReplicaIdentity::Nothing => {
                &self.primary_key
            }
        }
    }

    /// Narrows the emitted columns to those that a publication or a message names. Before generated
    /// columns could be published, publications named them all the same.
    pub(crate) fn publish_only(&mut self, names: &[String], generated_too: bool) {
        for column in &mut self.columns {
            let can_be = generated_too || column.generated == Generated::No;
            column.captured = can_be && names.contains(&column.name);
        }
    }
}
