//! Reading both ends of a pipeline in the same form, to prove that a replica equals its source.
//!
//! Both sides answer the same questions about a table: hashes over ranges of its keys, the hashes of
//! single rows, and of their columns. What a hash is made of is the connectors' business; two
//! sides are comparable where they agree on the hash of a known text ([`Rows::probe`]).

use crate::{Checkpoint, Position, Result, TableSchema};
use async_trait::async_trait;
use std::{sync::Arc, time::Duration};

/// What a reader of rows may cost its server.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Longest run of one statement.
    pub statement_timeout: Duration,
    /// Longest wait for a lock that another session holds.
    pub lock_timeout: Duration,
    /// A view that nothing is read from for so long is ended by the server.
    pub idle_timeout: Duration,
}

/// How rows are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The quickest hash that the server has. Two servers may disagree on it.
    Native,
    /// A hash that is defined by bytes alone, wherever it is computed.
    Portable,
}

/// A table that the source captures.
#[derive(Clone, Debug)]
pub struct SourceTable {
    /// Its columns and key, as they are captured.
    pub schema: Arc<TableSchema>,
    /// Rows by the database's statistics.
    pub rows_estimated: Option<u64>,
    /// Why its changes do not arrive at present; `None` when they do.
    pub left_out: Option<String>,
}

/// How a replica keeps the rows of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The type of each column of the schema where it is not the source's own and the source knows
    /// it too: values are compared in that type.
    As(Vec<Option<String>>),
    /// It does not keep them, or not all columns; says what is missing.
    Not(String),
}

/// How one table is compared.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The table as its source has it.
    pub schema: Arc<TableSchema>,
    /// Types of columns that the replica converts; see [`Kept::As`].
    pub kept_as: Vec<Option<String>>,
    /// How rows are hashed.
    pub method: Method,
    /// Into how many ranges of key hashes the rows are divided; a power of two.
    pub ranges: u32,
}

/// All rows of one range together. The order of the rows does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Which range, from 0.
    pub range: u32,
    /// How many rows.
    pub rows: u64,
    /// The sum of their hashes.
    pub sum: i128,
}

/// The printed values of a key's columns.
pub type Key = Vec<Option<String>>;

/// The row under one key; of a table without a key, a row of some content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Hash of the key; without a key, of the content.
    pub key_hash: i64,
    /// The key's printed values; empty without a key.
    pub key: Key,
    /// Hash of all columns.
    pub hash: i64,
    /// Differs after every write of the row. Means nothing on the other side.
    pub version: i64,
}

/// One row, column by column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    /// Hash of the key.
    pub key_hash: i64,
    /// The key's printed values.
    pub key: Key,
    /// The hash of each column of the schema.
    pub hashes: Vec<Option<i64>>,
    /// The beginning of each printed value, where values were asked for.
    pub values: Option<Vec<Option<String>>>,
}

/// Reads rows on one side, within views: between `begin` of the side's own trait and
/// [`end`](Self::end) everything is seen as it was at the begin. Writes nothing. A reader that failed
/// or was dropped half way cannot be used again.
#[async_trait]
pub trait Rows: Send + Sync {
    /// The hash of a known text; `None` where this side does not have the method.
    async fn probe(&mut self, method: Method) -> Result<Option<i64>>;

    /// The ranges that hold rows. Needs a view.
    async fn digests(&mut self, of: &Comparison) -> Result<Vec<Digest>>;

    /// Starts to read the rows of some ranges, in the order of their key hashes. Needs a view.
    async fn scan(&mut self, of: &Comparison, ranges: &[u32]) -> Result<()>;

    /// The next rows of the scan, a bounded number; none at its end.
    async fn next(&mut self) -> Result<Vec<Seen>>;

    /// The rows under these keys, in any order; may return others too. Needs a view.
    async fn lookup(&mut self, of: &Comparison, keys: &[(i64, Key)]) -> Result<Vec<Seen>>;

    /// The rows under these keys, column by column. Needs a view.
    async fn cells(
        &mut self,
        of: &Comparison,
        keys: &[(i64, Key)],
        values: bool,
    ) -> Result<Vec<Cells>>;

    /// Ends the view.
    async fn end(&mut self) -> Result<()>;
}

/// Reads the rows of a source.
#[async_trait]
pub trait SourceRows: Rows {
    /// The captured tables, in the order of their names.
    async fn tables(&mut self) -> Result<Vec<SourceTable>>;

    /// Begins a view. Everything that it shows was committed below the returned position.
    async fn begin(&mut self) -> Result<Position>;

    /// Bytes of the database's log between two positions, where they can be told.
    fn bytes_between(&self, earlier: Position, later: Position) -> Option<u64>;
}

/// Reads the rows of a replica.
#[async_trait]
pub trait ReplicaRows: Rows {
    /// How the replica keeps a table.
    async fn kept(&mut self, schema: &TableSchema) -> Result<Kept>;

    /// Begins a view and returns the checkpoint that was stored with the rows it shows; `None` before
    /// the first commit.
    async fn begin(&mut self) -> Result<Option<Checkpoint>>;
}
