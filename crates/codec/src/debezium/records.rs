//! The records of one change, as a topic gets them.

use super::cloud_event;
use super::encoding::{self, Encoding, Side};
use super::envelope::{Envelopes, Part, Telling, Times, since_1970};
use super::headers::{context, header_value, printed};
use super::learnt::{Learnt, Notices, Planned};
use super::mark::{self, Mark};
use super::notice::Notice;
use super::options::{HeaderForm, Options};
use super::plan::Plan;
use super::tell::{KeyOf, ValueOf};
use super::transactions::Transactions;
use super::unwrap::Unwrapping;
use bytes::Bytes;
use cdc_core::{
    Change, Error, Header, Operation, Origin, Result, Retry, SchemaId, TableSchema, naming,
};
use std::collections::BTreeMap;
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

/// Makes the records of changes.
///
/// One change makes none (a truncate that is skipped), one, two (a delete and its tombstone) or three
/// records (a change of the key: a delete, its tombstone, a create); with metadata of transactions, the
/// records of begin and end beside them.
///
/// In a format whose schemas have numbers in a registry, everything is [planned](Self::plan) first, the
/// schemas are registered, and what was planned is [accepted](Self::accept) with the numbers.
#[derive(Debug)]
pub struct Records {
    envelopes: Envelopes,
    key: Encoding,
    value: Encoding,
    /// By the address of the table schema, which is kept so that the address stays taken.
    tables: BTreeMap<usize, Arc<Learnt>>,
    last: Option<Arc<Learnt>>,
    notices: BTreeMap<Notices, Arc<Learnt>>,
    transactions: Transactions,
    context: Vec<Header>,
    buffer: Vec<u8>,
}

impl Records {
    /// Makes JSON records of a source of this name and database; with schemas if the options say so.
    #[must_use]
    pub fn new(topic_prefix: &str, database: &str, options: Options) -> Self {
        let encoding = if options.schemas { Encoding::JsonWithSchemas } else { Encoding::Json };
        Self::encoded(topic_prefix, database, options, encoding, encoding)
    }

    /// Makes records whose keys and values are of these formats. CloudEvents are JSON in any case.
    #[must_use]
    pub fn encoded(
        topic_prefix: &str,
        database: &str,
        options: Options,
        key: Encoding,
        value: Encoding,
    ) -> Self {
        let value = match value {
            value if options.cloud_events && value.registered_as().is_some() => Encoding::Json,
            value => value,
        };
        let options = options.encoded_as(key, value);
        Self {
            context: context(topic_prefix, &options),
            envelopes: Envelopes::new(topic_prefix, options).with_database(database),
            key,
            value,
            tables: BTreeMap::new(),
            last: None,
            notices: BTreeMap::new(),
            transactions: Transactions::default(),
            buffer: Vec::new(),
        }
    }

    /// What has to be registered before the first change under this schema.
    #[must_use]
    pub fn plan(&self, schema: &Arc<TableSchema>) -> Planned {
        Planned::table(schema, &self.envelopes, self.key, self.value)
    }

    /// What has to be registered before the first of these records that are about no table.
    #[must_use]
    pub fn plan_notices(&self, notices: Notices) -> Planned {
        Planned::notices(notices, &self.envelopes.topic_prefix, self.key, self.value)
    }

    /// Are begin and end of transactions told of?
    #[must_use]
    pub fn tells_transactions(&self) -> bool {
        self.options().transaction_metadata
    }

    /// Takes what was planned, with the numbers of its schemas in their order. `id` is the table schema's
    /// own number, by which our readers find it.
    pub fn accept(&mut self, planned: Planned, numbers: &[u32], id: Option<SchemaId>) {
        let mark = id.map(|id| Mark::new(id, self.options()).value());
        match planned.accepted(numbers, mark) {
            (None, learnt) => drop(self.tables.insert(learnt.address(), Arc::new(learnt))),
            (Some(notices), learnt) => drop(self.notices.insert(notices, Arc::new(learnt))),
        }
        self.last = None;
    }

