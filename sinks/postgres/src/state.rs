//! The sink's own tables on the target: checkpoints, and what each replica table was made from.

use crate::{
    connection::{Connection, Parameter},
    error, shares,
};
use cdc_core::{Checkpoint, Result, TableId, TableSchema, catalog::SinkContext};
use tokio_postgres::{
    Row, Statement,
    error::SqlState,
    types::{ToSql, Type},
};

/// The schema of the sink's own tables.
pub(crate) const SCHEMA: &str = "cdc";

const EXISTS: &str = "SELECT to_regclass('cdc.checkpoints') IS NOT NULL
                         AND to_regclass('cdc.partition_checkpoints') IS NOT NULL
                         AND to_regclass('cdc.replica_tables') IS NOT NULL,
                             to_regnamespace('cdc') IS NOT NULL";

/// Two sinks that start at once must not both create.
pub(crate) const CREATE_LOCK: &str = "SELECT pg_advisory_xact_lock(4843285463)";
pub(crate) const CREATE_SCHEMA: &str = "CREATE SCHEMA IF NOT EXISTS cdc";
const CREATE_TABLES: &str = "
    CREATE TABLE IF NOT EXISTS cdc.checkpoints (
        pipeline_id text NOT NULL,
        sink_id text NOT NULL,
        epoch bigint NOT NULL,
        commits bigint NOT NULL,
        checkpoint json NOT NULL,
        committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (pipeline_id, sink_id)
    ) WITH (fillfactor = 50);
    CREATE TABLE IF NOT EXISTS cdc.partition_checkpoints (
        pipeline_id text NOT NULL,
        sink_id text NOT NULL,
        topic text NOT NULL,
        partition int NOT NULL,
        claims bigint NOT NULL,
        log uuid,
        next_offset bigint NOT NULL DEFAULT 0,
        position text NOT NULL DEFAULT '0:0',
        committed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (pipeline_id, sink_id, topic, partition)
    ) WITH (fillfactor = 50);
    CREATE TABLE IF NOT EXISTS cdc.replica_tables (
        pipeline_id text NOT NULL,
        sink_id text NOT NULL,
        source_schema text NOT NULL,
        source_table text NOT NULL,
        target_schema text NOT NULL,
        target_table text NOT NULL,
        table_schema json NOT NULL,
        prepared_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (pipeline_id, sink_id, source_schema, source_table)
    )";

/// Raises the epoch and counts as a commit, so that whatever an older session still has in flight is
/// refused. Under a newer epoch nothing changes.
const CLAIM: &str = "
    INSERT INTO cdc.checkpoints AS held (pipeline_id, sink_id, epoch, commits, checkpoint)
    VALUES ($1, $2, $3, 1, $4::text::json)
    ON CONFLICT (pipeline_id, sink_id) DO UPDATE
       SET epoch = greatest(held.epoch, excluded.epoch),
           commits = held.commits + (held.epoch <= excluded.epoch)::int
    RETURNING epoch, commits, checkpoint::text";

const EPOCH: &str = "SELECT epoch FROM cdc.checkpoints WHERE pipeline_id = $1 AND sink_id = $2";

/// Divides by zero, and so fails its transaction, unless the row is still the one that this session
/// knows and its epoch is not newer.
const SAVE: &str = "
    WITH saved AS (
        INSERT INTO cdc.checkpoints AS held (pipeline_id, sink_id, epoch, commits, checkpoint)
        VALUES ($1, $2, $3, $4 + 1, $5::text::json)
        ON CONFLICT (pipeline_id, sink_id) DO UPDATE
           SET epoch = excluded.epoch, commits = excluded.commits, checkpoint = excluded.checkpoint,
               committed_at = clock_timestamp()
         WHERE held.commits = $4 AND held.epoch <= excluded.epoch
        RETURNING 1)
    SELECT 1 / count(*) FROM saved";

