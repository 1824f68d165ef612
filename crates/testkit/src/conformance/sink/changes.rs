//! The changes that the suite delivers.

use crate::generate;
use bytes::Bytes;
use cdc_core::{
    Change, Checkpoint, Column, DataType, Delivered, LogId, Offset, Operation, Place, Position,
    Row, TableId, TableSchema, Timestamp, Transaction, Value,
};
use std::sync::Arc;

/// One row as a reader of the destination sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The row's key.
    pub id: i64,
    /// Which of its versions.
    pub sequence: i64,
    /// What a reader would drop repetitions by, or the position; not looked at for tables.
    pub identity: String,
}

/// The suite's table, with text columns added to it.
pub(super) fn schema(added: &[&str]) -> Arc<TableSchema> {
    let column = |name: &str, data_type, native_type: &str, nullable| Column {
        name: name.to_owned(),
        data_type,
        native_type: native_type.to_owned(),
        nullable,
        number: None,
        missing: None,
        default: None,
    };
    let mut columns = vec![
        column("id", DataType::Int64, "bigint", false),
        column("sequence", DataType::Int64, "bigint", false),
        column("padding", DataType::Text, "text", true),
    ];
    columns.extend(added.iter().map(|name| column(name, DataType::Text, "text", true)));
    Arc::new(TableSchema {
        table: TableId::new("public", "conformance"),
        dialect: "postgres".to_owned(),
        columns,
        key: vec![0],
        number: None,
    })
}

/// Makes changes one after the other; every third ends a transaction.
pub(super) struct Numbers {
    next: i64,
    schema: Arc<TableSchema>,
    padding: Bytes,
}

const CHANGES_A_TRANSACTION: i64 = 3;

impl Numbers {
    pub(super) fn new() -> Self {
        Self::after(0)
    }

    /// Goes on after so many changes.
    pub(super) fn after(count: i64) -> Self {
        Self { next: count + 1, schema: schema(&[]), padding: Bytes::from_static(b"-") }
    }

    pub(super) fn under(mut self, schema: &Arc<TableSchema>) -> Self {
        self.schema = Arc::clone(schema);
        self
    }

    pub(super) fn padded(mut self, bytes: usize) -> Self {
        self.padding = Bytes::from("x".repeat(bytes));
        self
    }

    /// New rows: `id` and `sequence` are the change's number.
    pub(super) fn inserts(self, count: i64) -> Vec<Delivered> {
        self.changes(count, Operation::Insert, |number| number)
    }

    /// New versions of the rows with the ids 1 to `keys`.
    pub(super) fn updates(self, count: i64, keys: i64) -> Vec<Delivered> {
        self.changes(count, Operation::Update, |number| number % keys + 1)
    }

    fn changes(self, count: i64, operation: Operation, id: impl Fn(i64) -> i64) -> Vec<Delivered> {
        let last = self.next + count - 1;
        let changes = (self.next..=last)
            .map(|number| self.change(number, operation, id(number), number == last))
            .collect();
        generate::delivered(changes, Offset(self.next.unsigned_abs() - 1))
    }

    fn change(&self, number: i64, operation: Operation, id: i64, last: bool) -> Change {
        let transaction = (number - 1) / CHANGES_A_TRANSACTION;
        let ordinal = (number - 1) % CHANGES_A_TRANSACTION + 1;
        let commit = 0x1000 + transaction.unsigned_abs() * 16;
        let values = [Value::Int(id), Value::Int(number), Value::Text(self.padding.clone())];
        let added = std::iter::repeat(Value::text("added"));
        let after: Row = values.into_iter().chain(added).take(self.schema.columns.len()).collect();
        Change {
            schema: Arc::clone(&self.schema),
            operation,
            before: None,
            after: Some(after),
            position: Position::new(u128::from(commit), ordinal.unsigned_abs()),
            log_address: commit,
            transaction: Arc::new(Transaction {
                id: transaction.unsigned_abs(),
                commit_time: Timestamp { seconds: 1_700_000_000 + transaction, nanos: 0 },
            }),
            ends_transaction: last || ordinal == CHANGES_A_TRANSACTION,
        }
    }
}

/// `id` and `sequence` of a change of the suite's table.
pub(super) fn numbers(delivered: &Delivered) -> (i64, i64) {
    match delivered.change.after.as_deref() {
        Some([Value::Int(id), Value::Int(sequence), ..]) => (*id, *sequence),
        _ => (0, 0),
    }
}

/// The checkpoint after the last of these changes.
pub(super) fn checkpoint(epoch: u64, changes: &[Delivered]) -> Checkpoint {
    let place = changes
        .last()
        .map(|last| Place { offset: Offset(last.offset.0 + 1), position: last.change.position });
    Checkpoint {
        epoch,
        log: Some(LogId(uuid::Uuid::from_u128(0x5eed))),
        partitions: place.map(|place| (generate::partition(), place)).into_iter().collect(),
    }
}
