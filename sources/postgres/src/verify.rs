//! Reading the captured rows in the form in which they are compared with a replica.

use crate::{
    config::Config,
    connection::{Sql, connect_sql},
    error,
    position::Lsn,
    provision::{Publication, look_at_publication},
    quote,
    schema::{self, CatalogTable, Published, Selection},
    server,
};
use async_trait::async_trait;
use cdc_core::{
    DataType, Position, Result, TableId,
    verify::{
        Cells, Comparison, Digest, Key, Method, ReadLimits, Rows, Seen, SourceRows, SourceTable,
    },
};
use cdc_digest::{Cell, Reader, Shape};
use std::{collections::BTreeMap, sync::Arc};

/// Reads the captured tables over one session.
pub(crate) struct TableRows {
    config: Arc<Config>,
    selection: Arc<Selection>,
    client: Sql,
    reader: Reader,
    /// What stands behind FROM, and the row filter.
    relations: BTreeMap<TableId, (String, Option<String>)>,
    scanned: Option<TableId>,
}

impl TableRows {
    pub(crate) async fn open(
        config: Arc<Config>,
        selection: Arc<Selection>,
        limits: ReadLimits,
    ) -> Result<Self> {
        let client = connect_sql(&config).await?;
        let reader = Reader::new(limits);
        let prepared = reader.prepare(&client).await;
        prepared.map_err(|cause| error::rows("a session", cause))?;
        let relations = BTreeMap::new();
        Ok(Self { config, selection, client, reader, relations, scanned: None })
    }

    fn shape(&self, of: &Comparison) -> Shape {
        let schema = &of.schema;
        let (relation, filter) = self.relations.get(&schema.table).cloned().unwrap_or_else(|| {
            // Only tables that `tables` named are compared.
            (quote::table(&schema.table), None)
        });
        let kept_as = of.kept_as.iter().map(Option::as_deref).chain(std::iter::repeat(None));
        let columns = schema.columns.iter().zip(kept_as);
        let cells: Vec<Cell> = columns
            .map(|(column, kept_as)| {
                Cell::new(&column.name, &column.native_type).converted(kept_as)
            })
            .collect();
        let key: Vec<usize> = schema.key.iter().map(|at| usize::from(*at)).collect();
        let found = |at: &usize| {
            let column = schema.columns.get(*at);
            let kept_as = of.kept_as.get(*at).and_then(Option::as_deref);
            column.is_some_and(|column| {
                kept_as.is_none_or(|kept_as| keeps_every_value(&column.data_type, kept_as))
            })
        };
        let by_key = !key.is_empty() && key.iter().all(found);
        Shape { relation, filter, cells, key, by_key }
    }

    /// What is published, by table; where nothing is streamed, what was copied.
    async fn published(&self, version: u32) -> Result<Parts> {
        if !self.config.snapshot_mode.streams() {
            let lists = Published::configured(&self.config.parts()?);
            return Ok(Parts { streamed: false, publication: None, lists });
        }
        let found = look_at_publication(&self.config, &self.client).await?;
        let name = &self.config.publication_name;
        let lists = schema::published(&self.client, name, version).await?;
        Ok(Parts { streamed: true, publication: found, lists })
    }
}

/// Does a key that was converted to another type, and back, find its row?
fn keeps_every_value(data_type: &DataType, kept_as: &str) -> bool {
    match data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            matches!(kept_as, "smallint" | "integer" | "bigint" | "numeric" | "text")
        }
        DataType::Decimal { .. } => matches!(kept_as, "numeric" | "text"),
        DataType::Uuid => matches!(kept_as, "uuid" | "text"),
        DataType::Date => matches!(kept_as, "date" | "text"),
        DataType::Text => matches!(kept_as, "text" | "character varying"),
        _ => kept_as == "text",
    }
}

/// The publication, if there is one, and what is left out of the tables.
struct Parts {
    streamed: bool,
    publication: Option<Publication>,
    lists: Published,
}

