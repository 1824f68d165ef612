//! A generated database history, and a source that tells it.

use async_trait::async_trait;
use bytes::Bytes;
use cdc_core::{
    Change, ChangeBatch, Column, Complete, DataType, Finding, Operation, Position, Result, Source,
    SourceContext, TableId, TableSchema, Timestamp, Transaction, Value, catalog::CapturedTable,
    catalog::SourceConnector,
};
use cdc_testkit::faults::{Dice, injected};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What a history may contain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) transactions: u64,
    pub(crate) tables: u64,
    pub(crate) keys: u64,
    /// So many transactions from the first on stand for a snapshot.
    pub(crate) snapshot: u64,
    /// Truncates and changed keys need a totally ordered log.
    pub(crate) total_order: bool,
}

/// Committed transactions, each a list of changes.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) changes: Vec<Change>,
    /// The database no longer has what was committed below this.
    discarded: AtomicU64,
    /// Where the database stood when the first process began.
    pub(crate) began: Position,
}

impl History {
    pub(crate) fn generate(shape: Shape, dice: &Dice) -> Arc<Self> {
        let mut schemas: Vec<Arc<TableSchema>> =
            (0..shape.tables).map(|table| schema(table, 0)).collect();
        let mut versions = vec![0_u64; schemas.len()];
        let messages = Arc::new(TableSchema::of_messages("test"));
        let mut changes = Vec::new();
        for commit in 1..=shape.transactions {
            let table_changed = dice.percent(4);
            if table_changed {
                let table = dice.pick(0..shape.tables);
                versions[table as usize] += 1;
                schemas[table as usize] = schema(table, versions[table as usize]);
            }
            let time = Timestamp { seconds: commit as i64, nanos: 0 };
            let of_snapshot = commit <= shape.snapshot;
            let id = if of_snapshot { 0 } else { commit };
            let transaction = Arc::new(Transaction { id, commit_time: time });
            let count = if dice.percent(3) { dice.pick(20..60) } else { dice.pick(1..5) };
            for ordinal in 1..=count {
                let schema = &schemas[dice.pick(0..shape.tables) as usize];
                let mut change = generate_change(schema, &messages, shape, dice);
                if of_snapshot {
                    let key = dice.pick(0..shape.keys) as i64;
                    change.schema = schema.clone();
                    change.operation = Operation::Snapshot;
                    change.before = None;
                    change.after = Some(generate_row(schema, key, false, dice));
                }
                change.position = Position::new(u128::from(commit), ordinal);
                change.transaction = transaction.clone();
                change.ends_transaction = ordinal == count;
                changes.push(change);
            }
        }
        // A snapshot's rows lie above everything that it still has to read.
        let began = Position::new(u128::from(shape.snapshot.min(1)), 0);
        Arc::new(Self { changes, discarded: AtomicU64::new(0), began })
    }

    pub(crate) fn end(&self) -> Position {
        self.changes.last().unwrap().position
    }
}

fn schema(table: u64, version: u64) -> Arc<TableSchema> {
    let column = |name: &str| Column {
        name: name.to_owned(),
        data_type: DataType::Int64,
        native_type: "bigint".into(),
        nullable: name != "id",
        number: None,
        missing: None,
        default: None,
    };
    let names: &[&str] = match version % 3 {
        0 => &["id", "a"],
        1 => &["id", "a", "b"],
        _ => &["b", "id"],
    };
    let columns: Vec<Column> = names.iter().map(|name| column(name)).collect();
    let key = columns.iter().position(|column| column.name == "id").unwrap() as u16;
    Arc::new(TableSchema {
        table: TableId::new("public", format!("t{table}")),
        dialect: "test".into(),
        columns,
        key: vec![key],
        number: None,
    })
}

fn generate_change(
    table: &Arc<TableSchema>,
    messages: &Arc<TableSchema>,
    shape: Shape,
    dice: &Dice,
) -> Change {
    let key = dice.pick(0..shape.keys) as i64;
    let row = |key: i64, absent: bool| generate_row(table, key, absent, dice);
    let mut schema = table;
    let (operation, before, after) = match dice.pick(0..100) {
        0..30 => (Operation::Insert, None, Some(row(key, false))),
        30..60 => (Operation::Update, None, Some(row(key, false))),
        60..72 => {
            let mut after = row(key, false);
            for (value, column) in after.iter_mut().zip(&table.columns) {
                if column.name != "id" && dice.percent(60) {
                    *value = Value::Unchanged;
                }
            }
            (Operation::Update, None, Some(after))
        }
        72..80 if shape.total_order => {
            let new = dice.pick(0..shape.keys) as i64;
            (Operation::Update, Some(row(key, true)), Some(row(new, false)))
        }
        80..82 if shape.total_order => (Operation::Truncate, None, None),
        82..86 => {
            schema = messages;
            let prefix = Value::text(["orders", "carts"][usize::from(dice.percent(50))]);
            let content = Value::Bytes(Bytes::from(key.to_string()));
            (Operation::Message, None, Some([prefix, content].into()))
        }
        _ => (Operation::Delete, Some(row(key, true)), None),
    };
    Change {
        schema: schema.clone(),
        operation,
        before,
        after,
        position: Position::default(),
        log_address: 0,
        transaction: Arc::new(Transaction { id: 0, commit_time: Timestamp::from_micros(0) }),
        ends_transaction: false,
    }
}