    /// Forgets every table schema that was accepted.
    pub fn forget(&mut self) {
        self.tables.clear();
        self.last = None;
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
    /// When its schemas have to be registered and are not.
    pub fn heartbeat(&mut self, at: SystemTime) -> Result<Record> {
        let topic_prefix = self.envelopes.topic_prefix.clone();
        let topic = naming::heartbeat_topic(&topic_prefix);
        let millis = Times::of(since_1970(at)).millis.unwrap_or(i64::MAX);
        let (key, value) = (Notice::HeartbeatKey { topic_prefix }, Notice::Heartbeat { millis });
        self.notice(Notices::Heartbeats, topic, &key, &value)
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
        let learnt = self.learnt(&change.schema)?;
        let parts: &[Part] = match moves(change) {
            true => &[Part::OldKey, Part::NewKey],
            false => &[Part::Whole],
        };
        for part in parts {
            let transaction = if metadata { self.transactions.count(change) } else { None };
            let transaction = transaction.as_ref();
            let telling = Telling { part: *part, processed_at, transaction };
            self.tell_part(&learnt, change, telling, out)?;
        }
        Ok(())
    }

    /// What is known of a table schema. Formats without numbers need not be told of it before.
    fn learnt(&mut self, schema: &Arc<TableSchema>) -> Result<Arc<Learnt>> {
        if let Some(last) = self.last.as_ref().filter(|last| last.is_of(schema)) {
            return Ok(Arc::clone(last));
        }
        let learnt = match self.tables.get(&Arc::as_ptr(schema).addr()) {
            Some(learnt) => Arc::clone(learnt),
            None => {
                let planned = self.plan(schema);
                if !planned.registrations().is_empty() {
                    return Err(not_registered(&schema.table.to_string()));
                }
                Arc::new(planned.accepted(&[], None).1)
            }
        };
        self.last = Some(Arc::clone(&learnt));
        Ok(learnt)
    }

    fn tell_part(
        &mut self,
        learnt: &Learnt,
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
        if !tells && !tombstone {
            return Ok(());
        }
        let (key_side, value_side) = learnt.sides(&change.schema.table)?;
        let plan = self.envelopes.plan(change);
        let mut buffer = std::mem::take(&mut self.buffer);
        let at = (&*plan, change, telling);
        let key = self.key(key_side, at, &mut buffer);
        let value = if tells { self.value(value_side, at, &mut buffer) } else { Ok(None) };
        self.buffer = buffer;
        let (key, value) = (key?, value?);
        let topic = Arc::clone(&plan.topic);
        if tells {
            let mut headers = self.headers(&plan, change, telling, false)?;
            if let Some(mark) = &learnt.mark {
                headers.push(Header { name: Arc::clone(&learnt.mark_name), value: mark.clone() });
                let nulls = self.value == Encoding::Protobuf;
                mark::of_rows(change, telling.part, &plan, nulls, &mut headers);
                mark::of_move(change, telling.part, &mut headers);
            }
            let (topic, key) = (Arc::clone(&topic), key.clone());
            out.push(Record { topic, key, value, headers });
        }
        if tombstone {
            let headers = self.headers(&plan, change, telling, true)?;
            out.push(Record { topic, key, value: None, headers });
        }
        Ok(())
    }

    fn key(
        &self,
        side: Option<&Side>,
        (plan, change, telling): (&Plan, &Change, Telling<'_>),
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Bytes>> {
        let Some(side) = side.filter(|_| change.operation != Operation::Truncate) else {
            return Ok(None);
        };
        let text = plan.texts.as_ref().map(|texts| &*texts.key);
        buffer.clear();
        side.write(buffer, text, KeyOf { plan, change, part: telling.part })?;
        Ok(Some(Bytes::copy_from_slice(buffer)))
    }

    fn value(
        &self,
        side: &Side,
        (plan, change, telling): (&Plan, &Change, Telling<'_>),
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Bytes>> {
        let text = plan.texts.as_ref().map(|texts| &*texts.value);
        let text = text.filter(|_| self.value == Encoding::JsonWithSchemas);
        let envelopes = &self.envelopes;
        buffer.clear();
        if !self.options().cloud_events {
            side.write(buffer, text, ValueOf { envelopes, plan, change, telling })?;
        } else if change.operation == Operation::Message {
            return Ok(None);
        } else {
            cloud_event::write(buffer, envelopes, (plan, change, telling), text)?;
        }
        Ok(Some(Bytes::copy_from_slice(buffer)))
    }

    fn headers(
        &self,
        plan: &Plan,
        change: &Change,
        telling: Telling<'_>,
        is_tombstone: bool,
    ) -> Result<Vec<Header>> {
        // Messages come by another way through Debezium, which sets none.
        if change.operation == Operation::Message {
            return Ok(Vec::new());
        }
        let mut headers = Vec::with_capacity(self.context.len() + 1);
        let other = match telling.part {
            Part::Whole => None,
            Part::OldKey => Some(("__debezium.newkey", Part::NewKey)),
            Part::NewKey => Some(("__debezium.oldkey", Part::OldKey)),
        };
        if let Some((name, part)) = other {
            let mut value = Vec::new();
            let text = plan.texts.as_ref().map(|texts| &*texts.key);
            let text = text.filter(|_| self.options().headers == HeaderForm::Json);
            encoding::json(&mut value, text, KeyOf { plan, change, part })?;
            headers.push(Header { name: name.into(), value: value.into() });
        }
        headers.extend_from_slice(&self.context);
        self.add_headers(change, telling, is_tombstone, &mut headers);
        Ok(headers)
    }

    /// Appends the headers that unwrapping adds to a record, or to a tombstone.
    fn add_headers(
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

    fn boundary(&mut self, notice: &Notice) -> Result<Record> {
        let topic = naming::transaction_topic(&self.envelopes.topic_prefix);
        let id = match notice {
            Notice::Transaction { id, .. } => id.clone(),
            _ => String::new(),
        };
        self.notice(Notices::Transactions, topic, &Notice::TransactionKey { id }, notice)
    }

    fn notice(
        &mut self,
        notices: Notices,
        topic: String,
        key: &Notice,
        value: &Notice,
    ) -> Result<Record> {
        let learnt = match self.notices.get(&notices) {
            Some(learnt) => Arc::clone(learnt),
            None => {
                let planned = self.plan_notices(notices);
                if !planned.registrations().is_empty() {
                    return Err(not_registered(&topic));
                }
                let learnt = Arc::new(planned.accepted(&[], None).1);
                self.notices.insert(notices, Arc::clone(&learnt));
                learnt
            }
        };
        let (key_side, value_side) = learnt.notice_sides(&topic)?;
        let write = |side: &Side, notice: &Notice| -> Result<Bytes> {
            let text = matches!(side, Side::JsonWithSchemas).then(|| printed(&notice.schema()));
            let mut out = Vec::new();
            side.write(&mut out, text.as_deref(), notice)?;
            Ok(out.into())
        };
        let key = key_side.map(|side| write(side, key)).transpose()?;
        let value =
            if self.options().cloud_events { None } else { Some(write(value_side, value)?) };
        Ok(Record { topic: topic.into(), key, value, headers: Vec::new() })
    }

    fn options(&self) -> &Options {
        &self.envelopes.options
    }
}

/// The records of a table or topic were asked for before its schemas had numbers.
fn not_registered(what: &str) -> Error {
    let context = format!("the schemas of {what} were not registered before its first record");
    Error::new("CDC-4243", Origin::Internal, Retry::Backoff, context)
        .with_remedy("this is a fault of cdc itself: please report it with the log around it")
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
