//! The records of one change, as a topic gets them.

use super::encoder::{Encoder, with_schema};
use super::envelope::{Part, Telling, Times, since_1970};
use super::notice::Notice;
use super::options::{HeaderForm, Options};
use super::transactions::Transactions;
use crate::connect::{self, JsonWriter, Kind, Schema, Writer};
use bytes::Bytes;
use cdc_core::{Change, Operation, Result, naming};
use std::sync::Arc;
use std::time::SystemTime;

/// One record of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic's name, fit for Kafka.
    pub topic: Arc<str>,
    /// `None` for a table without a key and for a truncate.
    pub key: Option<Bytes>,
    /// `None` for a tombstone.
    pub value: Option<Bytes>,
    /// In the order in which they are set.
    pub headers: Vec<Header>,
}

/// A header of a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Arc<str>,
    /// Its value.
    pub value: Bytes,
}

/// Makes the records of changes, in JSON.
///
/// One change makes none (a truncate that is skipped), one, two (a delete and its tombstone) or three
/// records (a change of the key: a delete, its tombstone, a create); with metadata of transactions, the
/// records of begin and end beside them.
#[derive(Debug)]
pub struct Records {
    encoder: Encoder,
    transactions: Transactions,
    context: Vec<Header>,
}

impl Records {
    /// Makes the records of a source of this name and database.
    #[must_use]
    pub fn new(topic_prefix: &str, database: &str, options: Options) -> Self {
        let context = context(topic_prefix, &options);
        let encoder = Encoder::with_options(topic_prefix, options).with_database(database);
        Self { encoder, transactions: Transactions::default(), context }
    }

    /// Appends the records of a change. After an error none of them is in `out`, but those of the begin
    /// and end of its transaction are: the change is left out, and the rest goes on.
    ///
    /// # Errors
    /// When a value has no form in its schema, or the database did not log a part of the key.
    pub fn of(
        &mut self,
        change: &Change,
        processed_at: SystemTime,
        out: &mut Vec<Record>,
    ) -> Result<()> {
        let metadata = self.options().transaction_metadata && Transactions::covers(change);
        if metadata && let Some(begin) = self.transactions.begin(change) {
            out.push(self.boundary(&begin)?);
        }
        let start = out.len();
        let told = self.tell(change, processed_at, metadata, out);
        if told.is_err() {
            out.truncate(start);
        }
        if metadata && let Some(end) = self.transactions.end(change) {
            out.push(self.boundary(&end)?);
        }
        told
    }

    /// A heartbeat.
    ///
    /// # Errors
    /// Never in JSON.
    pub fn heartbeat(&self, at: SystemTime) -> Result<Record> {
        let topic_prefix = self.encoder.topic_prefix().to_owned();
        let topic = naming::heartbeat_topic(&topic_prefix);
        let millis = Times::of(since_1970(at)).millis.unwrap_or(i64::MAX);
        let (key, value) = (Notice::HeartbeatKey { topic_prefix }, Notice::Heartbeat { millis });
        self.notice(topic, &key, &value)
    }

    fn tell(
        &mut self,
        change: &Change,
        processed_at: SystemTime,
        metadata: bool,
        out: &mut Vec<Record>,
    ) -> Result<()> {
        if change.operation == Operation::Truncate && !self.options().truncates {
            return Ok(());
        }
        let parts: &[Part] = match moves(change) {
            true => &[Part::OldKey, Part::NewKey],
            false => &[Part::Whole],
        };
        for part in parts {
            let transaction = if metadata { self.transactions.count(change) } else { None };
            let transaction = transaction.as_ref();
            self.tell_part(change, Telling { part: *part, processed_at, transaction }, out)?;
        }
        Ok(())
    }

