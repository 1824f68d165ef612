//! Headers that Debezium sets.

use super::encoding::WITH_SCHEMA;
use super::options::{HeaderForm, Options};
use crate::connect::{self, JsonWriter, Kind, Schema, Writer};
use bytes::Bytes;
use cdc_core::Header;

/// The headers that each record of a table has.
pub(super) fn context(topic_prefix: &str, options: &Options) -> Vec<Header> {
    if !options.context_headers {
        return Vec::new();
    }
    let run = options.run_id.as_str();
    [
        ("connectorLogicalName", topic_prefix),
        ("taskId", "0"),
        ("connectorName", "postgresql"),
        ("runId", run),
    ]
    .into_iter()
    .map(|(name, text)| Header {
        name: format!("__debezium.context.{name}").into(),
        value: header_value(options, || Schema::new(Kind::String), |out| out.string(text)),
    })
    .collect()
}

/// A header's value in the form that was chosen.
pub(super) fn header_value(
    options: &Options,
    schema: impl FnOnce() -> Schema,
    write: impl FnOnce(&mut JsonWriter<'_>),
) -> Bytes {
    let mut value = Vec::new();
    match options.headers {
        HeaderForm::Simple => {
            write(&mut JsonWriter::new(&mut value, false));
            // Text stands by itself, without quotes.
            serde_json::from_slice::<String>(&value).map_or(value.into(), Bytes::from)
        }
        HeaderForm::Json => {
            if !options.schemas {
                write(&mut JsonWriter::new(&mut value, true));
                return value.into();
            }
            value.extend_from_slice(WITH_SCHEMA);
            connect::print(&schema(), &mut value);
            value.extend_from_slice(b",\"payload\":");
            write(&mut JsonWriter::new(&mut value, true));
            value.push(b'}');
            value.into()
        }
    }
}

pub(super) fn printed(schema: &Schema) -> Vec<u8> {
    let mut text = Vec::new();
    connect::print(schema, &mut text);
    text
}
