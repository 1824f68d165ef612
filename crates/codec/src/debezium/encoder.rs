//! Keys and envelopes.

use super::error::Problem;
use super::plan::{Column, Plan, Plans};
use super::{json, temporal, value};
use cdc_core::{Change, Error, Operation, Result, Row, TableSchema, Timestamp, Value};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes changes as Debezium JSON without schemas.
///
/// Keeps what it knows of each table schema by the schema's address, so that changes that share one
/// `Arc` cost no look at their column names.
#[derive(Debug)]
pub struct Encoder {
    plans: Plans,
    /// `"name":"…","ts_ms":`
    name: Vec<u8>,
    /// `,"db":"…","sequence":`
    database: Vec<u8>,
}

/// Which image of the row is written.
#[derive(Clone, Copy)]
enum Image {
    Before,
    After,
}

impl Encoder {
    /// Makes an encoder; `topic_prefix` is the source's name in every envelope.
    #[must_use]
    pub fn new(topic_prefix: &str) -> Self {
        let mut name = b"\"name\":".to_vec();
        json::string(&mut name, topic_prefix);
        name.extend_from_slice(b",\"ts_ms\":");
        Self { plans: Plans::default(), name, database: Vec::new() }.with_database("")
    }

    /// Sets the database's name in `source.db`, which is empty otherwise.
    #[must_use]
    pub fn with_database(mut self, database: &str) -> Self {
        self.database = b",\"db\":".to_vec();
        json::string(&mut self.database, database);
        self.database.extend_from_slice(b",\"sequence\":");
        self
    }

    /// Appends the change's key, `{"id":1}`. Says `false` and appends nothing for a table without a
    /// key and for a truncate. After an error `out` is as it was.
    ///
    /// # Errors
    /// When a value of the key has no JSON form, or the database did not log it.
    pub fn key(&mut self, change: &Change, out: &mut Vec<u8>) -> Result<bool> {
        if !change.schema.has_key() || change.operation == Operation::Truncate {
            return Ok(false);
        }
        let plan = self.plan(change)?;
        restoring(out, |out| write_key(out, &plan, change))?;
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
        let plan = self.plan(change)?;
        if change.operation == Operation::Message {
            return restoring(out, |out| self.write_message(out, &plan, change, processed_at));
        }
        restoring(out, |out| {
            out.extend_from_slice(b"{\"before\":");
            write_row(out, &plan, change, Image::Before)?;
            out.extend_from_slice(b",\"after\":");
            write_row(out, &plan, change, Image::After)?;
            out.extend_from_slice(b",\"source\":");
            self.write_source(out, &plan, change);
            out.extend_from_slice(b",\"op\":\"");
            out.push(operation_code(change.operation));
            out.extend_from_slice(b"\",\"ts_ms\":");
            let times = Times::of(since_1970(processed_at));
            times.write_millis(out);
            times.write_finer(out);
            out.extend_from_slice(b",\"transaction\":null}");
            Ok(())
        })
    }

    /// A message has no row images, and its time in milliseconds only.
    fn write_message(
        &self,
        out: &mut Vec<u8>,
        plan: &Plan,
        change: &Change,
        processed_at: SystemTime,
    ) -> Result<()> {
        out.extend_from_slice(b"{\"op\":\"m\",\"ts_ms\":");
        Times::of(since_1970(processed_at)).write_millis(out);
        out.extend_from_slice(b",\"source\":");
        self.write_source(out, plan, change);
        out.extend_from_slice(b",\"transaction\":null,\"message\":");
        write_row(out, plan, change, Image::After)?;
        out.push(b'}');
        Ok(())
    }

    fn plan(&mut self, change: &Change) -> Result<Arc<Plan>> {
        self.plans
            .of(&change.schema)
            .map_err(|(index, problem)| at_column(problem, &change.schema, index))
    }

    fn write_source(&self, out: &mut Vec<u8>, plan: &Plan, change: &Change) {
        out.extend_from_slice(
            concat!("{\"version\":\"", env!("CARGO_PKG_VERSION"), "\",\"connector\":").as_bytes(),
        );
        json::string(out, connector(&change.schema.dialect));
        out.push(b',');
        out.extend_from_slice(&self.name);
        let times = Times::of(change.transaction.commit_time);
        times.write_millis(out);
        out.extend_from_slice(b",\"snapshot\":\"");
        out.extend_from_slice(snapshot_marker(change).as_bytes());
        out.push(b'"');
        out.extend_from_slice(&self.database);
        write_sequence(out, change);
        times.write_finer(out);
        out.push(b',');
        if change.operation == Operation::Message {
            out.extend_from_slice(b"\"schema\":\"\",\"table\":\"\"");
        } else {
            out.extend_from_slice(&plan.source);
        }
        out.extend_from_slice(b",\"txId\":");
        match is_outside(change) {
            true => out.extend_from_slice(b"null"),
            false => json::unsigned(out, change.transaction.id),
        }
        out.extend_from_slice(b",\"lsn\":");
        json::integer(out, change.log_address.cast_signed());
        out.extend_from_slice(b",\"xmin\":null}");
    }
}

