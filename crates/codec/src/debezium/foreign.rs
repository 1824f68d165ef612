//! Records that Debezium wrote, back into changes.
//!
//! With schemas (`{"schema":…,"payload":…}`) the columns and their types come from the record itself.
//! Without, they are guessed from what has been seen of each topic, and no further than JSON goes:
//!
//! | JSON | column |
//! |---|---|
//! | `true`, `false` | `boolean` |
//! | a number without a fraction | `bigint` |
//! | any other number | `double precision` |
//! | text | `text`, whatever it may stand for: base64, dates and decimals stay as they are |
//! | objects and arrays | `jsonb` |
//! | only `null` so far | `text` |
//!
//! A column that has held two of these becomes the wider one: numbers `double precision`, everything
//! else `text`. The order of columns is that in which they came.
//!
//! What Debezium does not tell is not made up: `null` in `before` beside the key counts as not logged,
//! and so does its placeholder anywhere. Zeros that Debezium puts there for columns that may not be
//! null cannot be told from values. Each change is a transaction of its own, at the position that its
//! reader gives it.

mod columns;
mod exact;
mod guess;
mod natives;
mod own;
mod text;
mod values;

pub use own::{Payload, TableReader};
pub(crate) use text::days_since_1970;

use self::guess::Guesses;
use self::values::{Column, Marks, Reading};
use super::envelope::Image;
use super::mark::InvalidMark;
use super::options::Placeholder;
use crate::connect::{self, Field, Kind, Schema};
use cdc_core::{
    Change, Error, Operation, Origin, Position, Retry, Row, TableId, TableSchema, Timestamp,
    Transaction, Value,
};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many schemas of other producers are kept.
const SCHEMAS_MAX: usize = 1_024;

/// Reads Debezium's JSON, with and without schemas.
#[derive(Debug)]
pub struct Decoder {
    marks: Marks,
    /// By the text of value schema and key.
    schemas: BTreeMap<String, Arc<Described>>,
    /// The key of each table as its newest row had it: truncates come without.
    keys: BTreeMap<TableId, Vec<String>>,
    guesses: Guesses,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// A change of a row, a truncate, or a message.
    Change(Box<Change>),
    /// A record without a value: the row of this key is gone, as the delete before it said.
    Tombstone,
    /// A heartbeat, the begin or end of a transaction, or a change of a schema.
    Other,
}

/// A table as its records describe it, with what reads its columns.
#[derive(Debug)]
struct Described {
    schema: Arc<TableSchema>,
    columns: Vec<Column>,
}

