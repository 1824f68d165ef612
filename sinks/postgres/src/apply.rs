//! Sending the changes of a table, many statements in flight at once.
//!
//! ```text
//! segment ─▶ statement + one array per column ─▶ sent at once ─▶ answers awaited in order
//! ```
//! Nothing waits for an answer before the next statement is sent, so a write costs one round trip
//! and not one for each statement. What is sent and not yet answered is bounded by bytes.

use crate::{
    coalesce::{Effect, Image, Match, Net, Pair, Segment},
    connection::Connection,
    encode::{self, ColumnArray, Unfit},
    error,
    layout::{CopyForm, Layout},
    sql::{self, Input, Kind, Present, Side},
};
use bytes::{BufMut, Bytes, BytesMut};
use cdc_core::{Error, Retry, TableId, Value};
use futures::{FutureExt, SinkExt, future::BoxFuture};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use tokio_postgres::{
    Statement,
    types::{Format, IsNull, ToSql, Type, to_sql_checked},
};

/// Most rows that one statement carries, however small they are: the server works on one while the
/// next is encoded.
const STATEMENT_ROWS_MAX: usize = 1_000;
/// Statements kept for one table; tables with very many patterns of unchanged columns start over.
const STATEMENTS_MAX: usize = 64;
/// From so many rows on a COPY pays for its two more round trips.
const COPY_ROWS_MIN: usize = 64;
const COPY_CHUNK_BYTES: usize = 256 * 1024;
const COPY_SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_END: i16 = -1;

/// What went wrong, and for which table where that can be told.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Box<Error>,
    pub(crate) table: Option<TableId>,
}

impl Failure {
    /// Would leaving out a change of the named table let the rest through?
    pub(crate) fn is_refusal(&self) -> bool {
        self.table.is_some() && self.error.retry == Retry::Never
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error: Box::new(error), table: None }
    }
}

/// A replica table and the statements that write it.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) layout: Arc<Layout>,
    /// Does it hold nothing but rows of the snapshot that is being read?
    pub(crate) fresh: bool,
    statements: BTreeMap<Kind, Arc<Prepared>>,
    copy: Option<Statement>,
}

#[derive(Debug)]
struct Prepared {
    statement: Statement,
    inputs: Vec<Input>,
}

impl Table {
    pub(crate) fn new(layout: Layout, fresh: bool) -> Self {
        Self { layout: Arc::new(layout), fresh, statements: BTreeMap::new(), copy: None }
    }
}

/// How many rows a statement must touch.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Any,
    Rows(u64),
}

struct Answer<'c> {
    future: BoxFuture<'c, Result<u64, tokio_postgres::Error>>,
    expect: Expect,
    layout: Option<Arc<Layout>>,
    bytes: usize,
}

/// Statements that were sent and not yet answered.
pub(crate) struct InFlight<'c> {
    connection: &'c Connection,
    answers: VecDeque<Answer<'c>>,
    bytes: usize,
    bytes_max: usize,
    statement_bytes_max: usize,
    statement_rows_max: usize,
    may_copy: bool,
}

/// Smallest and largest size that is aimed at for one statement's parameters.
const STATEMENT_BYTES: std::ops::RangeInclusive<usize> = 64 * 1024..=4 * 1024 * 1024;

impl<'c> InFlight<'c> {
    /// `memory_bytes` bounds what is held here, but for a single row that is larger.
    pub(crate) fn new(connection: &'c Connection, memory_bytes: usize) -> Self {
        let statement_bytes_max =
            (memory_bytes / 8).clamp(*STATEMENT_BYTES.start(), *STATEMENT_BYTES.end());
        Self {
            connection,
            answers: VecDeque::new(),
            bytes: 0,
            bytes_max: memory_bytes / 2,
            statement_bytes_max,
            statement_rows_max: STATEMENT_ROWS_MAX,
            may_copy: true,
        }
    }

    /// Puts at most so many rows into one statement.
    pub(crate) fn of_rows(mut self, rows: usize) -> Self {
        self.statement_rows_max = rows.clamp(1, STATEMENT_ROWS_MAX);
        self
    }