const CHECKPOINT: &str = "SELECT checkpoint::text FROM cdc.checkpoints
                           WHERE pipeline_id = $1 AND sink_id = $2";

const LOAD_TABLE: &str = "SELECT table_schema::text, target_schema, target_table
                            FROM cdc.replica_tables
                           WHERE pipeline_id = $1 AND sink_id = $2
                             AND source_schema = $3 AND source_table = $4";

const FIND_TABLE: &str = "SELECT table_schema::text, target_schema, target_table
                            FROM cdc.replica_tables
                           WHERE pipeline_id = $1 AND sink_id = $2
                             AND table_schema ->> 'number' = $3
                           ORDER BY prepared_at DESC LIMIT 1";

const RENAME_TABLE: &str = "
    UPDATE cdc.replica_tables
       SET source_schema = $5, source_table = $6, target_schema = $7, target_table = $8,
           table_schema = jsonb_set(table_schema::jsonb, '{table}',
                                    jsonb_build_object('namespace', $5, 'name', $6))::json
     WHERE pipeline_id = $1 AND sink_id = $2 AND source_schema = $3 AND source_table = $4";

const SAVE_TABLE: &str = "
    INSERT INTO cdc.replica_tables
           (pipeline_id, sink_id, source_schema, source_table, target_schema, target_table, table_schema)
    VALUES ($1, $2, $3, $4, $5, $6, $7::text::json)
    ON CONFLICT (pipeline_id, sink_id, source_schema, source_table) DO UPDATE
       SET target_schema = excluded.target_schema, target_table = excluded.target_table,
           table_schema = excluded.table_schema, prepared_at = clock_timestamp()";

/// What is stored for one sink of one pipeline.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) pipeline_id: String,
    pub(crate) sink_id: String,
    save: Statement,
}

/// A stored checkpoint and how often it was stored.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) commits: i64,
}

/// A replica table as it was last prepared.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) schema: TableSchema,
    pub(crate) target: TableId,
}

