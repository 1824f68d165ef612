//! Keys and envelopes, told to the writer of any format.

use super::error::Problem;
use super::options::{Options, Placeholder};
use super::plan::{Column, Plan, Plans};
use super::unwrap::Unwrapping;
use super::{cloud_event, schemas, source, stand_in, temporal, value};
use crate::connect::{Schema, Writer, label};
use cdc_core::{Change, Error, Operation, Result, Row, TableSchema, Timestamp, Value};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells keys and envelopes to a [`Writer`], part by part, in the order of their schemas.
///
/// Keeps what it knows of each table schema by the schema's address, so that changes that share one
/// `Arc` cost no look at their column names.
#[derive(Debug)]
pub struct Envelopes {
    plans: Plans,
    pub(super) options: Options,
    placeholder: Placeholder,
    pub(super) unwrapping: Option<Unwrapping>,
    pub(super) topic_prefix: String,
    pub(super) database: String,
}

/// What of a change one record tells. A change of the key is told by two records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The row is gone from where its old key was.
    OldKey,
    /// The row has come to where its new key is.
    NewKey,
}

/// A change's place in its transaction, for the envelope's `transaction`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTransaction {
    /// `number:address` of the transaction.
    pub id: String,
    /// The record's number among all of the transaction, from 1.
    pub total_order: u64,
    /// The record's number among those of its table, from 1.
    pub data_collection_order: u64,
}

/// What a record tells beside the change itself.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    /// What of the change.
    pub part: Part,
    /// By the clock of this process: the envelope's `ts_ms`, `ts_us` and `ts_ns`.
    pub processed_at: SystemTime,
    /// Its place in its transaction, where that is told.
    pub transaction: Option<&'a InTransaction>,
}

impl Telling<'_> {
    /// All of a change and nothing else.
    #[must_use]
    pub fn whole(processed_at: SystemTime) -> Self {
        Self { part: Part::Whole, processed_at, transaction: None }
    }
}

impl Envelopes {
    /// `topic_prefix` is the source's name in every envelope, and the first part of its schemas' names.
    #[must_use]
    pub fn new(topic_prefix: &str, options: Options) -> Self {
        Self {
            plans: Plans::default(),
            placeholder: Placeholder::new(&options.placeholder),
            unwrapping: options.unwrap.as_ref().map(Unwrapping::new),
            options,
            topic_prefix: topic_prefix.to_owned(),
            database: String::new(),
        }
    }

    /// Sets the database's name in `source.db`, which is empty otherwise.
    #[must_use]
    pub fn with_database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    /// The schema of a table's keys; `None` for a table without one.
    #[must_use]
    pub fn key_schema(&self, table: &TableSchema) -> Option<Schema> {
        schemas::key(table, &self.topic_prefix, &self.options)
    }

    /// The schema of a table's values: envelopes, or rows alone where these were chosen.
    #[must_use]
    pub fn value_schema(&self, table: &TableSchema) -> Schema {
        value_schema(table, &self.topic_prefix, &self.options)
    }

    /// Tells the change's key. Says `false` and tells nothing for a table without a key and for a
    /// truncate. After an error the writer holds a part of it.
    ///
    /// # Errors
    /// When a value of the key has no form in its schema, or the database did not log it.
    pub fn write_key<W: Writer>(
        &mut self,
        change: &Change,
        part: Part,
        out: &mut W,
    ) -> Result<bool> {
        if !change.schema.has_key() || change.operation == Operation::Truncate {
            return Ok(false);
        }
        let plan = self.plan(change);
        write_key(out, &plan, change, part)?;
        Ok(true)
    }

    /// Tells the change's envelope. After an error the writer holds a part of it.
    ///
    /// # Errors
    /// When a value has no form in its schema, or a row does not fit its schema.
    pub fn write_value<W: Writer>(
        &mut self,
        change: &Change,
        telling: Telling<'_>,
        out: &mut W,
    ) -> Result<()> {
        let plan = self.plan(change);
        self.write_planned(&plan, change, telling, out)
    }

