//! The envelope's `source`: where a change comes from.

use super::envelope::{Envelopes, Times, or_null};
use super::schemas::connector;
use crate::connect::{Label, Writer, label};
use cdc_core::{Change, Operation};

/// One field of `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Version,
    Connector,
    Name,
    Millis,
    Snapshot,
    Database,
    Sequence,
    Micros,
    Nanos,
    Schema,
    Table,
    Transaction,
    Address,
    OldestTransaction,
    Origin,
    OriginAddress,
}

impl Field {
    /// In the order of the schema.
    pub(super) const ALL: [Self; 16] = [
        Self::Version,
        Self::Connector,
        Self::Name,
        Self::Millis,
        Self::Snapshot,
        Self::Database,
        Self::Sequence,
        Self::Micros,
        Self::Nanos,
        Self::Schema,
        Self::Table,
        Self::Transaction,
        Self::Address,
        Self::OldestTransaction,
        Self::Origin,
        Self::OriginAddress,
    ];

    /// What the schema calls it.
    pub(super) fn label(self) -> &'static Label {
        match self {
            Self::Version => label!("version"),
            Self::Connector => label!("connector"),
            Self::Name => label!("name"),
            Self::Millis => label!("ts_ms"),
            Self::Snapshot => label!("snapshot"),
            Self::Database => label!("db"),
            Self::Sequence => label!("sequence"),
            Self::Micros => label!("ts_us"),
            Self::Nanos => label!("ts_ns"),
            Self::Schema => label!("schema"),
            Self::Table => label!("table"),
            Self::Transaction => label!("txId"),
            Self::Address => label!("lsn"),
            Self::OldestTransaction => label!("xmin"),
            Self::Origin => label!("origin"),
            Self::OriginAddress => label!("origin_lsn"),
        }
    }

    /// Tells its value.
    pub(super) fn write<W: Writer>(self, out: &mut W, envelopes: &Envelopes, change: &Change) {
        let commit_time = change.transaction.commit_time;
        let table = &change.schema.table;
        let is_message = change.operation == Operation::Message;
        match self {
            Self::Version => out.string(env!("CARGO_PKG_VERSION")),
            Self::Connector => out.string(connector(&change.schema.dialect)),
            Self::Name => out.string(&envelopes.topic_prefix),
            Self::Millis => match Times::of(commit_time).millis {
                None if out.is_typed() => out.integer(i64::MAX),
                millis => or_null(out, millis),
            },
            Self::Snapshot => out.string(snapshot_marker(change)),
            Self::Database => out.string(&envelopes.database),
            Self::Sequence => out.string(&sequence(change)),
            Self::Micros => or_null(out, Times::of(commit_time).micros),
            Self::Nanos => or_null(out, Times::of(commit_time).nanos),
            Self::Schema => out.string(if is_message { "" } else { &table.namespace }),
            Self::Table => out.string(if is_message { "" } else { &table.name }),
            Self::Transaction => or_null(out, transaction_number(change)),
            Self::Address => out.integer(change.log_address.cast_signed()),
            Self::OldestTransaction | Self::Origin | Self::OriginAddress => out.null(),
        }
    }
}

/// Tells where the change comes from.
pub(super) fn write<W: Writer>(out: &mut W, envelopes: &Envelopes, change: &Change) {
    out.begin_struct();
    for field in Field::ALL {
        out.field(field.label());
        field.write(out, envelopes, change);
    }
    out.end_struct();
}

/// `None` for what belongs to no transaction.
pub(super) fn transaction_number(change: &Change) -> Option<i64> {
    (!is_outside(change)).then_some(change.transaction.id.cast_signed())
}

/// Is the change a row of a snapshot? Which row of a table is the last is not known when it goes out:
/// those behind it may have changed meanwhile, and then come with the stream.
fn snapshot_marker(change: &Change) -> &'static str {
    match change.operation {
        Operation::Snapshot => "true",
        _ => "false",
    }
}

/// Does it belong to no transaction of the source? So does a message that was sent outside of one, and
/// the truncate that tells of a table which was empty when it was copied.
pub(super) fn is_outside(change: &Change) -> bool {
    matches!(change.operation, Operation::Message | Operation::Truncate)
        && change.transaction.id == 0
}

/// The text of a JSON array of two: the commit's address and the change's own.
pub(super) fn sequence(change: &Change) -> String {
    if change.operation == Operation::Snapshot || is_outside(change) {
        format!("[null,\"{}\"]", change.log_address)
    } else {
        format!("[\"{}\",\"{}\"]", change.position.commit, change.log_address)
    }
}