    /// Writes by INSERT only.
    pub(crate) fn without_copy(mut self) -> Self {
        self.may_copy = false;
        self
    }

    /// Sends statements without parameters.
    pub(crate) async fn simple(&mut self, sql: &'static str) -> Result<(), Failure> {
        let client = self.connection.client();
        let future = async move { client.batch_execute(sql).await.map(|()| 0) }.boxed();
        self.send(Answer { future, expect: Expect::Any, layout: None, bytes: sql.len() }).await
    }

    /// Waits until everything was answered.
    pub(crate) async fn finish(&mut self) -> Result<(), Failure> {
        while let Some(answer) = self.answers.pop_front() {
            self.bytes = self.bytes.saturating_sub(answer.bytes);
            Self::take(self.connection, answer).await?;
        }
        Ok(())
    }

    async fn send(&mut self, mut answer: Answer<'c>) -> Result<(), Failure> {
        while self.bytes + answer.bytes > self.bytes_max {
            let Some(oldest) = self.answers.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes);
            Self::take(self.connection, oldest).await?;
        }
        // The first poll is what sends; answers come back in the order of sending.
        match futures::poll!(&mut answer.future) {
            std::task::Poll::Ready(outcome) => {
                answer.future = std::future::ready(outcome).boxed();
                self.finish().await?;
                Self::take(self.connection, answer).await
            }
            std::task::Poll::Pending => {
                self.bytes += answer.bytes;
                self.answers.push_back(answer);
                Ok(())
            }
        }
    }

    async fn take(connection: &Connection, answer: Answer<'c>) -> Result<(), Failure> {
        let doing = match &answer.layout {
            Some(layout) => format!("writing to {}", layout.target),
            None => String::from("writing"),
        };
        let table = answer.layout.as_ref().map(|layout| layout.source.clone());
        match connection.bounded(&doing, answer.future).await {
            Err(error) => Err(Failure { error: Box::new(error), table }),
            Ok(rows) => match (answer.expect, answer.layout) {
                (Expect::Rows(expected), Some(layout)) if rows != expected => {
                    let error = Box::new(error::row_missing(&layout.source));
                    Err(Failure { error, table })
                }
                _ => Ok(()),
            },
        }
    }

    /// The error of an earlier statement explains that of a later one.
    async fn first_of(&mut self, later: Failure) -> Failure {
        self.finish().await.err().unwrap_or(later)
    }

    /// Sends the segments of one table, in order.
    pub(crate) async fn apply(
        &mut self,
        table: &mut Table,
        segments: Vec<Segment<'_>>,
    ) -> Result<(), Failure> {
        for segment in segments {
            match segment {
                Segment::Truncate => self.truncate(table).await?,
                Segment::Append(rows) => self.append(table, &rows).await?,
                Segment::Net(net) => self.net(table, net).await?,
                Segment::Moves(moves) => {
                    for Pair { old, new } in &moves {
                        let kind = Kind::Move(present(new));
                        let sides = Sides { old: Some(old), new: Some(new) };
                        self.many(table, kind, &[sides], true).await?;
                    }
                }
                Segment::Matches(matches) => {
                    for change in &matches {
                        let (kind, sides) = match change {
                            Match::Delete(old) => {
                                (Kind::MatchDelete, Sides { old: Some(old), new: None })
                            }
                            Match::Update(Pair { old, new }) => {
                                let sides = Sides { old: Some(old), new: Some(new) };
                                (Kind::MatchUpdate(present(new)), sides)
                            }
                        };
                        self.many(table, kind, &[sides], true).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn truncate(&mut self, table: &Table) -> Result<(), Failure> {
        let sql = format!("TRUNCATE TABLE {}", sql::qualified(&table.layout.target));
        let client = self.connection.client();
        let bytes = sql.len();
        let future = async move { client.batch_execute(&sql).await.map(|()| 0) }.boxed();
        let layout = Some(Arc::clone(&table.layout));
        self.send(Answer { future, expect: Expect::Any, layout, bytes }).await
    }

    async fn append(&mut self, table: &mut Table, rows: &[Image<'_>]) -> Result<(), Failure> {
        if self.may_copy && rows.len() >= COPY_ROWS_MIN && table.layout.copies() {
            return self.copy(table, rows).await;
        }
        let kind = if table.layout.has_key() { Kind::Upsert } else { Kind::Append };
        self.many(table, kind, &new_sides(rows), false).await
    }

    async fn net(&mut self, table: &mut Table, net: Net<'_>) -> Result<(), Failure> {
        let (mut deletes, mut upserts) = (Vec::new(), Vec::new());
        let mut patches: BTreeMap<Present, Vec<Image<'_>>> = BTreeMap::new();
        for effect in net.into_values() {
            match effect {
                Effect::Delete(row) => deletes.push(row),
                Effect::Upsert(row) => upserts.push(row),
                Effect::Patch(row) => patches.entry(present(&row)).or_default().push(row),
            }
        }
        // Deletes come first: two keys that differ here may be equal to the server.
        self.many(table, Kind::Delete, &old_sides(&deletes), false).await?;
        for (present, rows) in patches {
            let is_key = |column| table.layout.is_key(column);
            if !present.iter().enumerate().any(|(column, present)| *present && !is_key(column)) {
                continue;
            }
            self.many(table, Kind::Patch(present), &new_sides(&rows), true).await?;
        }
        self.many(table, Kind::Upsert, &new_sides(&upserts), false).await
    }

    /// Sends rows by as few statements as the limits allow. `exact` asks for a match of each row.
    async fn many(
        &mut self,
        table: &mut Table,
        kind: Kind,
        rows: &[Sides<'_>],
        exact: bool,
    ) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let prepared = self.prepared(table, kind).await?;
        let mut rows = rows.iter();
        while rows.len() > 0 {
            let mut arrays: Vec<_> =
                prepared.inputs.iter().map(|input| ColumnArray::new(input.wire)).collect();
            let (mut count, mut bytes) = (0, 0);
            while count < self.statement_rows_max && bytes < self.statement_bytes_max {
                let Some(sides) = rows.next() else { break };
                fill(&table.layout, &prepared.inputs, &mut arrays, *sides)?;
                count += 1;
                bytes = arrays.iter().map(ColumnArray::len).sum();
            }
            let client = self.connection.client();
            let statement = prepared.statement.clone();
            let parameters: Vec<_> =
                arrays.into_iter().map(|array| Encoded(array.finish())).collect();
            let future =
                async move { client.execute_raw(&statement, parameters.iter()).await }.boxed();
            let expected = if exact { Expect::Rows(count as u64) } else { Expect::Any };
            let layout = Some(Arc::clone(&table.layout));
            self.send(Answer { future, expect: expected, layout, bytes }).await?;
        }
        Ok(())
    }

    async fn prepared(&mut self, table: &mut Table, kind: Kind) -> Result<Arc<Prepared>, Failure> {
        if let Some(prepared) = table.statements.get(&kind) {
            return Ok(Arc::clone(prepared));
        }
        let built = sql::build(&table.layout, &kind);
        let types: Vec<Type> = built.inputs.iter().map(|input| input.wire.array_type()).collect();
        let statement = self.prepare(&table.layout, &built.sql, &types).await?;
        if table.statements.len() >= STATEMENTS_MAX {
            table.statements.clear();
        }
        let prepared = Arc::new(Prepared { statement, inputs: built.inputs });
        table.statements.insert(kind, Arc::clone(&prepared));
        Ok(prepared)
    }

    async fn prepare(
        &mut self,
        layout: &Layout,
        sql: &str,
        types: &[Type],
    ) -> Result<Statement, Failure> {
        let doing = format!("preparing to write to {}", layout.target);
        let statement = self.connection.client().prepare_typed(sql, types);
        match self.connection.bounded(&doing, statement.boxed()).await {
            Ok(statement) => Ok(statement),
            Err(error) => {
                let error = Box::new(error);
                let later = Failure { error, table: Some(layout.source.clone()) };
                Err(self.first_of(later).await)
            }
        }
    }

    /// Sends rows by one binary COPY.
    async fn copy(&mut self, table: &mut Table, rows: &[Image<'_>]) -> Result<(), Failure> {
        self.finish().await?;
        let layout = Arc::clone(&table.layout);
        let statement = match &table.copy {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.prepare(&layout, &sql::copy(&layout), &[]).await?;
                table.copy.insert(statement).clone()
            }
        };
        let doing = format!("copying to {}", layout.target);
        let fail = |error| Failure { error: Box::new(error), table: Some(layout.source.clone()) };
        let sink = self.connection.client().copy_in::<_, Bytes>(&statement).boxed();
        let mut sink = Box::pin(self.connection.bounded(&doing, sink).await.map_err(fail)?);
        let mut buffer = BytesMut::with_capacity(COPY_CHUNK_BYTES + COPY_CHUNK_BYTES / 4);
        buffer.put_slice(COPY_SIGNATURE);
        for row in rows {
            put_tuple(&layout, row, &mut buffer)?;
            if buffer.len() >= COPY_CHUNK_BYTES {
                let fed = sink.feed(buffer.split().freeze());
                self.connection.bounded(&doing, fed).await.map_err(fail)?;
            }
        }
        buffer.put_i16(COPY_END);
        let fed = sink.feed(buffer.freeze());
        self.connection.bounded(&doing, fed).await.map_err(fail)?;
        self.connection.bounded(&doing, sink.as_mut().finish()).await.map_err(fail)?;
        Ok(())
    }
}

/// What a statement needs to know of one row.
#[derive(Clone, Copy)]
struct Sides<'r> {
    old: Option<&'r [Value]>,
    new: Option<&'r [Value]>,
}

fn new_sides<'r>(rows: &'r [Image<'_>]) -> Vec<Sides<'r>> {
    rows.iter().map(|row| Sides { old: None, new: Some(row) }).collect()
}

fn old_sides<'r>(rows: &'r [Image<'_>]) -> Vec<Sides<'r>> {
    rows.iter().map(|row| Sides { old: Some(row), new: None }).collect()
}

/// Which columns of a row are known.
fn present(row: &[Value]) -> Present {
    row.iter().map(|value| *value != Value::Unchanged).collect()
}

fn unfit(layout: &Layout, column: usize) -> Failure {
    let (name, declared) = layout
        .columns
        .get(column)
        .map_or(("?", "?"), |column| (column.name.as_str(), column.declared.as_str()));
    let error = Box::new(error::unfit(&layout.target, name, declared));
    Failure { error, table: Some(layout.source.clone()) }
}

/// Appends one row to the arrays of a statement.
fn fill(
    layout: &Layout,
    inputs: &[Input],
    arrays: &mut [ColumnArray],
    sides: Sides<'_>,
) -> Result<(), Failure> {
    for (input, array) in inputs.iter().zip(arrays) {
        let row = match input.side {
            Side::Old => sides.old,
            Side::New => sides.new,
        };
        let value = row.and_then(|row| row.get(input.column)).ok_or(Unfit);
        let pushed = value.and_then(|value| array.push(value));
        pushed.map_err(|Unfit| unfit(layout, input.column))?;
    }
    Ok(())
}

fn put_tuple(layout: &Layout, row: &[Value], out: &mut BytesMut) -> Result<(), Failure> {
    let count = i16::try_from(layout.columns.len()).map_err(|_| unfit(layout, 0))?;
    out.put_i16(count);
    for (at, (column, value)) in layout.columns.iter().zip(row).enumerate() {
        let put = match column.copy {
            Some(CopyForm::Scalar(wire)) => encode::field(wire, value, out),
            Some(CopyForm::Array(wire)) => encode::array_field(wire, value, out),
            None => Err(Unfit),
        };
        put.map_err(|Unfit| unfit(layout, at))?;
    }
    Ok(())
}

/// A parameter whose bytes are ready.
#[derive(Debug)]
struct Encoded(BytesMut);

impl ToSql for Encoded {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    to_sql_checked!();
}
