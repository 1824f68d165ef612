//! What the parts of a pipeline say about themselves.

use crate::{Position, TableId, sink::Delivery};
use serde::Serialize;
use std::collections::BTreeMap;

/// The state of a connector. The names are part of the HTTP and command-line contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectorState {
    /// Opening connections.
    #[default]
    Starting,
    /// Another process captures; this one takes over when that one is gone.
    Standby,
    /// A source that reads a snapshot, or a sink that receives one.
    Snapshotting,
    /// Following changes.
    Running,
    /// Waiting before another try after a failure.
    Retrying,
    /// Stopped until an operator acts.
    Parked,
    /// Ended on request.
    Stopped,
}

/// What a source says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceStatus {
    /// Its state; the engine adds `Retrying` and `Parked`.
    pub state: ConnectorState,
    /// Is the replication connection up?
    pub connected: bool,
    /// Tables of the snapshot, in the order they are read.
    pub snapshot: Vec<SnapshotProgress>,
    /// Everything up to here has been handed over.
    pub position: Option<Position>,
    /// The database's own form of `position`: `0/16B3748`.
    pub position_text: String,
    /// Bytes of the database's log that are not handed over yet.
    pub lag_bytes: Option<u64>,
    /// Milliseconds between the commit of the newest change and its arrival here.
    pub lag_ms: Option<u64>,
    /// Bytes of log that the database keeps for us.
    pub retained_bytes: Option<u64>,
    /// How the database's promise to keep that log stands, where it can be taken back.
    pub slot: Option<SlotStatus>,
    /// All rows were read once more, and destinations may hold rows that are gone from the source: they
    /// have to be compared.
    pub comparison_due: bool,
    /// Connector's own facts for people: slot name, server version.
    pub details: BTreeMap<String, String>,
    /// Something an operator should see: a slot about to be lost.
    pub warning: Option<String>,
}

/// How a replication slot fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SlotStatus {
    /// In the database's words: `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: String,
    /// So many bytes may still be written before the database may remove log that the slot needs;
    /// `None` without such a limit.
    pub safe_wal_bytes: Option<i64>,
}

/// How far the snapshot of one table is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotProgress {
    /// Which table.
    pub table: TableId,
    /// Rows read so far.
    pub rows: u64,
    /// Rows expected, by the database's statistics.
    pub rows_estimated: Option<u64>,
    /// Is it complete?
    pub done: bool,
}

/// What the engine says about one sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SinkStatus {
    /// `sink_id` of the configuration.
    pub sink_id: String,
    /// `sink_type` of the configuration.
    pub sink_type: String,
    /// Its state.
    #[serde(rename = "status")]
    pub state: ConnectorState,
    /// What it promises; `None` before it was opened once.
    pub delivery: Option<Delivery>,
    /// Records in the log that it has not committed yet.
    pub lag_records: u64,
    /// Milliseconds since the commit of the newest delivered change, while it is behind; 0 otherwise.
    pub lag_ms: u64,
    /// Changes delivered since the process started.
    pub delivered: u64,
    /// Newest position committed.
    pub position: Option<Position>,
    /// Changes set aside.
    pub dead_letters: u64,
    /// Tables whose changes are all set aside until an operator retries.
    pub parked_tables: Vec<String>,
    /// The last failure, while it matters.
    pub error: Option<Problem>,
}

/// A failure as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Code with a page of its own.
    pub code: String,
    /// What happened.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl From<&crate::Error> for Problem {
    fn from(error: &crate::Error) -> Self {
        let message = error.chain();
        let message = message.strip_prefix(error.code).unwrap_or(&message);
        Self {
            code: error.code.to_owned(),
            message: message.trim_start_matches(": ").to_owned(),
            remedy: error.remedy.clone(),
        }
    }
}
