//! A session that reads one chunk after the other, each in a short transaction of its own.

use super::{
    chunk::Chunk,
    progress::File,
    schedule::{What, Work},
    shared::Shared,
    table::{self, TablePlan},
    tid::Range,
    visibility::Visibility,
};
use crate::{
    config::Config,
    connection::{Mode, RawConnection},
    error::{self, ServerError},
    protocol::Malformed,
    quote,
    snapshot::{Tuples, failure},
};
use bytes::Bytes;
use cdc_core::{Error, Result, Retry, Row, TableId, Value};
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Prefix of the messages by which a chunk finds its place in the stream.
pub(crate) const WATERMARK: &str = "cdc.watermark";

/// So many bytes of a table's files are read at a time …
const CHUNK_BYTES: u64 = 4 * 1024 * 1024;
/// … and a chunk whose rows are larger than this is read in smaller parts.
const CHUNK_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Blocks of a table whose files cannot be told apart.
const ALL_BLOCKS: u64 = u32::MAX as u64;
/// Waiting for the lock on a table ends after this; the table is tried again later.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Any statement but a COPY is answered within this time.
const STATEMENT_MAX: Duration = Duration::from_secs(60);
/// A COPY that sends nothing for so long hangs. A row filter may pass over many rows.
const SILENCE_MAX: Duration = Duration::from_secs(30 * 60);
/// First and longest wait before a lost session is opened anew.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Reads until nothing is left to read.
pub(crate) struct Reader {
    pub(crate) config: Arc<Config>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) connection: Option<RawConnection>,
}

/// What came of a piece of work.
enum Outcome {
    /// Its rows wait for their place in the stream.
    Sent,
    /// Its table has another name now, or is no longer there.
    Renamed(Option<TableId>),
    /// Its rows lie in another file now.
    Moved,
    /// It is more than is read at a time.
    TooLarge,
}

impl Reader {
    pub(crate) async fn run(mut self) {
        let mut wait = RECONNECT.0;
        while let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await {
            let Some(work) = self.shared.next().await else { return };
            let announced = self.shared.announced(work.oid);
            match self.read(&work, announced, permit).await {
                Ok(outcome) => {
                    wait = RECONNECT.0;
                    self.settle(&work, outcome);
                }
                Err(error) => {
                    // A failed statement leaves an open transaction, a lost session nothing at all.
                    self.connection = None;
                    if is_about_table(&error) {
                        tracing::warn!(table = %work.table, error = %error.chain(), "the table cannot be read now");
                        self.shared.fail(work.number, error.chain());
                        self.look_anew().await;
                    } else {
                        tracing::warn!(error = %error.chain(), wait_ms = wait.as_millis(), "a reader of the snapshot failed");
                        self.shared.give_back(work.number);
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(RECONNECT.1);
                    }
                }
            }
        }
    }

    /// Takes a snapshot of the server although no table can be read with it: what it sees need not be
    /// remembered.
    async fn look_anew(&mut self) {
        let look = async {
            let mut connection = self.open().await?;
            let rows = query(&mut connection, "SELECT pg_current_snapshot()::text").await?;
            if let Some(row) = rows.first() {
                let seen = text(row, 0)?.parse().map_err(error::protocol)?;
                self.shared.saw(&Arc::new(seen));
            }
            Ok::<_, Error>(connection)
        };
        self.connection = look.await.ok();
    }

    fn settle(&mut self, work: &Work, outcome: Outcome) {
        match outcome {
            Outcome::Sent => {}
            Outcome::Renamed(name) => {
                tracing::info!(table = %work.table, now = name.as_ref().map(ToString::to_string), "table was renamed or dropped while it was copied");
                self.shared.renamed(work.number, name);
            }
            Outcome::Moved => {
                tracing::info!(table = %work.table, "table was rewritten while it was copied: it is read again");
                self.shared.moved(work.number);
            }
            Outcome::TooLarge => {
                // The rest of the COPY is not waited for.
                self.connection = None;
                self.shared.shrink(work.number);
            }
        }
    }

