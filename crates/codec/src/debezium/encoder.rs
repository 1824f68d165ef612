//! Keys and envelopes as JSON.

use super::cloud_event;
use super::envelope::{Envelopes, Part, Telling};
use super::options::{HeaderForm, Options, Unlogged};
use super::plan::Texts;
use super::records::{Header, header_value};
use super::unwrap::Unwrapping;
use crate::connect::JsonWriter;
use cdc_core::{Change, Operation, Result};
use std::sync::Arc;
use std::time::SystemTime;

/// Writes changes as Debezium JSON.
#[derive(Debug)]
pub struct Encoder {
    envelopes: Envelopes,
}

impl Encoder {
    /// Makes an encoder without schemas; `topic_prefix` is the source's name in every envelope. What
    /// the database did not log of a row before is null.
    #[must_use]
    pub fn new(topic_prefix: &str) -> Self {
        let options = Options { schemas: false, unlogged: Unlogged::Null, ..Options::default() };
        Self::with_options(topic_prefix, options)
    }

    /// Makes an encoder with every choice of Debezium's users.
    #[must_use]
    pub fn with_options(topic_prefix: &str, options: Options) -> Self {
        Self { envelopes: Envelopes::new(topic_prefix, options) }
    }

    /// Sets the database's name in `source.db`, which is empty otherwise.
    #[must_use]
    pub fn with_database(self, database: &str) -> Self {
        Self { envelopes: self.envelopes.with_database(database) }
    }

    /// Appends the change's key, `{"id":1}`. Says `false` and appends nothing for a table without a
    /// key and for a truncate. After an error `out` is as it was.
    ///
    /// # Errors
    /// When a value of the key has no JSON form, or the database did not log it.
    pub fn key(&mut self, change: &Change, out: &mut Vec<u8>) -> Result<bool> {
        self.key_of(change, Part::Whole, out)
    }

    /// Appends the key of a part of the change, as [`key`](Self::key) does.
    pub(super) fn key_of(
        &mut self,
        change: &Change,
        part: Part,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        if !change.schema.has_key() || change.operation == Operation::Truncate {
            return Ok(false);
        }
        let plan = self.envelopes.plan(change);
        restoring(out, |out| {
            with_schema(out, plan.texts.as_ref().map(|texts: &Texts| &texts.key), |writer| {
                self.envelopes.write_key(change, part, writer).map(|_| ())
            })
        })?;
        Ok(true)
    }

    /// Appends the change's envelope. `processed_at` becomes its `ts_ms`, `ts_us` and `ts_ns`. After
    /// an error `out` is as it was.
    ///
    /// # Errors
    /// When a value has no JSON form, or a row does not fit its schema.
    pub fn value(
        &mut self,
        change: &Change,
        processed_at: SystemTime,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        self.value_of(change, Telling::whole(processed_at), out).map(|_| ())
    }

    /// Appends the value of a part of the change. Says `false` and appends nothing where a CloudEvent
    /// was chosen and the change is none. After an error `out` is as it was.
    pub(super) fn value_of(
        &mut self,
        change: &Change,
        telling: Telling<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let plan = self.envelopes.plan(change);
        let cloud_events = self.envelopes.options.cloud_events;
        if cloud_events && change.operation == Operation::Message {
            return Ok(false);
        }
        restoring(out, |out| {
            if cloud_events {
                return cloud_event::write(out, &self.envelopes, (&plan, change, telling));
            }
            with_schema(out, plan.texts.as_ref().map(|texts| &texts.value), |writer| {
                self.envelopes.write_value(change, telling, writer)
            })
        })?;
        Ok(true)
    }

    /// Appends the key of a part of the change in the form of a header.
    pub(super) fn key_header(
        &mut self,
        change: &Change,
        part: Part,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if self.envelopes.options.headers == HeaderForm::Json {
            return self.key_of(change, part, out).map(|_| ());
        }
        let written = self.envelopes.write_key(change, part, &mut JsonWriter::new(out, false));
        written.map(|_| ())
    }

    /// Appends the headers that unwrapping adds to a record, or to a tombstone.
    pub(super) fn added_headers(
        &self,
        change: &Change,
        telling: Telling<'_>,
        is_tombstone: bool,
        out: &mut Vec<Header>,
    ) {
        let envelopes = &self.envelopes;
        let added = envelopes.unwrapping.iter().flat_map(Unwrapping::headers);
        out.extend(added.map(|header| {
            let schema = || header.schema(&change.schema.dialect, is_tombstone);
            let value = header_value(&envelopes.options, schema, |out| {
                header.write(out, envelopes, change, telling);
            });
            Header { name: Arc::clone(header.name), value }
        }));
    }

    /// The topic of the change's table.
    pub(super) fn topic(&mut self, change: &Change) -> Arc<str> {
        Arc::clone(&self.envelopes.plan(change).topic)
    }

    pub(super) fn options(&self) -> &Options {
        &self.envelopes.options
    }

    pub(super) fn topic_prefix(&self) -> &str {
        &self.envelopes.topic_prefix
    }
}

/// Writes a value, inside `{"schema":…,"payload":…}` where there is a schema.
pub(super) fn with_schema<T>(
    out: &mut Vec<u8>,
    schema: Option<&Vec<u8>>,
    write: impl FnOnce(&mut JsonWriter<'_>) -> Result<T>,
) -> Result<T> {
    let Some(schema) = schema else { return write(&mut JsonWriter::new(out, false)) };
    out.extend_from_slice(b"{\"schema\":");
    out.extend_from_slice(schema);
    out.extend_from_slice(b",\"payload\":");
    let written = write(&mut JsonWriter::new(out, true))?;
    out.push(b'}');
    Ok(written)
}

/// Runs `write` and cuts off what it wrote when it fails.
fn restoring(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = out.len();
    let result = write(out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}
