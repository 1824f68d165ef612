//! A sink that holds rows, and a log that begins anew: after the pipeline was torn down or its data
//! directory was lost, a new snapshot brings every row again, but none tells of the rows that were
//! deleted in between. So each table is emptied before its first change in the new log, which may as
//! well be one of the stream: tables are copied while it runs.
//!
//! What has been emptied is kept in the sink's checkpoint, under names that no topic can have, and so
//! in the same atomic step as the rows.

use cdc_core::{Change, Checkpoint, Delivered, Offset, Operation, Place, Position, TopicPartition};
use std::sync::Arc;

const REFILL: &str = "~refill";

/// Marks a checkpoint: tables are to be emptied from now on.
pub(crate) fn begin(checkpoint: &mut Checkpoint) {
    checkpoint.partitions.retain(|at, _| !is_mark(at));
    checkpoint.partitions.insert(TopicPartition::new(REFILL, 0), MARKED);
}

const MARKED: Place = Place { offset: Offset(0), position: Position { commit: 0, ordinal: 0 } };

/// Is this no place in a log but a note about a refill?
pub(crate) fn is_mark(partition: &TopicPartition) -> bool {
    partition.topic.starts_with(REFILL)
}

/// The truncate that must go before this change, and the place that notes it.
pub(crate) fn truncate_before(
    checkpoint: &Checkpoint,
    delivered: &Delivered,
) -> Option<(Delivered, TopicPartition, Place)> {
    let change = &delivered.change;
    let refilling = checkpoint.partitions.contains_key(&TopicPartition::new(REFILL, 0));
    if !refilling {
        return None;
    }
    let noted = TopicPartition::new(format!("{REFILL}/{}", change.schema.table), 0);
    if checkpoint.partitions.contains_key(&noted) {
        return None;
    }
    let truncate = Change {
        schema: Arc::clone(&change.schema),
        operation: Operation::Truncate,
        before: None,
        after: None,
        position: change.position,
        log_address: change.log_address,
        transaction: Arc::clone(&change.transaction),
        ends_transaction: false,
    };
    let topic = Arc::clone(&delivered.topic);
    let delivered = Delivered { change: truncate, topic, offset: delivered.offset };
    Some((delivered, noted, MARKED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{TableId, TableSchema, Timestamp, Transaction};

    fn row(table: &str, operation: Operation) -> Delivered {
        let table = TableId::new("public", table);
        let columns = Vec::new();
        let schema =
            TableSchema { table, dialect: "test".into(), columns, key: Vec::new(), number: None };
        let change = Change {
            schema: Arc::new(schema),
            operation,
            before: None,
            after: Some(Box::default()),
            position: Position::new(9, 4),
            log_address: 0,
            transaction: Arc::new(Transaction { id: 1, commit_time: Timestamp::from_micros(0) }),
            ends_transaction: true,
        };
        Delivered { change, topic: "t".into(), offset: Offset(3) }
    }

    #[test]
    fn each_table_is_emptied_once_before_its_first_change() {
        let mut checkpoint = Checkpoint::default();
        let snapshot = row("a", Operation::Snapshot);
        assert!(truncate_before(&checkpoint, &snapshot).is_none(), "not refilling");
        begin(&mut checkpoint);
        assert!(truncate_before(&checkpoint, &row("a", Operation::Insert)).is_some());
        let (truncate, noted, place) = truncate_before(&checkpoint, &snapshot).unwrap();
        assert_eq!(truncate.change.operation, Operation::Truncate);
        checkpoint.partitions.insert(noted, place);
        assert!(truncate_before(&checkpoint, &snapshot).is_none(), "emptied already");
        assert!(truncate_before(&checkpoint, &row("b", Operation::Snapshot)).is_some());
        assert!(checkpoint.partitions.keys().all(is_mark));
    }
}