    async fn read(
        &mut self,
        work: &Work,
        announced: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<Outcome> {
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => self.open().await?,
        };
        let (file, file_name) = match &work.what {
            What::Range { file, .. } => (*file, self.shared.file_name(work, *file)),
            What::Files | What::Nothing | What::Keys(_) => (work.oid, quote::table(&work.table)),
        };
        let look = match lock(&mut connection, work, file, &file_name).await {
            Ok(look) => look,
            Err(error) if sqlstate(&error) == Some(UNDEFINED_TABLE) => None,
            Err(error) => return Err(failure::not_locked(error)),
        };
        let Some(look) = look else {
            query(&mut connection, "ROLLBACK").await?;
            let outcome = self.missing(&mut connection, work, file).await?;
            self.connection = Some(connection);
            return Ok(outcome);
        };
        let seen = Arc::new(look.seen);
        self.shared.saw(&seen);
        let (plan, rows) = match &work.what {
            What::Range { number, .. } if *number != 0 && *number != look.file => {
                query(&mut connection, "ROLLBACK").await?;
                self.connection = Some(connection);
                return Ok(Outcome::Moved);
            }
            What::Files | What::Nothing => {
                if work.what == What::Files {
                    let files = files(&mut connection, work).await?;
                    if self.shared.found(work, files) {
                        query(&mut connection, "COMMIT").await?;
                        self.connection = Some(connection);
                        return Ok(Outcome::Sent);
                    }
                }
                (self.shared.plan(work.oid, &look.fingerprint).await?, Vec::new())
            }
            What::Range { .. } | What::Keys(_) => {
                let Some(plan) = self.shared.plan(work.oid, &look.fingerprint).await? else {
                    return Ok(Outcome::Renamed(None));
                };
                if !plan.schema.has_key() {
                    return Err(failure::lost_its_key(&work.table));
                }
                let may_split = match &work.what {
                    What::Range { range, .. } => range.half().is_some(),
                    What::Keys(keys) => keys.len() > 1,
                    What::Files | What::Nothing => false,
                };
                let copied = copy(&mut connection, &plan, work, &file_name, may_split).await?;
                let Some(rows) = copied else { return Ok(Outcome::TooLarge) };
                (Some(plan), rows)
            }
        };
        query(&mut connection, "COMMIT").await?;
        let number = work.number;
        let chunk = Chunk { number, oid: work.oid, plan, seen, rows, announced, _permit: permit };
        // It has to be there before its place in the stream comes along.
        self.shared.put(chunk);
        query(&mut connection, &emit(&self.shared.watermark(number))).await?;
        self.connection = Some(connection);
        Ok(Outcome::Sent)
    }

    async fn open(&self) -> Result<RawConnection> {
        let mut connection = RawConnection::open(&self.config, Mode::Sql).await?;
        // A synchronous standby has no part in when a watermark shows up in the stream.
        let settings = format!(
            "SET synchronous_commit = local; SET lock_timeout = '{}s'; SET row_security = off",
            LOCK_WAIT.as_secs()
        );
        query(&mut connection, &settings).await?;
        Ok(connection)
    }

    /// Finds out why a table is not what it was called.
    async fn missing(
        &self,
        connection: &mut RawConnection,
        work: &Work,
        file: u32,
    ) -> Result<Outcome> {
        let rows = query(connection, &table::name(work.oid)).await?;
        let Some(row) = rows.first() else { return Ok(Outcome::Renamed(None)) };
        let name = TableId::new(text(row, 0)?, text(row, 1)?);
        if name == work.table {
            // A partition is no longer one, or has another name.
            tracing::info!(table = %name, partition = file, "a partition was detached or renamed");
            return Ok(Outcome::Moved);
        }
        let wanted = self.shared.selection.matches(&name);
        Ok(Outcome::Renamed(wanted.then_some(name)))
    }
}

/// What a reader knows once a table is locked.
struct Look {
    seen: Visibility,
    file: u32,
    fingerprint: String,
}

/// Begins a transaction, locks the table against changes of its shape, and takes the snapshot.
async fn lock(
    connection: &mut RawConnection,
    work: &Work,
    file: u32,
    file_name: &str,
) -> Result<Option<Look>> {
    let name = quote::table(&work.table);
    let names = if file == work.oid {
        format!("ONLY {name}")
    } else {
        format!("ONLY {name}, ONLY {file_name}")
    };
    // The lock comes first: the snapshot is taken by the first statement that looks at data.
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE {names} IN ACCESS SHARE MODE; {}",
        table::look(work, file)
    );
    let rows = query(connection, &begin).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let seen = text(row, 0)?.parse().map_err(error::protocol)?;
    let file = number(row, 1)?;
    Ok(Some(Look { seen, file, fingerprint: text(row, 2)?.to_owned() }))
}

