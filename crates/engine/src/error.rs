//! The engine's own errors.

use cdc_core::{Error, Origin, Position, Retry, SchemaId, TableId};

/// A newer start of the pipeline has taken over.
pub(crate) fn fenced(what: &str, ours: u64, theirs: u64) -> Error {
    Error::new(
        "CDC-4001",
        Origin::Internal,
        Retry::AfterOperator,
        format!("{what} was taken over by a newer start of this pipeline (epoch {theirs}, ours is {ours})"),
    )
    .with_remedy("run one `cdc run` of a pipeline at a time: stop this process or the other one")
}

/// A part of the transport went away with an append in flight.
pub(crate) fn receipt_lost() -> Error {
    Error::new(
        "CDC-4002",
        Origin::Transport,
        Retry::Backoff,
        "the log closed before it confirmed an append",
    )
    .with_remedy("the log's own error tells the cause; capture starts again from what is durable")
}

/// The policy says to stop at a refused change.
pub(crate) fn stopped_at_rejected(sink_id: &str, cause: Error) -> Error {
    let context = format!("sink {sink_id} refused a change and its policy is `stop`");
    Error::new("CDC-4003", Origin::Sink, Retry::AfterOperator, context)
        .with_remedy("mend the destination, or set `on_error: park` to set such changes aside")
        .with_source(cause)
}

/// A record needs a schema that the store does not have.
pub(crate) fn schema_missing(id: SchemaId) -> Error {
    let context = format!("the log refers to schema {} and the state does not have it", id.0);
    Error::new("CDC-4004", Origin::Internal, Retry::AfterOperator, context).with_remedy(
        "the state file and the log do not belong together: restore both from the same backup, or start over with `cdc undeploy`",
    )
}

/// The transport took away every partition for good.
pub(crate) fn membership_ended() -> Error {
    Error::new(
        "CDC-4005",
        Origin::Transport,
        Retry::Backoff,
        "the log ended this sink's membership",
    )
    .with_remedy("the log's own error tells the cause; the sink joins again")
}

/// The capture gave a change to its format before the schema of it.
pub(crate) fn schema_not_learnt(table: &cdc_core::TableId) -> Error {
    let context = format!("the schema of {table} is not known to the format");
    Error::new("CDC-4012", Origin::Internal, Retry::Backoff, context)
        .with_remedy("this is a fault of cdc itself: please report it with the log around it")
}

/// A sink that holds rows would get the changes of one table from partitions without an order between
/// them.
pub(crate) fn several_partitions(sink_id: &str, partition: &cdc_core::TopicPartition) -> Error {
    let context = format!(
        "sink {sink_id} keeps rows, and the topic {} has several partitions: a truncate or a new column \
         would not be in order with the rows of the other partitions",
        partition.topic
    );
    Error::new("CDC-4013", Origin::Config, Retry::AfterOperator, context).with_remedy(
        "give such tables topics of one partition (kafka.topic_num_partitions: 1, and delete the topic so that it is made anew), or deliver events: sinks[].postgres.mode: events",
    )
}

/// A stored place belongs to a topic that is no more.
pub(crate) fn foreign_place(
    of: &cdc_core::TopicPartition,
    place: &cdc_core::Place,
    newest: cdc_core::Position,
) -> Error {
    let context = format!(
        "the stored offset {} of {of} is not one of this topic: a change before it has position {newest}, \
         and what was delivered ends at {}; the topic was made anew",
        place.offset.0, place.position
    );
    Error::new("CDC-4014", Origin::Transport, Retry::AfterOperator, context)
        .with_remedy(forget_offsets(of))
}

/// A stored place is outside the topic that is there now.
pub(crate) fn no_such_place(of: &cdc_core::TopicPartition, mut failure: Error) -> Error {
    if failure.retry != Retry::Backoff {
        failure.remedy = Some(forget_offsets(of));
    }
    failure
}