    /// As [`write_value`](Self::write_value), by a plan that is at hand.
    pub(super) fn write_planned<W: Writer>(
        &self,
        plan: &Plan,
        change: &Change,
        telling: Telling<'_>,
        out: &mut W,
    ) -> Result<()> {
        if change.operation == Operation::Message {
            return self.write_message(out, plan, change, telling);
        }
        if let Some(unwrapping) = &self.unwrapping {
            return unwrapping.write(out, self, (plan, change, telling));
        }
        let (before, after) = images(change, telling.part);
        out.begin_struct();
        out.field(label!("before"));
        self.write_row(out, plan, change, before, Image::Before)?;
        out.field(label!("after"));
        self.write_row(out, plan, change, after, Image::After)?;
        out.field(label!("source"));
        source::write(out, self, change);
        out.field(label!("transaction"));
        write_transaction(out, telling.transaction);
        out.field(label!("op"));
        out.string(operation_code(change.operation, telling.part));
        let times = Times::of(since_1970(telling.processed_at));
        times.write_millis(out);
        times.write_finer(out);
        out.end_struct();
        Ok(())
    }

    /// A message has no row images, and its time in milliseconds only.
    fn write_message<W: Writer>(
        &self,
        out: &mut W,
        plan: &Plan,
        change: &Change,
        telling: Telling<'_>,
    ) -> Result<()> {
        out.begin_struct();
        out.field(label!("op"));
        out.string("m");
        Times::of(since_1970(telling.processed_at)).write_millis(out);
        out.field(label!("source"));
        source::write(out, self, change);
        out.field(label!("transaction"));
        write_transaction(out, telling.transaction);
        out.field(label!("message"));
        self.write_row(out, plan, change, change.after.as_ref(), Image::After)?;
        out.end_struct();
        Ok(())
    }

    pub(super) fn plan(&mut self, change: &Change) -> Arc<Plan> {
        self.plans.of(&change.schema, &self.topic_prefix, &self.options)
    }

    /// Tells one image of the row, or null.
    pub(super) fn write_row<W: Writer>(
        &self,
        out: &mut W,
        plan: &Plan,
        change: &Change,
        row: Option<&Row>,
        image: Image,
    ) -> Result<()> {
        let Some(row) = row else {
            out.null();
            return Ok(());
        };
        out.begin_struct();
        self.write_fields(out, plan, change, row, image)?;
        out.end_struct();
        Ok(())
    }

    /// Tells the fields of one image of the row.
    pub(super) fn write_fields<W: Writer>(
        &self,
        out: &mut W,
        plan: &Plan,
        change: &Change,
        row: &Row,
        image: Image,
    ) -> Result<()> {
        if row.len() != plan.columns.len() {
            let problem = Problem::Shape("the row has another number of values than its schema");
            return Err(at_column(problem, &change.schema, row.len().min(plan.columns.len())));
        }
        for (index, (column, value)) in plan.columns.iter().zip(row).enumerate() {
            out.field(&column.label);
            self.write_column(out, column, value, (change, index, image))
                .map_err(|problem| at_column(problem, &change.schema, index))?;
        }
        Ok(())
    }

    fn write_column<W: Writer>(
        &self,
        out: &mut W,
        column: &Column,
        value: &Value,
        (change, index, image): (&Change, usize, Image),
    ) -> Result<(), Problem> {
        match (value, image) {
            (Value::Unchanged, Image::After) => match kept(change, index) {
                Some(value) => value::write(out, value, &column.form),
                None => {
                    stand_in::placeholder(out, &column.form, &self.placeholder);
                    Ok(())
                }
            },
            (Value::Unchanged, Image::Before) => {
                let unlogged = self.options.unlogged;
                stand_in::unlogged(out, column, unlogged);
                Ok(())
            }
            (Value::Null, _) if column.required && out.is_typed() => {
                Err(Problem::Shape("null in a column that may not be null"))
            }
            _ => value::write(out, value, &column.form),
        }
    }
}

/// The schema of a table's values.
pub(super) fn value_schema(table: &TableSchema, topic_prefix: &str, options: &Options) -> Schema {
    let row = || schemas::row(table, topic_prefix, options);
    match &options.unwrap {
        _ if table.table.is_messages() => schemas::value(table, topic_prefix, options),
        _ if options.cloud_events => cloud_event::data_schema(row(), table),
        Some(unwrap) => unwrap.schema(row(), table),
        None => schemas::value(table, topic_prefix, options),
    }
}

/// Which image of the row is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Image {
    Before,
    After,
}