/// The checkpoint as it is stored, without claiming it; `None` before the first claim. Creates nothing.
/// Where several processes share the sink, it has the places that they committed.
pub(crate) async fn stored_checkpoint(
    connection: &Connection,
    pipeline_id: &str,
    sink_id: &str,
) -> Result<Option<Checkpoint>> {
    let doing = "reading cdc.checkpoints";
    let read = |row: &Row| Ok((row.try_get::<_, bool>(0)?, row.try_get::<_, bool>(1)?));
    let (complete, _) = connection.one(doing, EXISTS, &[], read).await?;
    if !complete {
        return Ok(None);
    }
    let shared = shares::stored(connection, pipeline_id, sink_id).await?;
    if !shared.is_empty() {
        return Ok(Some(Checkpoint { partitions: shared, ..Checkpoint::default() }));
    }
    let parameters: [Parameter<'_>; 2] = [(&pipeline_id, Type::TEXT), (&sink_id, Type::TEXT)];
    let read = |row: &Row| row.try_get::<_, String>(0);
    let found: Vec<String> = connection.all(doing, CHECKPOINT, &parameters, read).await?;
    let parse = |text: &String| serde_json::from_str(text);
    let checkpoint = found.first().map(parse).transpose();
    checkpoint.map_err(|cause| error::checkpoint_unreadable(sink_id, cause))
}

/// What became of a commit.
pub(crate) enum Saved {
    Yes,
    /// The checkpoint is another session's.
    Lost,
}

/// Waits for a commit whose checkpoint divides by zero when it is not this session's any more.
pub(crate) async fn saved(
    connection: &Connection,
    both: impl Future<Output = Result<(), tokio_postgres::Error>>,
) -> Result<Saved> {
    let doing = "committing";
    match tokio::time::timeout(connection.answer_timeout(), both).await {
        Err(_) => Err(error::timed_out(doing)),
        Ok(Ok(())) => Ok(Saved::Yes),
        Ok(Err(failure)) if failure.code() == Some(&SqlState::DIVISION_BY_ZERO) => Ok(Saved::Lost),
        Ok(Err(failure)) => Err(error::from_postgres(doing, failure)),
    }
}

impl State {
    /// Creates the tables where they are missing.
    pub(crate) async fn open(connection: &Connection, context: &SinkContext) -> Result<Self> {
        let doing = "creating the tables of schema cdc";
        let read = |row: &Row| Ok((row.try_get::<_, bool>(0)?, row.try_get::<_, bool>(1)?));
        let (complete, has_schema) = connection.one(doing, EXISTS, &[], read).await?;
        if !complete {
            // Without the right to create schemas one that exists must not be asked for again.
            let schema = if has_schema { "" } else { CREATE_SCHEMA };
            let sql = format!("BEGIN; {CREATE_LOCK}; {schema}; {CREATE_TABLES}; COMMIT");
            connection.simple(doing, &sql).await?;
        }
        let types = [Type::TEXT, Type::TEXT, Type::INT8, Type::INT8, Type::TEXT];
        let save = connection.client().prepare_typed(SAVE, &types);
        let save = connection.bounded("preparing the commit", save).await?;
        let (pipeline_id, sink_id) = (context.pipeline_id.clone(), context.sink_id.clone());
        Ok(Self { pipeline_id, sink_id, save })
    }

    /// Makes this session the only writer, and returns what was committed before.
    pub(crate) async fn claim(&self, connection: &Connection, epoch: u64) -> Result<Claimed> {
        let doing = "claiming the sink in cdc.checkpoints";
        let ours = i64::try_from(epoch).unwrap_or(i64::MAX);
        let empty = Checkpoint { epoch, ..Checkpoint::default() };
        let empty = serde_json::to_string(&empty)
            .map_err(|e| error::checkpoint_unreadable(&self.sink_id, e))?;
        let parameters: [Parameter<'_>; 4] = [
            (&self.pipeline_id, Type::TEXT),
            (&self.sink_id, Type::TEXT),
            (&ours, Type::INT8),
            (&empty, Type::TEXT),
        ];
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
        let (epoch, commits, text): (i64, i64, String) =
            connection.one(doing, CLAIM, &parameters, read).await?;
        let mut checkpoint: Checkpoint = serde_json::from_str(&text)
            .map_err(|e| error::checkpoint_unreadable(&self.sink_id, e))?;
        checkpoint.epoch = u64::try_from(epoch).unwrap_or(0);
        Ok(Claimed { checkpoint, commits })
    }

    /// Stores the checkpoint in the open transaction and commits it, in one round trip. `commits` is
    /// how often the checkpoint had been stored as far as this session knows.
    pub(crate) async fn save_and_commit(
        &self,
        connection: &Connection,
        checkpoint: &Checkpoint,
        commits: i64,
    ) -> Result<()> {
        let epoch = i64::try_from(checkpoint.epoch).unwrap_or(i64::MAX);
        let json = serde_json::to_string(checkpoint)
            .map_err(|e| error::checkpoint_unreadable(&self.sink_id, e))?;
        let client = connection.client();
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&self.pipeline_id, &self.sink_id, &epoch, &commits, &json];
        // Sent together: when saving fails, the server turns the COMMIT into a ROLLBACK.
        let both = async {
            let (saved, committed) = tokio::join!(
                biased;
                client.execute(&self.save, &parameters),
                client.batch_execute("COMMIT")
            );
            saved.map(|_| ()).and(committed)
        };
        match saved(connection, both).await? {
            Saved::Yes => Ok(()),
            Saved::Lost => Err(self.explain_loss(connection, epoch).await),
        }
    }

    async fn explain_loss(&self, connection: &Connection, ours: i64) -> cdc_core::Error {
        let parameters: [Parameter<'_>; 2] =
            [(&self.pipeline_id, Type::TEXT), (&self.sink_id, Type::TEXT)];
        let doing = "reading cdc.checkpoints";
        let read = |row: &Row| row.try_get::<_, i64>(0);
        let theirs: Vec<i64> = match connection.all(doing, EPOCH, &parameters, read).await {
            Ok(theirs) => theirs,
            Err(error) => return error,
        };
        match theirs.first() {
            Some(theirs) if *theirs > ours => {
                error::fenced(&self.pipeline_id, &self.sink_id, ours, *theirs)
            }
            _ => error::overtaken(&self.pipeline_id, &self.sink_id),
        }
    }

    /// What the replica of a source table was last prepared for.
    pub(crate) async fn load_table(
        &self,
        connection: &Connection,
        source: &TableId,
    ) -> Result<Option<Prepared>> {
        let parameters: [Parameter<'_>; 4] = [
            (&self.pipeline_id, Type::TEXT),
            (&self.sink_id, Type::TEXT),
            (&source.namespace, Type::TEXT),
            (&source.name, Type::TEXT),
        ];
        self.prepared(connection, LOAD_TABLE, &parameters).await
    }

    /// What the replica of the source table with this number was last prepared for.
    pub(crate) async fn find_table(
        &self,
        connection: &Connection,
        number: u32,
    ) -> Result<Option<Prepared>> {
        let number = number.to_string();
        let parameters: [Parameter<'_>; 3] =
            [(&self.pipeline_id, Type::TEXT), (&self.sink_id, Type::TEXT), (&number, Type::TEXT)];
        self.prepared(connection, FIND_TABLE, &parameters).await
    }

    async fn prepared(
        &self,
        connection: &Connection,
        sql: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Option<Prepared>> {
        let doing = "reading cdc.replica_tables";
        let read = |row: &Row| {
            let target = TableId::new(row.try_get::<_, String>(1)?, row.try_get::<_, String>(2)?);
            Ok((row.try_get::<_, String>(0)?, target))
        };
        let rows: Vec<_> = connection.all(doing, sql, parameters, read).await?;
        let Some((text, target)) = rows.into_iter().next() else { return Ok(None) };
        let schema = serde_json::from_str(&text)
            .map_err(|e| error::checkpoint_unreadable(&self.sink_id, e))?;
        Ok(Some(Prepared { schema, target }))
    }

    /// Remembers, in the open transaction, the new names of a replica and of its source.
    pub(crate) async fn rename_table(
        &self,
        connection: &Connection,
        before: &TableId,
        source: &TableId,
        target: &TableId,
    ) -> Result<()> {
        let parameters: [Parameter<'_>; 8] = [
            (&self.pipeline_id, Type::TEXT),
            (&self.sink_id, Type::TEXT),
            (&before.namespace, Type::TEXT),
            (&before.name, Type::TEXT),
            (&source.namespace, Type::TEXT),
            (&source.name, Type::TEXT),
            (&target.namespace, Type::TEXT),
            (&target.name, Type::TEXT),
        ];
        let renamed = connection.client().execute_typed(RENAME_TABLE, &parameters);
        connection.bounded("writing cdc.replica_tables", renamed).await.map(|_| ())
    }

    /// Remembers, in the open transaction, what a replica table was prepared for.
    pub(crate) async fn save_table(
        &self,
        connection: &Connection,
        schema: &TableSchema,
        target: &TableId,
    ) -> Result<()> {
        let json = serde_json::to_string(schema)
            .map_err(|e| error::checkpoint_unreadable(&self.sink_id, e))?;
        let parameters: [Parameter<'_>; 7] = [
            (&self.pipeline_id, Type::TEXT),
            (&self.sink_id, Type::TEXT),
            (&schema.table.namespace, Type::TEXT),
            (&schema.table.name, Type::TEXT),
            (&target.namespace, Type::TEXT),
            (&target.name, Type::TEXT),
            (&json, Type::TEXT),
        ];
        let saved = connection.client().execute_typed(SAVE_TABLE, &parameters);
        connection.bounded("writing cdc.replica_tables", saved).await.map(|_| ())
    }
}
