//! Reading replica tables in the form in which they are compared with their sources.

use crate::{
    Config,
    connection::{Connection, Parameter, application_name},
    error, sql,
    state::stored_checkpoint,
};
use async_trait::async_trait;
use cdc_core::{
    Checkpoint, Result, TableId, TableSchema,
    catalog::SinkContext,
    verify::{Cells, Comparison, Digest, Kept, Key, Method, ReadLimits, ReplicaRows, Rows, Seen},
};
use cdc_digest::{Cell, Error, Reader, Shape};
use std::{collections::BTreeMap, sync::Arc};
use tokio_postgres::{Row, types::Type};

/// A column's type, and whether every server knows it.
const COLUMNS: &str = "
    SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
           t.typnamespace = 'pg_catalog'::regnamespace
      FROM pg_attribute a
      JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
      JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_type t ON t.oid = a.atttypid
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped";

/// Reads the replica tables of one sink over one session.
pub(crate) struct TableRows {
    config: Arc<Config>,
    pipeline_id: String,
    sink_id: String,
    connection: Connection,
    reader: Reader,
    /// The types of the columns here, by source table and column.
    declared: BTreeMap<TableId, BTreeMap<String, String>>,
    scanned: Option<TableId>,
}

impl TableRows {
    pub(crate) async fn open(
        config: Arc<Config>,
        context: &SinkContext,
        limits: ReadLimits,
    ) -> Result<Self> {
        let name = application_name(&context.pipeline_id, &context.sink_id);
        let connection = Connection::open(&config, &name).await?;
        let reader = Reader::new(limits);
        let prepared = reader.prepare(connection.client()).await;
        prepared.map_err(|cause| error::rows("a session", cause))?;
        Ok(Self {
            config,
            pipeline_id: context.pipeline_id.clone(),
            sink_id: context.sink_id.clone(),
            connection,
            reader,
            declared: BTreeMap::new(),
            scanned: None,
        })
    }

    fn shape(&self, of: &Comparison) -> Shape {
        let schema = &of.schema;
        let declared = self.declared.get(&schema.table);
        let cells = schema.columns.iter().map(|column| {
            let found = declared.and_then(|declared| declared.get(&column.name));
            Cell::new(&column.name, found.unwrap_or(&column.native_type))
        });
        let key: Vec<usize> = schema.key.iter().map(|at| usize::from(*at)).collect();
        Shape {
            relation: sql::qualified(&self.config.replica_of(&schema.table)),
            filter: None,
            cells: cells.collect(),
            by_key: !key.is_empty(),
            key,
        }
    }

    fn failed(&self, table: &TableId, cause: Error) -> cdc_core::Error {
        error::rows(&self.config.replica_of(table).to_string(), cause)
    }
}

#[async_trait]
impl ReplicaRows for TableRows {
    async fn kept(&mut self, schema: &TableSchema) -> Result<Kept> {
        let target = self.config.replica_of(&schema.table);
        let parameters: [Parameter<'_>; 2] =
            [(&target.namespace, Type::TEXT), (&target.name, Type::TEXT)];
        let doing = format!("reading the definition of {target}");
        let read = |row: &Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
        let found: BTreeMap<String, (String, bool)> =
            self.connection.all(&doing, COLUMNS, &parameters, read).await?;
        if found.is_empty() {
            return Ok(Kept::Not(format!("the replica has no table {target}")));
        }
        let mut kept_as = Vec::with_capacity(schema.columns.len());
        for column in &schema.columns {
            let Some((declared, known_everywhere)) = found.get(&column.name) else {
                let name = &column.name;
                return Ok(Kept::Not(format!(
                    "the replica has no column {name}: it comes with the next change of the table"
                )));
            };
            let converted = *known_everywhere && *declared != column.native_type;
            kept_as.push(converted.then(|| declared.clone()));
        }
        let declared = found.into_iter().map(|(name, (declared, _))| (name, declared));
        self.declared.insert(schema.table.clone(), declared.collect());
        Ok(Kept::As(kept_as))
    }

    async fn begin(&mut self) -> Result<Option<Checkpoint>> {
        let begun = self.reader.begin(self.connection.client()).await;
        begun.map_err(|cause| error::rows("a view", cause))?;
        stored_checkpoint(&self.connection, &self.pipeline_id, &self.sink_id).await
    }
}

#[async_trait]
impl Rows for TableRows {
    async fn probe(&mut self, method: Method) -> Result<Option<i64>> {
        let hash = self.reader.probe(self.connection.client(), method).await;
        hash.map_err(|cause| error::rows("a known text", cause))
    }

    async fn digests(&mut self, of: &Comparison) -> Result<Vec<Digest>> {
        let digests = self.reader.digests(self.connection.client(), &self.shape(of), of).await;
        digests.map_err(|cause| self.failed(&of.schema.table, cause))
    }

    async fn scan(&mut self, of: &Comparison, ranges: &[u32]) -> Result<()> {
        self.scanned = Some(of.schema.table.clone());
        let shape = self.shape(of);
        let started = self.reader.scan(self.connection.client(), &shape, of, ranges).await;
        started.map_err(|cause| self.failed(&of.schema.table, cause))
    }

    async fn next(&mut self) -> Result<Vec<Seen>> {
        let rows = self.reader.next(self.connection.client()).await;
        let table = || self.scanned.as_ref().map(TableId::to_string).unwrap_or_default();
        rows.map_err(|cause| error::rows(&table(), cause))
    }

    async fn lookup(&mut self, of: &Comparison, keys: &[(i64, Key)]) -> Result<Vec<Seen>> {
        let rows = self.reader.lookup(self.connection.client(), &self.shape(of), of, keys).await;
        rows.map_err(|cause| self.failed(&of.schema.table, cause))
    }

    async fn cells(
        &mut self,
        of: &Comparison,
        keys: &[(i64, Key)],
        values: bool,
    ) -> Result<Vec<Cells>> {
        let (client, shape) = (self.connection.client(), self.shape(of));
        let cells = self.reader.cells(client, &shape, of, keys, values).await;
        cells.map_err(|cause| self.failed(&of.schema.table, cause))
    }

    async fn end(&mut self) -> Result<()> {
        let ended = self.reader.end(self.connection.client()).await;
        ended.map_err(|cause| error::rows("a view", cause))
    }
}