/// The images of the row that a part of a change tells.
pub(super) fn images(change: &Change, part: Part) -> (Option<&Row>, Option<&Row>) {
    let (before, after) = (change.before.as_ref(), change.after.as_ref());
    match part {
        Part::Whole => (before, after),
        Part::OldKey => (before, None),
        Part::NewKey => (None, after),
    }
}

/// The letter of a part of a change.
pub(super) const fn operation_code(operation: Operation, part: Part) -> &'static str {
    match (operation, part) {
        (_, Part::OldKey) => "d",
        (_, Part::NewKey) => "c",
        (Operation::Snapshot, Part::Whole) => "r",
        (Operation::Insert, Part::Whole) => "c",
        (Operation::Update, Part::Whole) => "u",
        (Operation::Delete, Part::Whole) => "d",
        (Operation::Truncate, Part::Whole) => "t",
        (Operation::Message, Part::Whole) => "m",
    }
}

fn write_transaction<W: Writer>(out: &mut W, transaction: Option<&InTransaction>) {
    let Some(transaction) = transaction else { return out.null() };
    out.begin_struct();
    out.field(label!("id"));
    out.string(&transaction.id);
    out.field(label!("total_order"));
    out.integer(transaction.total_order.cast_signed());
    out.field(label!("data_collection_order"));
    out.integer(transaction.data_collection_order.cast_signed());
    out.end_struct();
}

/// One instant in three units; `None` where the unit's 64 bits do not reach.
pub(super) struct Times {
    pub(super) millis: Option<i64>,
    pub(super) micros: Option<i64>,
    pub(super) nanos: Option<i64>,
}

impl Times {
    pub(super) fn of(at: Timestamp) -> Self {
        Self {
            millis: temporal::since_epoch(at, 1_000),
            micros: temporal::since_epoch(at, 1_000_000),
            nanos: temporal::since_epoch(at, 1_000_000_000),
        }
    }

    pub(super) fn write_millis<W: Writer>(&self, out: &mut W) {
        out.field(label!("ts_ms"));
        or_null(out, self.millis);
    }

    pub(super) fn write_finer<W: Writer>(&self, out: &mut W) {
        out.field(label!("ts_us"));
        or_null(out, self.micros);
        out.field(label!("ts_ns"));
        or_null(out, self.nanos);
    }
}

/// Writes a number, or null.
pub(super) fn or_null<W: Writer>(out: &mut W, number: Option<i64>) {
    match number {
        Some(number) => out.integer(number),
        None => out.null(),
    }
}

/// Clocks before 1970 count as 1970.
pub(super) fn since_1970(at: SystemTime) -> Timestamp {
    let elapsed = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
    Timestamp { seconds, nanos: elapsed.subsec_nanos() }
}

/// Tells the key of a part of a change, by a plan that is at hand.
pub(super) fn write_key<W: Writer>(
    out: &mut W,
    plan: &Plan,
    change: &Change,
    part: Part,
) -> Result<()> {
    out.begin_struct();
    for index in change.schema.key.iter().map(|index| usize::from(*index)) {
        let (column, value) = plan
            .columns
            .get(index)
            .zip(logged(change, part, index))
            .ok_or_else(|| at_column(Problem::MissingKey, &change.schema, index))?;
        out.field(&column.label);
        value::write(out, value, &column.form)
            .map_err(|problem| at_column(problem, &change.schema, index))?;
    }
    out.end_struct();
    Ok(())
}

/// The value that a column has after the change, or had before where nothing remains.
fn logged(change: &Change, part: Part, index: usize) -> Option<&Value> {
    let rows = match part {
        Part::Whole | Part::NewKey => [&change.after, &change.before],
        Part::OldKey => [&change.before, &None],
    };
    rows.into_iter()
        .filter_map(|row| row.as_ref()?.get(index))
        .find(|value| **value != Value::Unchanged)
}

/// The value that a column kept, where the database logged it before the change.
pub(super) fn kept(change: &Change, index: usize) -> Option<&Value> {
    change.before.as_ref()?.get(index).filter(|value| **value != Value::Unchanged)
}

fn at_column(problem: Problem, schema: &TableSchema, index: usize) -> Error {
    let name = schema.columns.get(index).map_or("?", |column| column.name.as_str());
    problem.at(&schema.table, name)
}