#[async_trait]
impl SourceRows for TableRows {
    async fn tables(&mut self) -> Result<Vec<SourceTable>> {
        let catalog = schema::load(&self.client, &self.selection).await?;
        let parts = self.published(catalog.server_version).await?;
        let mut tables = Vec::with_capacity(catalog.tables.len());
        for mut table in catalog.tables {
            let left_out = left_out(&self.config, &table, &parts);
            parts.lists.narrow(&mut table);
            let only = if table.partitioned { "" } else { "ONLY " };
            let relation = format!("{only}{}", quote::table(&table.table));
            let filter = parts.lists.filter(&table.table).map(str::to_owned);
            self.relations.insert(table.table.clone(), (relation, filter));
            tables.push(SourceTable {
                schema: schema::table_schema(&table, &catalog.types),
                rows_estimated: table.rows_estimated,
                left_out,
            });
        }
        Ok(tables)
    }

    async fn begin(&mut self) -> Result<Position> {
        let failed = |cause| error::rows("a view", cause);
        self.reader.begin(&self.client).await.map_err(failed)?;
        // The first question takes the snapshot, and is answered after it was taken.
        Ok(server::current_position(&self.config, &self.client).await?.heartbeat())
    }

    fn bytes_between(&self, earlier: Position, later: Position) -> Option<u64> {
        Some(Lsn::of(later).bytes_since(Lsn::of(earlier)))
    }
}

/// Why the changes of a table do not arrive.
fn left_out(config: &Config, table: &CatalogTable, parts: &Parts) -> Option<String> {
    if !table.readable {
        let (role, name) = (&config.username, &table.table);
        return Some(format!("role {role} may not read it: GRANT SELECT ON {name} TO {role}"));
    }
    if !parts.streamed {
        return None;
    }
    let publication = parts.publication.as_ref();
    if table.unlogged {
        return Some("it is unlogged, so that its changes cannot be captured".to_owned());
    }
    let holds = publication.is_some_and(|publication| publication.holds(&table.table));
    (!holds).then(|| {
        let name = &config.publication_name;
        format!("publication {name} does not hold it: it joins at the next start of the pipeline")
    })
}

#[async_trait]
impl Rows for TableRows {
    async fn probe(&mut self, method: Method) -> Result<Option<i64>> {
        let hash = self.reader.probe(&self.client, method).await;
        hash.map_err(|cause| error::rows("a known text", cause))
    }

    async fn digests(&mut self, of: &Comparison) -> Result<Vec<Digest>> {
        let digests = self.reader.digests(&self.client, &self.shape(of), of).await;
        digests.map_err(|cause| error::rows(&of.schema.table.to_string(), cause))
    }

    async fn scan(&mut self, of: &Comparison, ranges: &[u32]) -> Result<()> {
        self.scanned = Some(of.schema.table.clone());
        let started = self.reader.scan(&self.client, &self.shape(of), of, ranges).await;
        started.map_err(|cause| error::rows(&of.schema.table.to_string(), cause))
    }

    async fn next(&mut self) -> Result<Vec<Seen>> {
        let rows = self.reader.next(&self.client).await;
        let table = || self.scanned.as_ref().map(TableId::to_string).unwrap_or_default();
        rows.map_err(|cause| error::rows(&table(), cause))
    }

    async fn lookup(&mut self, of: &Comparison, keys: &[(i64, Key)]) -> Result<Vec<Seen>> {
        let rows = self.reader.lookup(&self.client, &self.shape(of), of, keys).await;
        rows.map_err(|cause| error::rows(&of.schema.table.to_string(), cause))
    }

    async fn cells(
        &mut self,
        of: &Comparison,
        keys: &[(i64, Key)],
        values: bool,
    ) -> Result<Vec<Cells>> {
        let cells = self.reader.cells(&self.client, &self.shape(of), of, keys, values).await;
        cells.map_err(|cause| error::rows(&of.schema.table.to_string(), cause))
    }

    async fn end(&mut self) -> Result<()> {
        self.reader.end(&self.client).await.map_err(|cause| error::rows("a view", cause))
    }
}
