//! Our own records, read by the table schema that they were made of: the same schema, the same values.

use super::values::Column;
use super::{ForeignError, Image, change, exact, misfit, operation, read, split};
use crate::connect::{JsonWriter, avro, protobuf};
use crate::debezium::envelope::value_schema;
use crate::debezium::form::Form;
use crate::debezium::mark::{self, Columns, Mark, Moved};
use cdc_core::{Change, Header, Position, Row, TableSchema, Value};
use serde_json::Value as Json;
use std::sync::Arc;

/// Reads the records of one table schema.
#[derive(Debug)]
pub struct TableReader {
    schema: Arc<TableSchema>,
    columns: Vec<Column>,
    /// Only in Protobuf the bytes alone do not say what they are.
    protobuf: Option<protobuf::Reader>,
}

/// The value of a record, without the frame around it.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// JSON, with or without its schema.
    Json(&'a [u8]),
    /// Avro, and what reads the schema that it was written with.
    Avro(&'a avro::Reader, &'a [u8]),
    /// Protobuf, behind the byte that says which message it is.
    Protobuf(&'a [u8]),
}

impl TableReader {
    /// For records with this mark, made under this schema.
    #[must_use]
    pub fn new(schema: Arc<TableSchema>, mark: &Mark) -> Self {
        let options = mark.options();
        let columns = schema.columns.iter().map(|column| {
            let form = Form::of(column, &options);
            let reading = exact::of_form(&form, &column.data_type, &column.native_type);
            Column { label: options.field_names.field(&column.name), reading }
        });
        let columns = columns.collect();
        let told = value_schema(&schema, "t", &options);
        let protobuf = protobuf::Reader::new(&told).ok();
        Self { schema, columns, protobuf }
    }

    /// The table schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Whether the record is of a row that has moved to another key, and is told by its headers.
    ///
    /// # Errors
    /// When the headers are none that this version writes.
    pub fn moved(&self, headers: &[Header], position: Position) -> Result<Moved, ForeignError> {
        Ok(Moved::read(headers, position, &self.schema)?)
    }

    /// Reads one record. `position` becomes the change's.
    ///
    /// # Errors
    /// When it is not a record that was made under this schema.
    pub fn read(
        &self,
        payload: Payload<'_>,
        headers: &[Header],
        position: Position,
    ) -> Result<Change, ForeignError> {
        let json = self.json(payload)?;
        let (_, payload) = split(&json);
        let event;
        let payload = match payload.get("specversion") {
            Some(_) => {
                event = of_cloud_event(payload);
                &event
            }
            None => payload,
        };
        let code = payload.get("op").and_then(Json::as_str);
        let operation =
            code.and_then(operation).ok_or(ForeignError::NotAnEnvelope("it has no op"))?;
        let source = payload.get("source").unwrap_or(&Json::Null);
        let unchanged = Columns::read(headers, mark::UNCHANGED);
        let null = Columns::read(headers, mark::NULL);
        let row = |row: &Json, image| self.row(row, image, (&unchanged, &null));
        change(&self.schema, (operation, position), payload, source, row)
    }

    fn json(&self, payload: Payload<'_>) -> Result<Json, ForeignError> {
        let mut text = Vec::new();
        match payload {
            Payload::Json(text) => return read_payload(text),
            Payload::Avro(reader, record) => {
                let read = reader.read(record, &mut JsonWriter::new(&mut text, true));
                read.map_err(|_| ForeignError::NotAnEnvelope("it is no Avro of its schema"))?;
            }
            Payload::Protobuf(record) => {
                let reader = self.protobuf.as_ref();
                let reader = reader
                    .ok_or(ForeignError::NotAnEnvelope("its table has no form in Protobuf"))?;
                // The record is of the first message of the file.
                let record =
                    record.strip_prefix(&[0]).ok_or(ForeignError::NotAnEnvelope("it is empty"))?;
                let read = reader.read(record, &mut JsonWriter::new(&mut text, true));
                read.map_err(|_| ForeignError::NotAnEnvelope("it is no Protobuf of its schema"))?;
            }
        }
        read(&text)
    }

    /// One image of the row, every value as it was.
    fn row(
        &self,
        row: &Json,
        image: Image,
        (unchanged, null): (&Columns<'_>, &Columns<'_>),
    ) -> Result<Row, ForeignError> {
        let values = self.columns.iter().enumerate().map(|(index, column)| {
            if unchanged.has(image, index) {
                return Ok(Value::Unchanged);
            }
            if null.has(image, index) {
                return Ok(Value::Null);
            }
            let json = row.get(&column.label).ok_or_else(|| misfit(&self.schema, index))?;
            column.reading.read(json).ok_or_else(|| misfit(&self.schema, index))
        });
        values.collect()
    }
}

/// The payload, without a look at the schema around it.
fn read_payload(text: &[u8]) -> Result<Json, ForeignError> {
    #[derive(serde::Deserialize)]
    struct WithSchema {
        #[serde(rename = "schema")]
        _schema: serde::de::IgnoredAny,
        payload: Json,
    }
    if text.starts_with(crate::debezium::encoding::WITH_SCHEMA) {
        let both: WithSchema = serde_json::from_slice(text).map_err(|_| ForeignError::NotJson)?;
        return Ok(both.payload);
    }
    read(text)
}

/// The envelope that an event was made of.
fn of_cloud_event(event: &Json) -> Json {
    let data = event.get("data").unwrap_or(&Json::Null);
    let (_, data) = split(data);
    let attribute = |name: &str| event.get(format!("iodebezium{name}"));
    let count = |name: &str| attribute(name)?.as_str()?.parse::<i64>().ok();
    serde_json::json!({
        "op": attribute("op"),
        "before": data.get("before"),
        "after": data.get("after"),
        "source": {
            "lsn": count("lsn"),
            "txId": count("txId"),
            "ts_ms": count("tsms"),
            "ts_us": count("tsus"),
            "ts_ns": count("tsns"),
            "snapshot": attribute("snapshot"),
        },
    })
}
