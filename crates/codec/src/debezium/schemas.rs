//! The Connect schemas of Debezium's records.

use super::column_default;
use super::form::Form;
use super::options::Options;
use crate::connect::{Field, Kind, Literal, Schema};
use cdc_core::{Column, TableSchema, naming};

/// Every value that `source.snapshot` may have.
const SNAPSHOT_MARKERS: &str =
    "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";

fn required(name: &str, kind: Kind) -> Field {
    Field::new(name, Schema::new(kind))
}

fn optional(name: &str, kind: Kind) -> Field {
    Field::new(name, Schema::new(kind).optional())
}

/// The name of the schema of this part of a table's records: `cdc.public.users.Key`.
fn name_of(table: &TableSchema, topic_prefix: &str, part: &str, options: &Options) -> String {
    let topic = naming::topic(topic_prefix, &table.table);
    options.schema_names.schema(&format!("{topic}.{part}"))
}

fn column(column: &Column, options: &Options) -> Field {
    let form = Form::of(column, options);
    let mut schema = form.schema().with_optional(column.nullable);
    schema.default = column_default::literal(column, &form);
    Field::new(options.field_names.field(&column.name), schema)
}

/// The schema of a key; `None` for a table without one.
#[must_use]
pub fn key(table: &TableSchema, topic_prefix: &str, options: &Options) -> Option<Schema> {
    if table.table.is_messages() {
        let name = options.schema_names.schema("io.debezium.connector.postgresql.MessageKey");
        let prefix = optional("prefix", Kind::String);
        return Some(Schema::of_fields(vec![prefix]).named(name).version(1));
    }
    if !table.has_key() {
        return None;
    }
    let fields = table.key_columns().map(|key| column(key, options)).collect();
    Some(Schema::of_fields(fields).named(name_of(table, topic_prefix, "Key", options)))
}

/// The schema of a row, `before` or `after`, required.
#[must_use]
pub fn row(table: &TableSchema, topic_prefix: &str, options: &Options) -> Schema {
    let fields = table.columns.iter().map(|each| column(each, options)).collect();
    Schema::of_fields(fields).named(name_of(table, topic_prefix, "Value", options))
}

/// The schema of a value: the envelope, or that of a message of the database's log.
#[must_use]
pub fn value(table: &TableSchema, topic_prefix: &str, options: &Options) -> Schema {
    if table.table.is_messages() {
        return message(&table.dialect, options);
    }
    let row = row(table, topic_prefix, options).optional();
    Schema::of_fields(vec![
        Field::new("before", row.clone()),
        Field::new("after", row),
        Field::new("source", source(&table.dialect)),
        Field::new("transaction", transaction_block()),
        required("op", Kind::String),
        optional("ts_ms", Kind::Int64),
        optional("ts_us", Kind::Int64),
        optional("ts_ns", Kind::Int64),
    ])
    .named(name_of(table, topic_prefix, "Envelope", options))
    .version(2)
}

fn message(dialect: &str, options: &Options) -> Schema {
    let content = Form::Bytes(options.binary).schema().optional();
    let message =
        Schema::of_fields(vec![optional("prefix", Kind::String), Field::new("content", content)])
            .named("io.debezium.connector.postgresql.Message")
            .version(1);
    Schema::of_fields(vec![
        required("op", Kind::String),
        optional("ts_ms", Kind::Int64),
        Field::new("source", source(dialect)),
        Field::new("transaction", transaction_block()),
        Field::new("message", message),
    ])
    .named("io.debezium.connector.postgresql.MessageValue")
    .version(1)
}

/// What Debezium's classes call the connector of a dialect.
pub(super) fn connector(dialect: &str) -> &str {
    match dialect {
        "postgres" => "postgresql",
        other => other,
    }
}

/// The schema of `source`.
#[must_use]
pub fn source(dialect: &str) -> Schema {
    let snapshot = Schema::new(Kind::String)
        .named("io.debezium.data.Enum")
        .version(1)
        .parameter("allowed", SNAPSHOT_MARKERS)
        .default_value(Literal::Text("false".to_owned()))
        .optional();
    Schema::of_fields(vec![
        required("version", Kind::String),
        required("connector", Kind::String),
        required("name", Kind::String),
        required("ts_ms", Kind::Int64),
        Field::new("snapshot", snapshot),
        required("db", Kind::String),
        optional("sequence", Kind::String),
        optional("ts_us", Kind::Int64),
        optional("ts_ns", Kind::Int64),
        required("schema", Kind::String),
        required("table", Kind::String),
        optional("txId", Kind::Int64),
        optional("lsn", Kind::Int64),
        optional("xmin", Kind::Int64),
        optional("origin", Kind::String),
        optional("origin_lsn", Kind::Int64),
    ])
    .named(format!("io.debezium.connector.{}.Source", connector(dialect)))
    .version(1)
}

/// The schema of `transaction` in an envelope.
#[must_use]
pub fn transaction_block() -> Schema {
    Schema::of_fields(vec![
        required("id", Kind::String),
        required("total_order", Kind::Int64),
        required("data_collection_order", Kind::Int64),
    ])
    .named("event.block")
    .version(1)
    .optional()
}

/// The schema of the key of a heartbeat.
#[must_use]
pub fn heartbeat_key() -> Schema {
    Schema::of_fields(vec![required("serverName", Kind::String)])
        .named("io.debezium.connector.common.ServerNameKey")
        .version(1)
}

/// The schema of a heartbeat.
#[must_use]
pub fn heartbeat() -> Schema {
    Schema::of_fields(vec![required("ts_ms", Kind::Int64)])
        .named("io.debezium.connector.common.Heartbeat")
        .version(1)
}

/// The schema of the key of a transaction's begin and end.
#[must_use]
pub fn transaction_key() -> Schema {
    Schema::of_fields(vec![required("id", Kind::String)])
        .named("io.debezium.connector.common.TransactionMetadataKey")
        .version(1)
}

/// The schema of a transaction's begin and end.
#[must_use]
pub fn transaction() -> Schema {
    let collection = Schema::of_fields(vec![
        required("data_collection", Kind::String),
        required("event_count", Kind::Int64),
    ])
    .named("event.collection")
    .version(1)
    .optional();
    Schema::of_fields(vec![
        required("status", Kind::String),
        required("id", Kind::String),
        optional("event_count", Kind::Int64),
        Field::new("data_collections", Schema::array_of(collection).optional()),
        required("ts_ms", Kind::Int64),
    ])
    .named("io.debezium.connector.common.TransactionMetadataValue")
    .version(1)
}
