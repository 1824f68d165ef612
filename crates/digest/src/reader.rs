//! Running the statements.

use crate::shape::{Shape, hash};
use cdc_core::verify::{Cells, Comparison, Digest, Key, Method, ReadLimits, Seen};
use std::{sync::Mutex, time::Duration};
use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

/// How much longer than the server's own limit an answer may take.
const ANSWER_GRACE: Duration = Duration::from_secs(30);
/// Rows of a scan that are fetched at a time.
const FETCHED_ROWS: u32 = 2_000;
/// Holds a character that every encoding writes in its own way. Not as an escape: a database without
/// an encoding (`SQL_ASCII`) refuses those, but takes the bytes.
const PROBE: &str = "SELECT 'cdc é'::text AS probe";

/// Why rows could not be read. Texts of errors about data may quote the data, so only the code of
/// such an error is told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No answer came in time.
    #[error("the server did not answer in time")]
    Slow,
    /// The server refused a statement.
    #[error("the server refused a statement (SQLSTATE {0})")]
    Refused(String),
    /// The connection was lost.
    #[error("the connection failed")]
    Lost(#[source] tokio_postgres::Error),
    /// An answer was not of the expected form.
    #[error("the server answered something unexpected")]
    Unexpected,
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) => Self::Refused(code.code().to_owned()),
            None => Self::Lost(error),
        }
    }
}

/// Reads rows over a session that belongs to it alone.
#[derive(Debug)]
pub struct Reader {
    limits: ReadLimits,
    /// Is a cursor open? Behind a lock only because the reader is shared.
    scanning: Mutex<bool>,
}

impl Reader {
    /// A reader with these limits. [`prepare`](Self::prepare) comes first.
    #[must_use]
    pub fn new(limits: ReadLimits) -> Self {
        Self { limits, scanning: Mutex::new(false) }
    }