/// Why bytes are not one of Debezium's records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// They are not JSON.
    #[error("it is not JSON")]
    NotJson,
    /// The schema that comes with it is none.
    #[error("its schema cannot be read: {0}")]
    Schema(#[from] connect::UnreadableSchema),
    /// It is not an envelope: it may be a row alone, or a record of something else.
    #[error("it is not an envelope of Debezium's: {0}")]
    NotAnEnvelope(&'static str),
    /// It is one of ours that only a newer version reads.
    #[error(transparent)]
    Mark(#[from] InvalidMark),
    /// A value does not fit its schema.
    #[error("column {column:?} of {table} does not fit its schema")]
    Value {
        /// Which table.
        table: TableId,
        /// Which column.
        column: String,
    },
}

impl From<ForeignError> for Error {
    fn from(error: ForeignError) -> Self {
        unreadable(&error)
    }
}

fn unreadable(error: &ForeignError) -> Error {
    let context = format!("a record cannot be read as Debezium's JSON: {error}");
    Error::new("CDC-4230", Origin::Transport, Retry::Never, context).with_remedy(
        "read topics that Debezium wrote as JSON envelopes: no SMT that unwraps rows, and \
         value.converter=org.apache.kafka.connect.json.JsonConverter",
    )
}

impl Decoder {
    /// `placeholder` is the `unavailable.value.placeholder` of the connector that wrote the topics.
    #[must_use]
    pub fn new(placeholder: &str) -> Self {
        Self {
            marks: Marks::new(&Placeholder::new(placeholder)),
            schemas: BTreeMap::new(),
            keys: BTreeMap::new(),
            guesses: Guesses::default(),
        }
    }

    /// Reads one record. `position` becomes the change's.
    ///
    /// # Errors
    /// When the bytes are not a record of Debezium's.
    pub fn decode(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        position: Position,
    ) -> Result<Decoded, ForeignError> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(Decoded::Tombstone);
        };
        let value: Json = read(value)?;
        let key: Json = key.filter(|key| !key.is_empty()).map_or(Ok(Json::Null), read)?;
        let (schema, payload) = split(&value);
        let (_, key) = split(&key);
        if payload.is_null() {
            return Ok(Decoded::Tombstone);
        }
        let Some(operation) = payload.get("op").and_then(Json::as_str).and_then(operation) else {
            return if is_other(payload) {
                Ok(Decoded::Other)
            } else {
                Err(ForeignError::NotAnEnvelope("it has no op"))
            };
        };
        let source =
            payload.get("source").ok_or(ForeignError::NotAnEnvelope("it has no source"))?;
        let described = if operation == Operation::Message {
            messages(source, schema)
        } else {
            let table = table(source)?;
            let names = self.key_of(&table, operation, key);
            self.describe(schema, payload, (table, dialect(source)), &names)?
        };
        let row = |row: &Json, image| self.row(&described, row, image);
        let change = change(&described.schema, (operation, position), payload, source, row)?;
        Ok(Decoded::Change(Box::new(change)))
    }

    /// The names of the key's columns.
    fn key_of(&mut self, table: &TableId, operation: Operation, key: &Json) -> Vec<String> {
        if operation == Operation::Truncate {
            return self.keys.get(table).cloned().unwrap_or_default();
        }
        let names: Vec<String> =
            key.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
        if self.keys.get(table) != Some(&names) {
            if self.keys.len() >= SCHEMAS_MAX {
                self.keys.clear();
            }
            self.keys.insert(table.clone(), names.clone());
        }
        names
    }

    fn describe(
        &mut self,
        schema: Option<&Json>,
        payload: &Json,
        (table, dialect): (TableId, &str),
        names: &[String],
    ) -> Result<Arc<Described>, ForeignError> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let Some(schema) = schema else {
            return self.guesses.describe(table, dialect, (payload, &names), &self.marks);
        };
        let known = format!("{table}\n{names:?}\n{schema}");
        if let Some(described) = self.schemas.get(&known) {
            return Ok(Arc::clone(described));
        }
        let schema = connect::read(schema)?;
        let described = Arc::new(describe(table, dialect, &schema, &names)?);
        if self.schemas.len() >= SCHEMAS_MAX {
            self.schemas.clear();
        }
        self.schemas.insert(known, Arc::clone(&described));
        Ok(described)
    }

    /// One image of the row. In `before`, null beside the key says nothing, and neither does what is no
    /// value of its type: Debezium writes both for what was not logged.
    fn row(&self, described: &Described, row: &Json, image: Image) -> Result<Row, ForeignError> {
        let schema = &described.schema;
        let values = described.columns.iter().enumerate().map(|(index, column)| {
            let json = row.get(&column.label).unwrap_or(&Json::Null);
            let in_key = schema.key.iter().any(|part| usize::from(*part) == index);
            match column.read(json, &self.marks) {
                Some(Value::Null) | None if image == Image::Before && !in_key => {
                    Ok(Value::Unchanged)
                }
                Some(value) => Ok(value),
                None => Err(misfit(schema, index)),
            }
        });
        values.collect()
    }
}

/// The change that an envelope tells.
fn change(
    schema: &Arc<TableSchema>,
    (operation, position): (Operation, Position),
    payload: &Json,
    source: &Json,
    row: impl Fn(&Json, Image) -> Result<Row, ForeignError>,
) -> Result<Change, ForeignError> {
    let image = |name: &str| payload.get(name).filter(|row| !row.is_null());
    let (before, after) = match operation {
        Operation::Message => (None, image("message")),
        Operation::Truncate => (None, None),
        _ => (image("before"), image("after")),
    };
    if before.or(after).is_none() && operation != Operation::Truncate {
        return Err(ForeignError::NotAnEnvelope("it has no row"));
    }
    Ok(Change {
        schema: Arc::clone(schema),
        operation,
        before: before.map(|image| row(image, Image::Before)).transpose()?,
        after: after.map(|image| row(image, Image::After)).transpose()?,
        position,
        log_address: number(source, "lsn").or_else(|| number(source, "pos")).unwrap_or(0),
        transaction: Arc::new(Transaction {
            id: number(source, "txId").unwrap_or(0),
            commit_time: commit_time(source),
        }),
        ends_transaction: true,
    })
}

/// A value that does not fit its column.
fn misfit(schema: &TableSchema, column: usize) -> ForeignError {
    let name = schema.columns.get(column).map_or("?", |column| &column.name);
    ForeignError::Value { table: schema.table.clone(), column: name.to_owned() }
}

fn read(bytes: &[u8]) -> Result<Json, ForeignError> {
    serde_json::from_slice(bytes).map_err(|_| ForeignError::NotJson)
}

