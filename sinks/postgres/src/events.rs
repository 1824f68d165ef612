//! Mode `events`: each change is a row of JSON.

use crate::{
    Config,
    apply::{Failure, InFlight, Table},
    catalog,
    coalesce::{Image, Segment},
    columns,
    connection::Connection,
    error,
    layout::Layout,
    session::Session,
    sql::{ident, qualified},
};
use async_trait::async_trait;
use bytes::Bytes;
use cdc_codec::debezium::Encoder;
use cdc_core::{
    Checkpoint, Column, DataType, Delivered, Error, LogId, Result, Sink, SinkBatch, TableId,
    TableSchema, TopicPartition, Value, WriteError,
    catalog::SinkContext,
    checkpoint::Places,
    clock::{Clock, SystemClock},
    sink::Delivery,
};
use std::{collections::BTreeSet, sync::Arc};

/// Name, type, type on the target, part of the conflict key.
const COLUMNS: [(&str, DataType, &str, bool); 5] = [
    ("event_key", DataType::Json, "jsonb", false),
    ("event_value", DataType::Json, "jsonb NOT NULL", false),
    ("source_topic", DataType::Text, "text NOT NULL", true),
    ("source_partition", DataType::Int32, "integer NOT NULL", true),
    ("source_offset", DataType::Int64, "bigint NOT NULL", true),
];

/// A session of mode `events`.
pub(crate) struct Events {
    session: Session,
    memory_bytes: usize,
    batch_size: usize,
    encoder: Encoder,
    table: Table,
}

impl Events {
    pub(crate) async fn open(config: Arc<Config>, context: &SinkContext) -> Result<Self> {
        let session = Session::open(&config, context).await?;
        let target = config.events_table()?;
        let layout = provide(&session.connection, &target, config.upsert).await?;
        Ok(Self {
            session,
            memory_bytes: context.memory_bytes,
            batch_size: usize::try_from(config.batch_size).unwrap_or(usize::MAX),
            encoder: Encoder::new(&context.topic_prefix).with_database(&context.database),
            table: Table::new(layout, false),
        })
    }

    fn rows(
        &mut self,
        partition: &TopicPartition,
        changes: &[Delivered],
    ) -> Result<Vec<Image<'static>>, (usize, Error)> {
        let now = SystemClock.now();
        let mut out = Vec::with_capacity(changes.len());
        for (index, delivered) in changes.iter().enumerate() {
            let row = row(&mut self.encoder, now, partition, delivered);
            out.push(row.map_err(|error| (index, error))?);
        }
        Ok(out)
    }

    async fn append(&mut self, rows: &[Image<'_>]) -> Result<(), Failure> {
        let begin = self.session.begin_batch();
        let mut in_flight = InFlight::new(&self.session.connection, self.memory_bytes)
            .of_rows(self.batch_size)
            .without_copy();
        in_flight.simple(begin).await?;
        in_flight.apply(&mut self.table, vec![Segment::Append(rows.to_vec())]).await?;
        in_flight.finish().await
    }

    /// Writes the rows, or as many as come before the first that the target refuses.
    async fn write_rows(&mut self, rows: &[Image<'_>]) -> Result<(), WriteError> {
        let failure = match self.append(rows).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if !failure.is_refusal() {
            return Err((*failure.error).into());
        }
        self.session.undo_batch().await?;
        let (mut kept, mut error) = (0, *failure.error);
        let mut failing = rows.len();
        while failing - kept > 1 {
            let tried = kept + (failing - kept) / 2;
            match self.append(rows.get(kept..tried).unwrap_or_default()).await {
                Ok(()) => kept = tried,
                Err(failure) if failure.is_refusal() => {
                    self.session.undo_batch().await?;
                    failing = tried;
                    error = *failure.error;
                }
                Err(failure) => return Err((*failure.error).into()),
            }
        }
        Err(WriteError { error, accepted: kept, rejected: Some(kept) })
    }
}

fn row(
    encoder: &mut Encoder,
    now: std::time::SystemTime,
    partition: &TopicPartition,
    delivered: &Delivered,
) -> Result<Image<'static>> {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let has_key = encoder.key(&delivered.change, &mut key)?;
    encoder.value(&delivered.change, now, &mut value)?;
    let offset = i64::try_from(delivered.offset.0)
        .map_err(|_| error::refused("an offset does not fit into bigint"))?;
    Ok(Image::Owned(vec![
        if has_key { Value::Json(key.into()) } else { Value::Null },
        Value::Json(value.into()),
        Value::Text(Bytes::copy_from_slice(delivered.topic.as_bytes())),
        Value::Int(partition.partition.into()),
        Value::Int(offset),
    ]))
}

