//! Records that are about no table: heartbeats, and the begin and end of transactions.

use super::schemas;
use crate::connect::{Schema, Writer, label};

/// A key or value of a record that is about no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The key of a heartbeat.
    HeartbeatKey {
        /// First part of every topic name.
        topic_prefix: String,
    },
    /// A heartbeat.
    Heartbeat {
        /// Milliseconds since 1970 by the clock of this process.
        millis: i64,
    },
    /// The key of a transaction's begin and end.
    TransactionKey {
        /// `number:address` of the transaction.
        id: String,
    },
    /// A transaction begins or ends.
    Transaction {
        /// `number:address` of the transaction.
        id: String,
        /// When it was committed, in milliseconds since 1970.
        millis: i64,
        /// What it held, where it ends.
        end: Option<TransactionEnd>,
    },
}

/// What a transaction held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionEnd {
    /// Number of records.
    pub event_count: u64,
    /// Number of records of each table, in the order in which the tables came.
    pub tables: Vec<(String, u64)>,
}

impl Notice {
    /// Its schema.
    #[must_use]
    pub fn schema(&self) -> Schema {
        match self {
            Self::HeartbeatKey { .. } => schemas::heartbeat_key(),
            Self::Heartbeat { .. } => schemas::heartbeat(),
            Self::TransactionKey { .. } => schemas::transaction_key(),
            Self::Transaction { .. } => schemas::transaction(),
        }
    }

    /// Tells it.
    pub fn write<W: Writer>(&self, out: &mut W) {
        out.begin_struct();
        match self {
            Self::HeartbeatKey { topic_prefix } => {
                out.field(label!("serverName"));
                out.string(topic_prefix);
            }
            Self::Heartbeat { millis } => {
                out.field(label!("ts_ms"));
                out.integer(*millis);
            }
            Self::TransactionKey { id } => {
                out.field(label!("id"));
                out.string(id);
            }
            Self::Transaction { id, millis, end } => {
                out.field(label!("status"));
                out.string(if end.is_some() { "END" } else { "BEGIN" });
                out.field(label!("id"));
                out.string(id);
                write_end(out, end.as_ref());
                out.field(label!("ts_ms"));
                out.integer(*millis);
            }
        }
        out.end_struct();
    }
}

fn write_end<W: Writer>(out: &mut W, end: Option<&TransactionEnd>) {
    out.field(label!("event_count"));
    let Some(end) = end else {
        out.null();
        out.field(label!("data_collections"));
        return out.null();
    };
    out.integer(end.event_count.cast_signed());
    out.field(label!("data_collections"));
    out.begin_array(end.tables.len());
    for (table, count) in &end.tables {
        out.item();
        out.begin_struct();
        out.field(label!("data_collection"));
        out.string(table);
        out.field(label!("event_count"));
        out.integer(count.cast_signed());
        out.end_struct();
    }
    out.end_array();
}