async fn files(connection: &mut RawConnection, work: &Work) -> Result<Vec<File>> {
    let rows = query(connection, &table::files(work.oid)).await?;
    let file = |row: &Vec<Option<Bytes>>| {
        let number: u32 = number(row, 2)?;
        let (blocks, block_bytes): (u64, u64) = (self::number(row, 3)?, self::number(row, 4)?);
        let blocks = if number == 0 { ALL_BLOCKS } else { blocks };
        Ok(File {
            oid: self::number(row, 0)?,
            name: text(row, 1)?.to_owned(),
            number,
            blocks: if number == 0 {
                ALL_BLOCKS
            } else {
                (CHUNK_BYTES / block_bytes.max(1)).max(1)
            },
            left: vec![Range::of_blocks(blocks)]
                .into_iter()
                .filter(|range| !range.is_empty())
                .collect(),
        })
    };
    rows.iter().map(file).collect()
}

/// Reads rows; `None` when they are more than is read at a time and could be fewer.
async fn copy(
    connection: &mut RawConnection,
    plan: &TablePlan,
    work: &Work,
    file_name: &str,
    may_split: bool,
) -> Result<Option<Vec<Row>>> {
    let Some(statement) = plan.statement(work, file_name) else { return Ok(Some(Vec::new())) };
    let table = &work.table;
    let started = tokio::time::timeout(SILENCE_MAX, connection.copy_out(&statement)).await;
    started
        .map_err(|_| failure::silent(table, SILENCE_MAX))?
        .map_err(|error| failure::in_table(error, table))?;
    let mut tuples = Tuples::new(&plan.decoder, &plan.as_text);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    loop {
        let chunk = tokio::time::timeout(SILENCE_MAX, connection.next_chunk()).await;
        let chunk = chunk
            .map_err(|_| failure::silent(table, SILENCE_MAX))?
            .map_err(|error| failure::in_table(error, table))?;
        let Some(chunk) = chunk else { break };
        for payload in chunk.rows() {
            tuples.add(&chunk.bytes, payload).map_err(|error| failure::refused(error, table))?;
            while let Some(row) = tuples.next().map_err(|error| failure::refused(error, table))? {
                bytes += size_of::<Row>()
                    + row
                        .iter()
                        .map(|value| size_of::<Value>() + value.heap_bytes())
                        .sum::<usize>();
                rows.push(row);
            }
        }
        if bytes > CHUNK_BYTES_MAX && may_split {
            return Ok(None);
        }
    }
    tuples.finish().map_err(|error| failure::refused(error, table))?;
    Ok(Some(rows))
}

pub(super) async fn query(
    connection: &mut RawConnection,
    sql: &str,
) -> Result<Vec<Vec<Option<Bytes>>>> {
    let doing = "read a table";
    match tokio::time::timeout(STATEMENT_MAX, connection.query(doing, sql)).await {
        Ok(rows) => rows,
        Err(_) => Err(failure::slow(doing, STATEMENT_MAX)),
    }
}

const UNDEFINED_TABLE: &str = "42P01";

fn sqlstate(error: &Error) -> Option<&str> {
    let reported = error.source.as_ref()?.downcast_ref::<ServerError>()?;
    Some(&reported.code)
}

/// Is it one table that is in the way, so that the others can go on?
fn is_about_table(error: &Error) -> bool {
    // Classes 08, 53, 57 and 58: connections, resources, somebody's intervention, the system.
    let general =
        |state: &str| ["08", "53", "57", "58"].iter().any(|class| state.starts_with(class));
    let reported = error.source.as_ref().and_then(|cause| cause.downcast_ref::<Error>());
    let state = sqlstate(error).or_else(|| reported.and_then(sqlstate));
    match state {
        Some(state) => !general(state),
        None => error.retry != Retry::Backoff || error.code == "CDC-1067",
    }
}

pub(super) fn text(row: &[Option<Bytes>], index: usize) -> Result<&str> {
    let field = row.get(index).and_then(Option::as_ref);
    let text = field.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.ok_or_else(|| {
        error::protocol(Malformed::new("an answer of the catalog in an unknown form"))
    })
}

pub(super) fn number<N: std::str::FromStr>(row: &[Option<Bytes>], index: usize) -> Result<N> {
    let unknown =
        |_| error::protocol(Malformed::new("an answer of the catalog in an unknown form"));
    text(row, index)?.parse().map_err(unknown)
}

/// Writes a watermark that belongs to no chunk, however long it takes.
pub(crate) async fn announce(config: Arc<Config>, watermark: String) {
    let mut wait = RECONNECT.0;
    loop {
        let outcome = async {
            let mut connection = RawConnection::open(&config, Mode::Sql).await?;
            query(&mut connection, &emit(&watermark)).await
        };
        match outcome.await {
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(error = %error.chain(), "a watermark could not be written");
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RECONNECT.1);
    }
}

fn emit(watermark: &str) -> String {
    let (prefix, content) = (quote::literal(WATERMARK), quote::literal(watermark));
    format!("SELECT pg_logical_emit_message(true, {prefix}, {content})")
}