    fn tell_part(
        &mut self,
        change: &Change,
        telling: Telling<'_>,
        out: &mut Vec<Record>,
    ) -> Result<()> {
        let deletes = change.operation == Operation::Delete || telling.part == Part::OldKey;
        let options = self.options();
        let (tells, tombstone) = match &options.unwrap {
            Some(_) if change.operation == Operation::Truncate => return Ok(()),
            Some(unwrap) => (
                !deletes || unwrap.tells_deletes(),
                deletes && unwrap.keeps_tombstone(options.tombstones),
            ),
            None => (true, deletes && options.tombstones),
        };
        let mut key = Vec::new();
        let key = self.encoder.key_of(change, telling.part, &mut key)?.then(|| Bytes::from(key));
        let topic = self.encoder.topic(change);
        if tells {
            let mut value = Vec::new();
            let told = self.encoder.value_of(change, telling, &mut value)?;
            let value = told.then(|| Bytes::from(value));
            let headers = self.headers(change, telling, false)?;
            let (topic, key) = (Arc::clone(&topic), key.clone());
            out.push(Record { topic, key, value, headers });
        }
        if tombstone {
            let headers = self.headers(change, telling, true)?;
            out.push(Record { topic, key, value: None, headers });
        }
        Ok(())
    }

    fn headers(
        &mut self,
        change: &Change,
        telling: Telling<'_>,
        is_tombstone: bool,
    ) -> Result<Vec<Header>> {
        // Messages come by another way through Debezium, which sets none.
        if change.operation == Operation::Message {
            return Ok(Vec::new());
        }
        let mut headers = self.context.clone();
        let other = match telling.part {
            Part::Whole => None,
            Part::OldKey => Some(("__debezium.newkey", Part::NewKey)),
            Part::NewKey => Some(("__debezium.oldkey", Part::OldKey)),
        };
        if let Some((name, part)) = other {
            let mut value = Vec::new();
            self.encoder.key_header(change, part, &mut value)?;
            headers.push(Header { name: name.into(), value: value.into() });
        }
        self.encoder.added_headers(change, telling, is_tombstone, &mut headers);
        Ok(headers)
    }

    fn boundary(&self, notice: &Notice) -> Result<Record> {
        let Notice::Transaction { id, .. } = notice else {
            return self.notice(String::new(), notice, notice);
        };
        let topic = naming::transaction_topic(self.encoder.topic_prefix());
        self.notice(topic, &Notice::TransactionKey { id: id.clone() }, notice)
    }

    fn notice(&self, topic: String, key: &Notice, value: &Notice) -> Result<Record> {
        let with_schemas = self.options().schemas;
        let write = |notice: &Notice| -> Result<Bytes> {
            let schema = with_schemas.then(|| printed(&notice.schema()));
            let mut out = Vec::new();
            with_schema(&mut out, schema.as_ref(), |writer| {
                notice.write(writer);
                Ok(())
            })?;
            Ok(out.into())
        };
        let key = Some(write(key)?);
        let value = if self.options().cloud_events { None } else { Some(write(value)?) };
        Ok(Record { topic: topic.into(), key, value, headers: Vec::new() })
    }

    fn options(&self) -> &Options {
        self.encoder.options()
    }
}

/// Does the change give the row another key?
fn moves(change: &Change) -> bool {
    let (Operation::Update, Some(before), Some(after)) =
        (change.operation, &change.before, &change.after)
    else {
        return false;
    };
    change.schema.key.iter().map(|index| usize::from(*index)).any(|index| {
        let (before, after) = (before.get(index), after.get(index));
        let logged = |value: Option<&cdc_core::Value>| {
            value.is_some_and(|value| *value != cdc_core::Value::Unchanged)
        };
        logged(before) && logged(after) && before != after
    })
}

/// The headers that each record of a table has.
fn context(topic_prefix: &str, options: &Options) -> Vec<Header> {
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
            let text = options.schemas.then(|| printed(&schema()));
            let written = with_schema(&mut value, text.as_ref(), |writer| {
                write(writer);
                Ok(())
            });
            debug_assert!(written.is_ok(), "nothing in here fails");
            value.into()
        }
    }
}

fn printed(schema: &Schema) -> Vec<u8> {
    let mut text = Vec::new();
    connect::print(schema, &mut text);
    text
}