fn conflict_key() -> BTreeSet<String> {
    COLUMNS.iter().filter(|column| column.3).map(|column| column.0.to_owned()).collect()
}

/// Creates the table where it is missing, and describes it.
async fn provide(connection: &Connection, target: &TableId, upsert: bool) -> Result<Layout> {
    let table = match catalog::table(connection, target).await? {
        Some(table) => table,
        None => {
            create(connection, target, upsert).await?;
            let created = catalog::table(connection, target).await?;
            created
                .ok_or_else(|| error::events_table(target, "does not stay", "create it by hand"))?
        }
    };
    describe(target, &table, upsert)
}

/// What statements have to deal with in the table, or why it will not do.
pub(crate) fn describe(target: &TableId, table: &catalog::Table, upsert: bool) -> Result<Layout> {
    let mut layout_columns = Vec::new();
    for (name, data_type, declared, _) in COLUMNS {
        let Some(column) = table.column(name) else {
            let remedy = format!("ALTER TABLE {} ADD COLUMN {name} {declared};", qualified(target));
            return Err(error::events_table(target, &format!("has no column {name}"), &remedy));
        };
        layout_columns.push(column.layout(&data_type));
    }
    if upsert && !table.is_unique_by(&conflict_key()) {
        let list = conflict_key().into_iter().collect::<Vec<_>>().join(", ");
        let remedy = format!("CREATE UNIQUE INDEX ON {} ({list});", qualified(target));
        return Err(error::events_table(target, "has no unique index for `upsert`", &remedy));
    }
    let schema = Arc::new(schema(target, upsert));
    let key = schema.key.iter().map(|index| usize::from(*index)).collect();
    let source = target.clone();
    Ok(Layout { source, target: target.clone(), schema, columns: layout_columns, key })
}

async fn create(connection: &Connection, target: &TableId, upsert: bool) -> Result<()> {
    let mut parts: Vec<_> =
        COLUMNS.iter().map(|(name, _, declared, _)| format!("{name} {declared}")).collect();
    if upsert {
        parts.push("PRIMARY KEY (source_topic, source_partition, source_offset)".into());
    }
    let (schema, name) = (ident(&target.namespace), qualified(target));
    let table = format!("CREATE TABLE IF NOT EXISTS {name} ({})", parts.join(", "));
    let doing = format!("creating table {target}");
    // Without the right to create schemas one that exists must not be asked for.
    if !catalog::has_schema(connection, &target.namespace).await? {
        connection.simple(&doing, &format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
    }
    tracing::info!(statement = %table, "changing the target's schema");
    connection.simple(&doing, &table).await
}

/// The events table, described as if it were a source's.
fn schema(target: &TableId, upsert: bool) -> TableSchema {
    let column = |(name, data_type, declared, _): &(&str, DataType, &str, bool)| Column {
        name: (*name).to_owned(),
        data_type: data_type.clone(),
        native_type: declared.trim_end_matches(" NOT NULL").to_owned(),
        nullable: !declared.ends_with("NOT NULL"),
        number: None,
        missing: None,
        default: None,
    };
    TableSchema {
        table: target.clone(),
        dialect: columns::DIALECT.to_owned(),
        columns: COLUMNS.iter().map(column).collect(),
        key: if upsert { vec![2, 3, 4] } else { Vec::new() },
        number: None,
    }
}

#[async_trait]
impl Sink for Events {
    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    async fn claim(&mut self, epoch: u64) -> Result<Option<Checkpoint>> {
        self.session.claim(epoch).await.map(Some)
    }

    async fn claim_partitions(
        &mut self,
        log: LogId,
        partitions: &[TopicPartition],
    ) -> Result<Option<Places>> {
        self.session.claim_partitions(log, partitions).await.map(Some)
    }

    async fn prepare(&mut self, _: Option<&TableSchema>, _: &Arc<TableSchema>) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, batch: &SinkBatch) -> Result<(), WriteError> {
        self.session.enter()?;
        let outcome = match self.rows(&batch.partition, &batch.changes) {
            Ok(rows) => self.write_rows(&rows).await,
            Err((index, error)) => Err(WriteError { error, accepted: 0, rejected: Some(index) }),
        };
        if outcome.as_ref().err().is_none_or(|failed| failed.rejected.is_some()) {
            self.session.leave();
        }
        outcome
    }

    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.session.commit(checkpoint).await
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.session.connection.close().await;
        Ok(())
    }
}