fn forget_offsets(of: &cdc_core::TopicPartition) -> String {
    format!(
        "read the topic from its oldest record: cdc offsets forget PIPELINE --sink-id SINK --topic {}; \
         bring what is gone with cdc snapshot",
        of.topic
    )
}

/// A format or a record needs a registry, and the pipeline has none.
pub(crate) fn no_registry() -> Error {
    let context = "records have schemas of a registry, and the pipeline has no schema registry";
    Error::new("CDC-4030", Origin::Config, Retry::AfterOperator, context).with_remedy(
        "name the schema registry beside the brokers, or choose json or json_with_schemas as format of keys and values",
    )
}

/// Another producer's record is Protobuf.
pub(crate) fn foreign_protobuf() -> Error {
    let context = "a record of another producer is Protobuf, which is read only where cdc wrote it";
    Error::new("CDC-4031", Origin::Transport, Retry::Never, context)
        .with_remedy("have the other producer write Avro or JSON")
}

/// The state knows another log than the one that is there.
pub(crate) fn other_log(position: Position) -> Error {
    let context =
        format!("the log that holds everything up to {position} is gone: another one is there");
    Error::new("CDC-4006", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "put the pipeline's log directory back, or start over with a new snapshot: `cdc undeploy`, then `cdc run`",
    )
}

/// Source and replica compute different hashes of one text by every method.
pub(crate) fn no_common_hash() -> Error {
    Error::new(
        "CDC-4007",
        Origin::Internal,
        Retry::Never,
        "source and replica compute different hashes of the same text, so that rows cannot be compared",
    )
    .with_remedy(
        "compare the server_encoding of both databases: one of them cannot print what the other holds",
    )
}

/// A scan shows rows that a lookup by their keys does not find.
pub(crate) fn not_findable(table: &TableId) -> Error {
    Error::new(
        "CDC-4008",
        Origin::Internal,
        Retry::AfterOperator,
        format!("rows of {table} are not found by the printed values of their keys"),
    )
    .with_remedy(format!(
        "REINDEX TABLE {table}; on both servers: an index may be damaged; else give the key's columns the same types on both"
    ))
}

/// All rows were read once more, and nobody knows yet what else the replica holds.
pub(crate) fn not_compared(table: &TableId, why: &str) -> Error {
    nothing_known(&format!("{table} could not be compared with its source"), why)
}

/// … because the sink has ended.
pub(crate) fn sink_gave_up(sink_id: &str) -> Error {
    nothing_known(
        &format!("sink {sink_id} could not be compared with its source"),
        "it has given up",
    )
}

fn nothing_known(what: &str, why: &str) -> Error {
    let context = format!("{what} after all rows were read once more: {why}");
    Error::new("CDC-4011", Origin::Internal, Retry::Backoff, context)
        .with_remedy("cdc verify shows what is in the way; the comparison is tried again by itself")
}

/// Nothing can be ordered of a pipeline that has not begun.
pub(crate) fn nothing_captured() -> Error {
    Error::new(
        "CDC-4009",
        Origin::Config,
        Retry::AfterOperator,
        "the pipeline has captured nothing yet, so no snapshot can be ordered",
    )
    .with_remedy("start it with cdc run: the first start reads every table")
}

/// A source whose connector knows no orders.
pub(crate) fn no_orders(kind: &str) -> Error {
    let context = format!("a source of type {kind} takes no orders about snapshots");
    Error::new("CDC-4010", Origin::Config, Retry::Never, context)
        .with_remedy("start over with a new snapshot: cdc undeploy, then cdc run")
}

/// A sink that was fed by another way to capture before.
pub(crate) fn another_capture(topic: &str) -> Error {
    let context = format!(
        "the sink's place in {topic} is of another way to capture: by cdc itself before and by Debezium \
         now, or the other way round"
    );
    Error::new("CDC-4015", Origin::Config, Retry::AfterOperator, context).with_remedy(
        "give the pipeline a `pipeline_id` and a `topic_prefix` of its own for the new way; its sinks then \
         begin with the first copy",
    )
}
