//! The tables of a stream, as the server announced them, and their rows.

use crate::{
    connection::SharedSql,
    convert::Decoder,
    error,
    protocol::{Field, Malformed, OldTuple, Relation, Tuple},
    schema::{self, Catalog, CatalogTable, Resolved, Selection, TypeCatalog},
};
use bytes::Bytes;
use cdc_core::{Result, Row, TableId, TableSchema, Value};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The catalog as it was read at the start is believed for so long; then a table is looked up.
const CATALOG_AGE_MAX: Duration = Duration::from_secs(30);

/// Every table that the server has announced on this connection.
pub(crate) struct Tables {
    selection: Arc<Selection>,
    sql: Arc<SharedSql>,
    known: BTreeMap<u32, Table>,
    /// The newest schema of each table, so that an unchanged one stays the same allocation.
    schemas: BTreeMap<TableId, Arc<TableSchema>>,
    preloaded: BTreeMap<u32, CatalogTable>,
    preloaded_at: Instant,
    types: Arc<TypeCatalog>,
}

/// One announced table.
pub(super) enum Table {
    /// It is published but not selected.
    Ignored,
    /// It is captured.
    Captured(Box<Captured>),
}

/// How rows of a captured table are read.
pub(super) struct Captured {
    pub(super) schema: Arc<TableSchema>,
    resolved: Resolved,
    /// Which columns a key-only tuple fills in.
    identity: Box<[bool]>,
}

impl Tables {
    pub(crate) fn new(selection: Arc<Selection>, sql: Arc<SharedSql>, catalog: Catalog) -> Self {
        Self {
            selection,
            sql,
            known: BTreeMap::new(),
            schemas: BTreeMap::new(),
            preloaded: catalog.tables.into_iter().map(|table| (table.oid, table)).collect(),
            preloaded_at: Instant::now(),
            types: catalog.types,
        }
    }

    /// Forgets what a connection announced; schemas stay.
    pub(crate) fn reconnect(&mut self) {
        self.known.clear();
    }

    /// The newest schema of a table that the stream has announced.
    pub(super) fn schema(&self, table: &TableId) -> Option<Arc<TableSchema>> {
        self.schemas.get(table).cloned()
    }

    pub(super) fn get(&self, oid: u32) -> Result<&Table> {
        let table = self.known.get(&oid);
        table.ok_or_else(|| {
            error::protocol(Malformed::new("a row of a table that was not announced"))
        })
    }

    /// Notes what the server announced. Says whether the table's rows can be read in binary form.
    pub(super) async fn announce(&mut self, relation: Relation) -> Result<bool> {
        let namespace =
            if relation.namespace.is_empty() { "pg_catalog" } else { &relation.namespace };
        let id = TableId::new(namespace, relation.name.clone());
        if !self.selection.matches(&id) {
            self.known.insert(relation.oid, Table::Ignored);
            return Ok(true);
        }
        let resolved = self.resolve(&relation, self.schemas.get(&id).cloned()).await?;
        let binary = resolved.decoder.binary_decodable();
        let schema = match self.schemas.get(&id) {
            Some(before) if **before == *resolved.schema => Arc::clone(before),
            before => {
                if before.is_some() {
                    tracing::info!(event = "schema.version_changed", table = %id, "table schema changed");
                }
                Arc::clone(&resolved.schema)
            }
        };
        self.schemas.insert(id, Arc::clone(&schema));
        let identity = relation.columns.iter().map(|column| column.key).collect();
        let captured = Captured { schema, resolved, identity };
        self.known.insert(relation.oid, Table::Captured(Box::new(captured)));
        Ok(binary)
    }

    async fn resolve(
        &mut self,
        relation: &Relation,
        before: Option<Arc<TableSchema>>,
    ) -> Result<Resolved> {
        let client = self.sql.get().await?;
        // A second announcement means that something about the table has changed.
        let preloaded = self.preloaded.remove(&relation.oid);
        if self.preloaded_at.elapsed() < CATALOG_AGE_MAX
            && let Some(table) = preloaded
            && let Some(resolved) = schema::resolve_from_catalog(relation, &table, &self.types)
            // A column that was dropped and added again looks the same in the message.
            && schema::column_numbers(&client, relation.oid).await?
                == table.columns.iter().map(|column| column.attnum).collect::<Vec<_>>()
        {
            return Ok(resolved);
        }
        let before = before.as_deref();
        let resolved = schema::resolve_relation(&client, relation, &self.types, before).await?;
        self.types = Arc::clone(&resolved.types);
        Ok(resolved)
    }
}

impl Captured {
    pub(super) fn decoder(&self) -> &Decoder {
        &self.resolved.decoder
    }

    /// The row of a tuple; the values are slices of `frame`.
    #[inline]
    pub(super) fn row(&self, tuple: &Tuple, frame: &Bytes) -> Result<Row> {
        let mut values = Vec::with_capacity(usize::from(tuple.columns));
        for (index, field) in tuple.fields(frame).enumerate() {
            values.push(self.value(index, field, frame)?);
        }
        if values.len() != self.schema.columns.len() {
            return Err(error::protocol(Malformed::new("a row of another width than its table")));
        }
        Ok(values.into_boxed_slice())
    }

    #[inline]
    fn value(&self, index: usize, field: Field, frame: &Bytes) -> Result<Value> {
        let decoder = &self.resolved.decoder;
        match field {
            Field::Null => Ok(Value::Null),
            Field::Unchanged => Ok(Value::Unchanged),
            Field::Binary(range) => Ok(decoder.binary(index, frame, range)?),
            Field::Text(range) => Ok(decoder.text(index, frame, range)?),
        }
    }

    /// The row before a change. What the server did not log is marked as such.
    pub(super) fn old_row(&self, old: &OldTuple, frame: &Bytes) -> Result<Row> {
        let mut row = self.row(&old.tuple, frame)?;
        if old.key_only {
            for (value, identity) in row.iter_mut().zip(&self.identity) {
                if !identity {
                    *value = Value::Unchanged;
                }
            }
        }
        Ok(row)
    }

    /// The row after an update: an unchanged value that the old row holds is taken from there.
    pub(super) fn new_row(&self, new: &Tuple, before: Option<&Row>, frame: &Bytes) -> Result<Row> {
        let mut row = self.row(new, frame)?;
        if let Some(before) = before {
            for (after, before) in row.iter_mut().zip(before) {
                if matches!(after, Value::Unchanged) {
                    after.clone_from(before);
                }
            }
        }
        Ok(row)
    }
}