fn generate_row(schema: &TableSchema, key: i64, absent: bool, dice: &Dice) -> cdc_core::Row {
    let value = |column: &Column| match column.name.as_str() {
        "id" => Value::Int(key),
        _ if absent => Value::Unchanged,
        _ if dice.percent(10) => Value::Null,
        _ => Value::Int(dice.pick(0..1_000) as i64),
    };
    schema.columns.iter().map(value).collect()
}

/// Opens sources that tell one history.
pub(crate) struct ScriptedConnector {
    pub(crate) history: Arc<History>,
    pub(crate) dice: Dice,
}

#[async_trait]
impl SourceConnector for ScriptedConnector {
    fn kind(&self) -> &'static str {
        "scripted"
    }
    async fn check(&self) -> (Vec<Finding>, Vec<CapturedTable>) {
        (Vec::new(), Vec::new())
    }
    async fn provision(&self) -> Result<Vec<String>> {
        self.dice.maybe_fail(3, "provision refused")?;
        Ok(Vec::new())
    }
    async fn retire(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    async fn open(&self) -> Result<Box<dyn Source>> {
        let (history, dice) = (self.history.clone(), self.dice.clone());
        Ok(Box::new(ScriptedSource { history, dice }))
    }
    fn begins_with_rows(&self) -> bool {
        self.history.changes.first().is_some_and(|change| change.operation == Operation::Snapshot)
    }
    async fn current_position(&self) -> Result<Position> {
        let began = self.history.began;
        Ok(if began == Position::default() { self.history.end() } else { began })
    }
}

struct ScriptedSource {
    history: Arc<History>,
    dice: Dice,
}

impl ScriptedSource {
    /// The database discards its log as far as it was told that it may.
    fn discard(&self, context: &SourceContext) {
        let durable = *context.durable.borrow();
        if let Some(durable) = durable {
            // The transaction of a durable position may not be complete, so it stays.
            self.history.discarded.fetch_max(durable.commit as u64, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Source for ScriptedSource {
    async fn run(self: Box<Self>, context: SourceContext) -> Result<()> {
        let resume: u64 = context
            .resume
            .as_ref()
            .map_or(0, |bytes| std::str::from_utf8(bytes).unwrap().parse().unwrap());
        let discarded = self.history.discarded.load(Ordering::Relaxed);
        assert!(resume >= discarded, "the database was told to discard what is still needed");
        let changes = &self.history.changes;
        let mut at = changes.partition_point(|change| change.position.commit < u128::from(resume));
        while at < changes.len() {
            self.discard(&context);
            self.dice.maybe_fail(1, "source connection lost")?;
            let count = self.dice.pick(1..9).min((changes.len() - at) as u64) as usize;
            let part = changes[at..at + count].to_vec();
            at += count;
            let end = part.last().unwrap().position;
            let batch = ChangeBatch {
                size_bytes: part.iter().map(Change::size_bytes).sum(),
                changes: part,
                end,
                resume: Bytes::from(end.commit.to_string()),
                complete: match changes.iter().skip(at).all(|c| c.operation != Operation::Snapshot)
                {
                    true => Complete::Yes,
                    false => Complete::No,
                },
            };
            tokio::select! { biased;
                () = context.cancel.cancelled() => return Ok(()),
                sent = context.out.send(batch) => if sent.is_err() { return Ok(()) },
            }
            self.dice.pause().await;
        }
        loop {
            let end = self.history.end();
            let resume = Bytes::from(end.commit.to_string());
            let heartbeat = ChangeBatch {
                changes: Vec::new(),
                end,
                resume,
                size_bytes: 0,
                complete: Complete::Yes,
            };
            if context.out.send(heartbeat).await.is_err() {
                return Ok(());
            }
            tokio::select! { biased;
                () = context.cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {
                    self.dice.maybe_fail(2, "idle source connection lost").map_err(|_| injected("idle"))?;
                }
            }
        }
    }
}