/// Schema and payload, or the payload alone.
fn split(json: &Json) -> (Option<&Json>, &Json) {
    match (json.get("schema"), json.get("payload")) {
        (Some(schema), Some(payload))
            if json.as_object().is_some_and(|object| object.len() == 2) =>
        {
            (Some(schema).filter(|schema| !schema.is_null()), payload)
        }
        _ => (None, json),
    }
}

fn operation(code: &str) -> Option<Operation> {
    Some(match code {
        "r" => Operation::Snapshot,
        "c" => Operation::Insert,
        "u" => Operation::Update,
        "d" => Operation::Delete,
        "t" => Operation::Truncate,
        "m" => Operation::Message,
        _ => return None,
    })
}

/// Is it one of the records beside those of tables?
fn is_other(payload: &Json) -> bool {
    let has = |name: &str| payload.get(name).is_some();
    let is_heartbeat = has("ts_ms") && payload.as_object().is_some_and(|object| object.len() == 1);
    let is_transaction = has("status") && has("id") && has("ts_ms");
    is_heartbeat || is_transaction || has("tableChanges")
}

fn table(source: &Json) -> Result<TableId, ForeignError> {
    let text = |name: &str| source.get(name).and_then(Json::as_str);
    let table = text("table").or_else(|| text("collection"));
    let table = table.ok_or(ForeignError::NotAnEnvelope("its source names no table"))?;
    let namespace = text("schema").or_else(|| text("db")).unwrap_or_default();
    Ok(TableId::new(namespace, table))
}

fn dialect(source: &Json) -> &str {
    match source.get("connector").and_then(Json::as_str) {
        Some("postgresql") | None => "postgres",
        Some(other) => other,
    }
}

/// Messages have one table. Their content is base64, or text where the schema says so: nothing tells by
/// which of its modes the connector wrote octets as text, so they stay that text.
fn messages(source: &Json, schema: Option<&Json>) -> Arc<Described> {
    let content = schema.and_then(|schema| connect::read(schema).ok());
    let content = content.as_ref().and_then(|schema| schema.field("message")?.field("content"));
    let is_text = content.is_some_and(|content| content.kind == Kind::String);
    let content = if is_text { Reading::OctetsOfText } else { Reading::Bytes };
    let columns = [("prefix", Reading::Text), ("content", content)];
    let columns = columns.map(|(label, reading)| Column { label: label.to_owned(), reading });
    let columns = columns.to_vec();
    Arc::new(Described { schema: Arc::new(TableSchema::of_messages(dialect(source))), columns })
}

/// The table that an envelope's schema describes.
fn describe(
    table: TableId,
    dialect: &str,
    envelope: &Schema,
    key: &[&str],
) -> Result<Described, ForeignError> {
    let row = envelope.field("after").or_else(|| envelope.field("before"));
    let fields: &[Field] = row.map_or(&[], Schema::fields);
    if fields.is_empty() {
        return Err(ForeignError::NotAnEnvelope("its schema has no columns"));
    }
    let (columns, named) = fields.iter().map(columns::of_field).unzip();
    let schema = with_key(
        TableSchema {
            table,
            dialect: dialect.to_owned(),
            columns: named,
            key: Vec::new(),
            number: None,
        },
        key,
    );
    Ok(Described { schema: Arc::new(schema), columns })
}

/// Sets the key to the columns of these names, in this order.
fn with_key(mut schema: TableSchema, names: &[&str]) -> TableSchema {
    let index = |name: &&str| schema.columns.iter().position(|column| column.name == **name);
    let key = names.iter().filter_map(index).filter_map(|index| u16::try_from(index).ok());
    schema.key = key.collect();
    schema
}

fn number(source: &Json, name: &str) -> Option<u64> {
    let json = source.get(name)?;
    json.as_u64().or_else(|| json.as_i64().map(i64::cast_unsigned))
}

/// The finest of the times that the source tells.
fn commit_time(source: &Json) -> Timestamp {
    let unit = |name: &str, per_second: i64| {
        let count = source.get(name)?.as_i64()?;
        let fraction = count.rem_euclid(per_second) * (1_000_000_000 / per_second);
        let nanos = u32::try_from(fraction).ok()?;
        Some(Timestamp { seconds: count.div_euclid(per_second), nanos })
    };
    unit("ts_ns", 1_000_000_000)
        .or_else(|| unit("ts_us", 1_000_000))
        .or_else(|| unit("ts_ms", 1_000))
        .unwrap_or(Timestamp { seconds: 0, nanos: 0 })
}

#[cfg(test)]
pub(super) use natives::double;
