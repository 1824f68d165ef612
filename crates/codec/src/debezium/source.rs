//! The envelope's `source`: where a change comes from.

use super::envelope::{Envelopes, Times, or_null};
use super::schemas::connector;
use crate::connect::{Writer, label};
use cdc_core::{Change, Operation};

/// Tells where the change comes from.
pub(super) fn write<W: Writer>(out: &mut W, envelopes: &Envelopes, change: &Change) {
    let times = Times::of(change.transaction.commit_time);
    let (namespace, table) = match change.operation {
        Operation::Message => ("", ""),
        _ => (change.schema.table.namespace.as_str(), change.schema.table.name.as_str()),
    };
    out.begin_struct();
    out.field(label!("version"));
    out.string(env!("CARGO_PKG_VERSION"));
    out.field(label!("connector"));
    out.string(connector(&change.schema.dialect));
    out.field(label!("name"));
    out.string(&envelopes.topic_prefix);
    out.field(label!("ts_ms"));
    match times.millis {
        None if out.is_typed() => out.integer(i64::MAX),
        millis => or_null(out, millis),
    }
    out.field(label!("snapshot"));
    out.string(snapshot_marker(change));
    out.field(label!("db"));
    out.string(&envelopes.database);
    out.field(label!("sequence"));
    out.string(&sequence(change));
    times.write_finer(out);
    out.field(label!("schema"));
    out.string(namespace);
    out.field(label!("table"));
    out.string(table);
    out.field(label!("txId"));
    or_null(out, transaction_number(change));
    out.field(label!("lsn"));
    out.integer(change.log_address.cast_signed());
    for unknown in [label!("xmin"), label!("origin"), label!("origin_lsn")] {
        out.field(unknown);
        out.null();
    }
    out.end_struct();
}

/// `None` for a message that belongs to no transaction.
pub(super) fn transaction_number(change: &Change) -> Option<i64> {
    (!is_outside(change)).then_some(change.transaction.id.cast_signed())
}

/// Which part of a snapshot the change is, if any.
pub(super) fn snapshot_marker(change: &Change) -> &'static str {
    match (change.operation, change.ends_transaction) {
        (Operation::Snapshot, true) => "last_in_data_collection",
        (Operation::Snapshot, false) => "true",
        _ => "false",
    }
}

/// Is it a message that belongs to no transaction?
pub(super) fn is_outside(change: &Change) -> bool {
    change.operation == Operation::Message && change.transaction.id == 0
}

/// The text of a JSON array of two: the commit's address and the change's own.
pub(super) fn sequence(change: &Change) -> String {
    if change.operation == Operation::Snapshot || is_outside(change) {
        format!("[null,\"{}\"]", change.log_address)
    } else {
        format!("[\"{}\",\"{}\"]", change.position.commit, change.log_address)
    }
}