fn connector(dialect: &str) -> &str {
    match dialect {
        "postgres" => "postgresql",
        other => other,
    }
}

const fn operation_code(operation: Operation) -> u8 {
    match operation {
        Operation::Snapshot => b'r',
        Operation::Insert => b'c',
        Operation::Update => b'u',
        Operation::Delete => b'd',
        Operation::Truncate => b't',
        Operation::Message => b'm',
    }
}

fn snapshot_marker(change: &Change) -> &'static str {
    match (change.operation, change.ends_transaction) {
        (Operation::Snapshot, true) => "last_in_data_collection",
        (Operation::Snapshot, false) => "true",
        _ => "false",
    }
}

/// Is it a message that belongs to no transaction?
fn is_outside(change: &Change) -> bool {
    change.operation == Operation::Message && change.transaction.id == 0
}

/// The text of a JSON array of two: the commit's address and the change's own.
fn write_sequence(out: &mut Vec<u8>, change: &Change) {
    if change.operation == Operation::Snapshot || is_outside(change) {
        out.extend_from_slice(b"\"[null,");
    } else {
        json::token(out, format_args!("\"[\\\"{}\\\",", change.position.commit));
    }
    json::token(out, format_args!("\\\"{}\\\"]\"", change.log_address));
}

/// One instant in three units; `None` where the unit's 64 bits do not reach.
struct Times {
    millis: Option<i64>,
    micros: Option<i64>,
    nanos: Option<i64>,
}

impl Times {
    fn of(at: Timestamp) -> Self {
        Self {
            millis: temporal::since_epoch(at, 1_000),
            micros: temporal::since_epoch(at, 1_000_000),
            nanos: temporal::since_epoch(at, 1_000_000_000),
        }
    }

    fn write_millis(&self, out: &mut Vec<u8>) {
        or_null(out, self.millis);
    }

    fn write_finer(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"ts_us\":");
        or_null(out, self.micros);
        out.extend_from_slice(b",\"ts_ns\":");
        or_null(out, self.nanos);
    }
}

fn or_null(out: &mut Vec<u8>, number: Option<i64>) {
    match number {
        Some(number) => json::integer(out, number),
        None => out.extend_from_slice(b"null"),
    }
}

/// Clocks before 1970 count as 1970.
fn since_1970(at: SystemTime) -> Timestamp {
    let elapsed = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
    Timestamp { seconds, nanos: elapsed.subsec_nanos() }
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

fn write_key(out: &mut Vec<u8>, plan: &Plan, change: &Change) -> Result<()> {
    let mut separator = b'{';
    for index in change.schema.key.iter().map(|index| usize::from(*index)) {
        let (column, value) = plan
            .columns
            .get(index)
            .zip(logged(change, index))
            .ok_or_else(|| at_column(Problem::MissingKey, &change.schema, index))?;
        out.push(separator);
        separator = b',';
        write_field(out, column, value)
            .map_err(|problem| at_column(problem, &change.schema, index))?;
    }
    out.push(b'}');
    Ok(())
}

/// The value that a column has after the change, or had before where nothing remains.
fn logged(change: &Change, index: usize) -> Option<&Value> {
    [&change.after, &change.before]
        .into_iter()
        .filter_map(|row| row.as_ref()?.get(index))
        .find(|value| **value != Value::Unchanged)
}

fn write_row(out: &mut Vec<u8>, plan: &Plan, change: &Change, image: Image) -> Result<()> {
    let (row, other) = match image {
        Image::Before => (&change.before, &None),
        Image::After => (&change.after, &change.before),
    };
    let Some(row) = row else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    if row.len() != plan.columns.len() {
        let problem = Problem::Shape("the row has another number of values than its schema");
        return Err(at_column(problem, &change.schema, row.len().min(plan.columns.len())));
    }
    out.push(b'{');
    for (index, (column, value)) in plan.columns.iter().zip(row).enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match (value, image) {
            (Value::Unchanged, Image::After) => write_unchanged(out, column, kept(other, index)),
            _ => write_field(out, column, value),
        }
        .map_err(|problem| at_column(problem, &change.schema, index))?;
    }
    out.push(b'}');
    Ok(())
}

/// The value that a column kept, where the database logged it before the change.
fn kept(before: &Option<Row>, index: usize) -> Option<&Value> {
    before.as_ref()?.get(index).filter(|value| **value != Value::Unchanged)
}

fn write_unchanged(
    out: &mut Vec<u8>,
    column: &Column,
    kept: Option<&Value>,
) -> Result<(), Problem> {
    match kept {
        Some(value) => write_field(out, column, value),
        None => {
            out.extend_from_slice(&column.label);
            out.extend_from_slice(&column.placeholder);
            Ok(())
        }
    }
}

fn write_field(out: &mut Vec<u8>, column: &Column, value: &Value) -> Result<(), Problem> {
    out.extend_from_slice(&column.label);
    value::write(out, value, &column.form)
}

fn at_column(problem: Problem, schema: &TableSchema, index: usize) -> Error {
    let name = schema.columns.get(index).map_or("?", |column| column.name.as_str());
    problem.at(&schema.table, name)
}
