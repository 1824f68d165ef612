//! A database to write to, and changes to write.

use cdc_core::{
    Change, Checkpoint, Column, DataType, Delivered, LogId, Offset, Operation, Place, Position,
    Result, Row, Sink, SinkBatch, TableId, TableSchema, Timestamp, TopicPartition, Transaction,
    Value, WriteError,
    catalog::{SinkConnector, SinkContext},
};
use cdc_sink_postgres::{Config, Connector};
use cdc_testkit::services::postgres::Postgres;
use serde_json::json;
use std::sync::Arc;
use tokio_postgres::{Client, SimpleQueryMessage};

pub(crate) const MEMORY_BYTES: usize = 16 << 20;

/// A fresh database and the way to it.
pub(crate) struct Target {
    pub(crate) server: &'static Postgres,
    pub(crate) database: String,
    pub(crate) client: Client,
}

impl Target {
    pub(crate) async fn new(server: &'static Postgres) -> Self {
        let database = server.create_database("sink").await.unwrap();
        let client = server.connect(&database).await.unwrap();
        let settings =
            "SET datestyle = 'ISO, YMD'; SET intervalstyle = postgres; SET timezone = 'UTC'";
        client.batch_execute(settings).await.unwrap();
        Self { server, database, client }
    }

    pub(crate) fn config(&self, extra: serde_json::Value) -> Config {
        let mut config = json!({
            "host": self.server.host(),
            "port": self.server.port(),
            "database": self.database,
            "username": self.server.superuser(),
            "password": self.server.password(),
            "lock_timeout_seconds": 5,
            "tls": {"mode": "disable"},
        });
        let (Some(config_map), Some(extra)) = (config.as_object_mut(), extra.as_object()) else {
            panic!("not an object");
        };
        config_map.extend(extra.clone());
        serde_json::from_value(config).unwrap()
    }

    pub(crate) fn connector(&self, extra: serde_json::Value) -> Connector {
        Connector::new(self.config(extra)).unwrap()
    }

    /// An open replica, claimed under epoch 1.
    pub(crate) async fn replica(&self) -> Box<dyn Sink> {
        self.replica_with(json!({})).await
    }

    pub(crate) async fn replica_with(&self, extra: serde_json::Value) -> Box<dyn Sink> {
        let mut sink = self.connector(extra).open(&context()).await.unwrap();
        sink.claim(1).await.unwrap();
        sink
    }

    /// All rows of a query, columns joined by `|`, NULL as `∅`.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let messages = self.client.simple_query(sql).await.unwrap();
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| {
            let cells: Vec<_> = (0..row.len()).map(|at| row.get(at).unwrap_or("∅")).collect();
            cells.join("|")
        })
        .collect()
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }
}

/// Runs a test on each major that is here.
pub(crate) async fn on_each_major(suite: &str, test: impl AsyncFn(Target)) {
    for major in [15, 17] {
        if let Some(server) = Postgres::shared_or_skip(suite, major).unwrap() {
            test(Target::new(server).await).await;
        }
    }
}

pub(crate) async fn target() -> Target {
    Target::new(Postgres::shared(15).unwrap()).await
}

pub(crate) fn context() -> SinkContext {
    SinkContext {
        database: "shop".to_owned(),
        pipeline_id: "shop".into(),
        sink_id: "copy".into(),
        topic_prefix: "cdc".into(),
        memory_bytes: MEMORY_BYTES,
    }
}

pub(crate) fn column(name: &str, data_type: DataType, native_type: &str) -> Column {
    Column {
        name: name.into(),
        data_type,
        native_type: native_type.into(),
        nullable: true,
        number: None,
        missing: None,
        default: None,
    }
}

pub(crate) fn schema(name: &str, columns: Vec<Column>, key: &[u16]) -> Arc<TableSchema> {
    Arc::new(TableSchema {
        table: TableId::new("public", name),
        dialect: "postgres".into(),
        columns,
        key: key.to_vec(),
        number: None,
    })
}

/// `id bigint` (key), `name text`, `note text`.
pub(crate) fn users() -> Arc<TableSchema> {
    let text = |name| column(name, DataType::Text, "text");
    schema("users", vec![column("id", DataType::Int64, "bigint"), text("name"), text("note")], &[0])
}