    async fn bounded<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        let limit = self.limits.statement_timeout + ANSWER_GRACE;
        match tokio::time::timeout(limit, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Error::Slow),
        }
    }

    async fn run(&self, client: &Client, sql: &str) -> Result<(), Error> {
        self.bounded(client.batch_execute(sql)).await
    }

    /// Sets the session up: one text form for every value, no writes, limits, and one process at most.
    pub async fn prepare(&self, client: &Client) -> Result<(), Error> {
        let ReadLimits { statement_timeout, lock_timeout, idle_timeout } = self.limits;
        let sql = format!(
            "SET client_encoding = 'UTF8'; SET datestyle = 'ISO, YMD'; SET intervalstyle = postgres; \
             SET timezone = 'UTC'; SET extra_float_digits = 1; SET bytea_output = hex; \
             SET xmlbinary = base64; SET xmloption = content; SET search_path = ''; \
             SET standard_conforming_strings = on; SET row_security = off; SET jit = off; \
             SET max_parallel_workers_per_gather = 0; SET cursor_tuple_fraction = 1; \
             SET enable_seqscan = on; SET enable_hashjoin = on; SET enable_mergejoin = on; \
             SET plan_cache_mode = auto; SET default_transaction_read_only = on; \
             SET statement_timeout = {}; SET lock_timeout = {}; \
             SET idle_in_transaction_session_timeout = {}",
            statement_timeout.as_millis(),
            lock_timeout.as_millis(),
            idle_timeout.as_millis(),
        );
        self.run(client, &sql).await
    }

    /// The hash of a known text; `None` where the server does not have the method.
    pub async fn probe(&self, client: &Client, method: Method) -> Result<Option<i64>, Error> {
        let sql = format!("SELECT {} FROM ({PROBE}) AS p", hash(method, "p.probe"));
        match self.bounded(Box::pin(client.query_typed_one(&sql, &[]))).await {
            Ok(row) => Ok(Some(row.try_get(0)?)),
            Err(Error::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a view: whatever is read first decides what it shows.
    pub async fn begin(&self, client: &Client) -> Result<(), Error> {
        self.run(client, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Ends the view.
    pub async fn end(&self, client: &Client) -> Result<(), Error> {
        self.set_scanning(false);
        self.run(client, "COMMIT").await
    }

    /// The ranges that hold rows.
    pub async fn digests(
        &self,
        client: &Client,
        shape: &Shape,
        of: &Comparison,
    ) -> Result<Vec<Digest>, Error> {
        let sql = shape.digests(of);
        let rows = self.bounded(Box::pin(client.query_typed(&sql, &[]))).await?;
        let digest = |row: &Row| {
            let (range, rows): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
            Ok(Digest {
                range: u32::try_from(range).map_err(|_| Error::Unexpected)?,
                rows: u64::try_from(rows).map_err(|_| Error::Unexpected)?,
                sum: row.try_get::<_, &str>(2)?.parse().map_err(|_| Error::Unexpected)?,
            })
        };
        rows.iter().map(digest).collect()
    }

    /// Starts a scan.
    pub async fn scan(
        &self,
        client: &Client,
        shape: &Shape,
        of: &Comparison,
        ranges: &[u32],
    ) -> Result<(), Error> {
        let close = if self.set_scanning(true) { "CLOSE scan; " } else { "" };
        let query = shape.scan(of, ranges);
        self.run(client, &format!("{close}DECLARE scan NO SCROLL CURSOR FOR {query}")).await
    }

    /// The next rows of the scan.
    pub async fn next(&self, client: &Client) -> Result<Vec<Seen>, Error> {
        let sql = format!("FETCH FORWARD {FETCHED_ROWS} FROM scan");
        let rows = self.bounded(Box::pin(client.query_typed(&sql, &[]))).await?;
        rows.iter().map(seen).collect()
    }

    /// The rows under some keys.
    pub async fn lookup(
        &self,
        client: &Client,
        shape: &Shape,
        of: &Comparison,
        keys: &[(i64, Key)],
    ) -> Result<Vec<Seen>, Error> {
        let rows = self.by_keys(client, shape, &shape.lookup(of), keys).await?;
        rows.iter().map(seen).collect()
    }

    /// The rows under some keys, column by column.
    pub async fn cells(
        &self,
        client: &Client,
        shape: &Shape,
        of: &Comparison,
        keys: &[(i64, Key)],
        values: bool,
    ) -> Result<Vec<Cells>, Error> {
        let rows = self.by_keys(client, shape, &shape.columns(of, values), keys).await?;
        let cells = |row: &Row| {
            Ok(Cells {
                key_hash: row.try_get(0)?,
                key: row.try_get(1)?,
                hashes: row.try_get(2)?,
                values: row.try_get(3)?,
            })
        };
        rows.iter().map(cells).collect()
    }

    async fn by_keys(
        &self,
        client: &Client,
        shape: &Shape,
        sql: &str,
        keys: &[(i64, Key)],
    ) -> Result<Vec<Row>, Error> {
        if !shape.by_key {
            let hashes: Vec<i64> = keys.iter().map(|(hash, _)| *hash).collect();
            let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&hashes, Type::INT8_ARRAY)];
            return self.bounded(Box::pin(client.query_typed(sql, &parameters))).await;
        }
        let column = |at: usize| -> Vec<Option<&str>> {
            keys.iter().map(|(_, key)| key.get(at).and_then(Option::as_deref)).collect()
        };
        let columns: Vec<Vec<Option<&str>>> = (0..shape.parameters()).map(column).collect();
        let parameters: Vec<(&(dyn ToSql + Sync), Type)> = columns
            .iter()
            .map(|column| (column as &(dyn ToSql + Sync), Type::TEXT_ARRAY))
            .collect();
        self.bounded(Box::pin(client.query_typed(sql, &parameters))).await
    }

    /// Returns what was before.
    fn set_scanning(&self, scanning: bool) -> bool {
        let mut held = self.scanning.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::replace(&mut held, scanning)
    }
}

fn seen(row: &Row) -> Result<Seen, Error> {
    Ok(Seen {
        key_hash: row.try_get(0)?,
        key: row.try_get(1)?,
        hash: row.try_get(2)?,
        version: row.try_get(3)?,
    })
}
