//! What an operator asks of snapshots while a pipeline runs.

use crate::TableId;
use serde::{Deserialize, Serialize};

/// Rows that one order may name.
pub const ROWS_MAX: usize = 10_000;

/// An order about snapshots. The source carries it out, now or when it runs next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum SnapshotOrder {
    /// Read tables once more, beside the stream.
    Begin {
        /// The tables, as patterns of the source's configuration: `public.orders`, `shop.*`.
        tables: Vec<String>,
        /// Only rows that meet this condition, in the database's own SQL.
        #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
        condition: Option<String>,
    },
    /// Read single rows of a table once more. What is there is delivered as a row of a snapshot, and what
    /// is not there as a delete.
    Rows {
        /// The table.
        table: TableId,
        /// The printed values of the key's columns, at most [`ROWS_MAX`] keys.
        keys: Vec<Vec<String>>,
    },
    /// Destinations were compared with the source, and are equal to it: the source stops asking for it
    /// ([`comparison_due`](crate::status::SourceStatus::comparison_due)).
    Compared,
    /// Read no rows until told to go on; changes flow meanwhile.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Give up the snapshots that were ordered. The first one is never given up.
    Cancel,
}
