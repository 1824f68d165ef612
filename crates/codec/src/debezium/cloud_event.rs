//! Envelopes as CloudEvents 1.0, structured, in JSON.

use super::encoding::{self, Tell};
use super::envelope::{Envelopes, Image, Part, Telling, images, operation_code};
use super::plan::Plan;
use super::{schemas, source, temporal};
use crate::connect::{self, JsonWriter, Label, Schema, Writer, label};
use cdc_core::{Change, Result, TableSchema, Timestamp};

/// The schema of `data`: the two images of a row.
pub(super) fn data_schema(row: Schema, table: &TableSchema) -> Schema {
    let row = row.optional();
    let fields =
        vec![connect::Field::new("before", row.clone()), connect::Field::new("after", row)];
    let name = format!("io.debezium.connector.{}.Data", schemas::connector(&table.dialect));
    Schema::of_fields(fields).named(name)
}

/// Appends the event. `text` is the schema of `data`, where that is told.
pub(super) fn write(
    out: &mut Vec<u8>,
    envelopes: &Envelopes,
    (plan, change, telling): (&Plan, &Change, Telling<'_>),
    text: Option<&[u8]>,
) -> Result<()> {
    let connector = schemas::connector(&change.schema.dialect);
    let prefix = &envelopes.topic_prefix;
    let writer = &mut JsonWriter::new(out, false);
    writer.begin_struct();
    writer.field(label!("id"));
    writer.string(&format!(
        "name:{prefix};lsn:{};txId:{};sequence:{}",
        change.log_address,
        source::transaction_number(change).map_or_else(|| "null".to_owned(), |id| id.to_string()),
        source::sequence(change)
    ));
    writer.field(label!("source"));
    writer.string(&format!("/debezium/{connector}/{prefix}"));
    writer.field(label!("specversion"));
    writer.string("1.0");
    writer.field(label!("type"));
    writer.string(&format!("io.debezium.connector.{connector}.DataChangeEvent"));
    writer.field(label!("time"));
    temporal::write_instant(writer, in_millis(change.transaction.commit_time), 3);
    writer.field(label!("datacontenttype"));
    writer.string("application/json");
    writer.field(label!("iodebeziumop"));
    writer.string(operation_code(change.operation, telling.part));
    for field in source::Field::ALL {
        writer.field(&attribute(field.label().name()));
        write_as_text(writer, |out| field.write(out, envelopes, change));
    }
    let transaction = telling.transaction;
    writer.field(label!("iodebeziumtxid"));
    or_null(writer, transaction.map(|t| t.id.clone()));
    writer.field(label!("iodebeziumtxtotalorder"));
    or_null(writer, transaction.map(|t| t.total_order.to_string()));
    writer.field(label!("iodebeziumtxdatacollectionorder"));
    or_null(writer, transaction.map(|t| t.data_collection_order.to_string()));
    out.extend_from_slice(b",\"data\":");
    encoding::json(out, text, Data { envelopes, plan, change, part: telling.part })?;
    out.push(b'}');
    Ok(())
}

/// Both images of the row.
struct Data<'a> {
    envelopes: &'a Envelopes,
    plan: &'a Plan,
    change: &'a Change,
    part: Part,
}

impl Tell for Data<'_> {
    fn tell<W: Writer>(self, out: &mut W) -> Result<()> {
        let Self { envelopes, plan, change, part } = self;
        let (before, after) = images(change, part);
        out.begin_struct();
        out.field(label!("before"));
        envelopes.write_row(out, plan, change, before, Image::Before)?;
        out.field(label!("after"));
        envelopes.write_row(out, plan, change, after, Image::After)?;
        out.end_struct();
        Ok(())
    }
}

/// Commit times are told to the millisecond.
fn in_millis(at: Timestamp) -> Timestamp {
    Timestamp { nanos: at.nanos / 1_000_000 * 1_000_000, ..at }
}

/// `iodebezium` and the field's name without what an attribute's name may not hold.
fn attribute(field: &str) -> Label {
    Label::new(format!("iodebezium{}", field.replace('_', "")))
}

/// Attributes are text, whatever the field is.
fn write_as_text(out: &mut JsonWriter<'_>, write: impl FnOnce(&mut JsonWriter<'_>)) {
    let mut value = Vec::new();
    write(&mut JsonWriter::new(&mut value, false));
    match serde_json::from_slice(&value) {
        Ok(serde_json::Value::String(text)) => out.string(&text),
        Ok(serde_json::Value::Null) | Err(_) => out.null(),
        Ok(number) => out.string(&number.to_string()),
    }
}

fn or_null(out: &mut JsonWriter<'_>, text: Option<String>) {
    match text {
        Some(text) => out.string(&text),
        None => out.null(),
    }
}
