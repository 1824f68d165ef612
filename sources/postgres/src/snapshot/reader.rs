//! The session that reads the rows: it sees the database as the exported snapshot does.

use super::{
    Request, Stop,
    batches::Batches,
    failure,
    plan::{Plan, Survey},
    tuples::Tuples,
};
use crate::{
    connection::{Mode, RawConnection},
    protocol::Chunk,
    quote,
};
use bytes::Bytes;
use cdc_core::{Result, TableId};
use std::time::Duration;

/// A COPY that sends nothing for so long hangs. A row filter may pass over many rows.
const SILENCE_MAX: Duration = Duration::from_secs(30 * 60);

/// Waiting for the lock on a table ends after this.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);
/// Any other statement is answered within this time.
const STATEMENT_MAX: Duration = Duration::from_secs(60);

pub(super) struct Reader {
    connection: RawConnection,
}

impl Reader {
    /// Opens a session that sees the exported snapshot.
    pub(super) async fn open(request: &Request<'_>) -> Result<Self> {
        let connection = RawConnection::open(request.config, Mode::Sql).await?;
        let mut reader = Self { connection };
        let import = format!("SET TRANSACTION SNAPSHOT {}", quote::literal(request.snapshot_name));
        let timeout = format!("SET LOCAL lock_timeout = '{}s'", LOCK_WAIT_MAX.as_secs());
        // One by one: a snapshot can only be set by a statement of its own.
        for statement in [
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            &import,
            &timeout,
            "SET LOCAL row_security = off",
        ] {
            reader.query("import the snapshot", statement).await?;
        }
        Ok(reader)
    }

    async fn query(&mut self, doing: &str, sql: &str) -> Result<Vec<Vec<Option<Bytes>>>> {
        match tokio::time::timeout(STATEMENT_MAX, self.connection.query(doing, sql)).await {
            Ok(rows) => rows,
            Err(_) => Err(failure::slow(doing, STATEMENT_MAX)),
        }
    }

    /// Keeps tables from being altered or dropped until the copy is complete. It has to be this
    /// session: whoever waits to alter a table that another session has locked would let none of
    /// our reads past.
    pub(super) async fn lock(&mut self, tables: &str) -> Result<()> {
        let lock = format!("LOCK TABLE {tables} IN ACCESS SHARE MODE");
        let locked = self.query("lock the captured tables", &lock).await;
        locked.map(|_| ()).map_err(failure::not_locked)
    }

    /// A table that was rewritten or truncated since the snapshot looks empty to it.
    pub(super) async fn refuse_rewritten(&mut self, survey: &Survey) -> Result<()> {
        let oids: Vec<String> = survey.oids().map(|oid| oid.to_string()).collect();
        let query = format!(
            "WITH captured (oids) AS (SELECT '{{{}}}'::oid[]) \
             SELECT c.oid::regclass::text FROM pg_class AS c, captured \
             WHERE c.relkind = 'r' AND pg_relation_filenode(c.oid) <> c.relfilenode \
               AND (c.oid = ANY (captured.oids) OR (c.relispartition AND EXISTS ( \
                    SELECT FROM pg_partition_ancestors(c.oid) AS a \
                    WHERE a.relid = ANY (captured.oids)))) ORDER BY 1",
            oids.join(",")
        );
        let rows = self.query("look for rewritten tables", &query).await?;
        let name = |row: &Vec<Option<Bytes>>| {
            row.first().cloned().flatten().map(|name| String::from_utf8_lossy(&name).into_owned())
        };
        let names: Vec<String> = rows.iter().filter_map(name).collect();
        if names.is_empty() { Ok(()) } else { Err(failure::rewritten(&names)) }
    }

    /// Copies one table; `note` hears how many rows have been read by now.
    pub(super) async fn copy(
        &mut self,
        plan: &Plan,
        batches: &mut Batches<'_>,
        mut note: impl FnMut(u64),
    ) -> Result<(), Stop> {
        let table = &plan.schema.table;
        let started = self.connection.copy_out(&plan.statement);
        let started = tokio::time::timeout(SILENCE_MAX, started).await;
        started
            .map_err(|_| failure::silent(table, SILENCE_MAX))?
            .map_err(|error| failure::in_table(error, table))?;
        let mut tuples = Tuples::new(&plan.decoder, &plan.as_text);
        let mut rows = 0;
        while let Some(chunk) = self.next_chunk(table).await? {
            for payload in chunk.rows() {
                tuples
                    .add(&chunk.bytes, payload)
                    .map_err(|error| failure::refused(error, table))?;
                while let Some(row) =
                    tuples.next().map_err(|error| failure::refused(error, table))?
                {
                    rows += 1;
                    if let Some(full) = batches.push(&plan.schema, row) {
                        batches.send(full).await?;
                    }
                }
            }
            note(rows);
            batches.send_old().await?;
        }
        tuples.finish().map_err(|error| failure::refused(error, table))?;
        note(rows);
        Ok(())
    }

    async fn next_chunk(&mut self, table: &TableId) -> Result<Option<Chunk>> {
        match tokio::time::timeout(SILENCE_MAX, self.connection.next_chunk()).await {
            Ok(chunk) => chunk.map_err(|error| failure::in_table(error, table)),
            Err(_) => Err(failure::silent(table, SILENCE_MAX)),
        }
    }

    pub(super) async fn finish(mut self) -> Result<()> {
        self.query("end a transaction", "COMMIT").await.map(|_| ())
    }
}