pub(crate) fn user(id: i64, name: &str, note: &str) -> Row {
    Box::new([Value::Int(id), Value::text(name), Value::text(note)])
}

/// Makes changes with growing positions and offsets.
pub(crate) struct Script {
    schema: Arc<TableSchema>,
    commit: u128,
    offset: u64,
    pub(crate) changes: Vec<Delivered>,
}

impl Script {
    pub(crate) fn new(schema: &Arc<TableSchema>) -> Self {
        Self { schema: Arc::clone(schema), commit: 0x1000, offset: 0, changes: Vec::new() }
    }

    /// Goes on under another schema.
    pub(crate) fn under(&mut self, schema: &Arc<TableSchema>) -> &mut Self {
        self.schema = Arc::clone(schema);
        self
    }

    pub(crate) fn change(
        &mut self,
        operation: Operation,
        before: Option<Row>,
        after: Option<Row>,
    ) -> &mut Self {
        self.commit += 16;
        let commit_time = Timestamp { seconds: 1_700_000_000, nanos: 0 };
        let change = Change {
            schema: Arc::clone(&self.schema),
            operation,
            before,
            after,
            position: Position::new(self.commit, 1),
            log_address: self.commit as u64,
            transaction: Arc::new(Transaction { id: self.commit as u64, commit_time }),
            ends_transaction: true,
        };
        let topic = format!("cdc.{}", self.schema.table).into();
        self.changes.push(Delivered { change, topic, offset: Offset(self.offset) });
        self.offset += 1;
        self
    }

    pub(crate) fn insert(&mut self, row: Row) -> &mut Self {
        self.change(Operation::Insert, None, Some(row))
    }

    pub(crate) fn snapshot(&mut self, row: Row) -> &mut Self {
        self.change(Operation::Snapshot, None, Some(row))
    }

    pub(crate) fn update(&mut self, row: Row) -> &mut Self {
        self.change(Operation::Update, None, Some(row))
    }

    pub(crate) fn update_from(&mut self, before: Row, after: Row) -> &mut Self {
        self.change(Operation::Update, Some(before), Some(after))
    }

    pub(crate) fn delete(&mut self, before: Row) -> &mut Self {
        self.change(Operation::Delete, Some(before), None)
    }

    pub(crate) fn truncate(&mut self) -> &mut Self {
        self.change(Operation::Truncate, None, None)
    }

    /// A message of the source's log, which belongs to no table.
    pub(crate) fn message(&mut self, prefix: &str, content: &'static [u8]) -> &mut Self {
        let schema =
            std::mem::replace(&mut self.schema, Arc::new(TableSchema::of_messages("postgres")));
        let content = Value::Bytes(content.into());
        self.change(Operation::Message, None, Some([Value::text(prefix), content].into()));
        self.under(&schema)
    }

    pub(crate) fn take(&mut self) -> Vec<Delivered> {
        std::mem::take(&mut self.changes)
    }
}

pub(crate) fn batch(changes: Vec<Delivered>) -> SinkBatch {
    SinkBatch { partition: TopicPartition::new("shop", 0), changes }
}

pub(crate) fn checkpoint(epoch: u64, offset: u64) -> Checkpoint {
    let place = Place { offset: Offset(offset), position: Position::new(offset.into(), 1) };
    Checkpoint {
        epoch,
        log: Some(LogId(uuid::Uuid::from_u128(7))),
        partitions: [(TopicPartition::new("shop", 0), place)].into(),
    }
}

/// Prepares each schema where it begins, writes, and does not commit.
pub(crate) async fn write(sink: &mut dyn Sink, changes: Vec<Delivered>) -> Result<(), WriteError> {
    for run in changes.chunk_by(|a, b| a.change.schema == b.change.schema) {
        sink.prepare(None, &run[0].change.schema).await?;
        sink.write(&batch(run.to_vec())).await?;
    }
    Ok(())
}

/// Writes and commits.
pub(crate) async fn deliver(sink: &mut dyn Sink, changes: Vec<Delivered>) {
    let last = changes.last().map_or(0, |last| last.offset.0 + 1);
    if let Err(failed) = write(sink, changes).await {
        panic!("write: {}", failed.error.chain());
    }
    if let Err(error) = sink.commit(&checkpoint(1, last)).await {
        panic!("commit: {}", error.chain());
    }
}
