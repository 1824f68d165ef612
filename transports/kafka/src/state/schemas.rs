//! Table schemas and their numbers.

use super::{
    State, TRIES_MAX,
    journal::Entry,
    key::{About, Key},
    value,
    view::View,
};
use crate::error;
use async_trait::async_trait;
use bytes::Bytes;
use cdc_core::{Result, SchemaId, TableSchema, store::SchemaStore};
use std::{collections::BTreeSet, sync::Arc};

#[async_trait]
impl SchemaStore for State {
    async fn register(&self, schemas: &[&TableSchema]) -> Result<Vec<SchemaId>> {
        let encoded = schemas.iter().map(|schema| value::encode(schema, &[]));
        let encoded: Vec<Bytes> = encoded.collect::<Result<_, _>>().map_err(error::unwritable)?;
        for _ in 0..TRIES_MAX {
            match self.journal.look(|view| numbers(view, &encoded))?? {
                Numbers::Known(numbers) => return Ok(numbers),
                // Another process may take a number or register a schema first: both are then known.
                Numbers::Missing(entries) => drop(self.journal.write(entries).await?),
            }
        }
        Err(self.contended())
    }

    async fn get(&self, id: SchemaId) -> Result<Option<Arc<TableSchema>>> {
        self.journal.look(|view| view.schema(id))
    }
}

#[derive(Debug)]
pub(super) enum Numbers {
    Known(Vec<SchemaId>),
    Missing(Vec<Entry>),
}

/// The numbers of schemas, or the records that give numbers to those without.
pub(super) fn numbers(view: &View, encoded: &[Bytes]) -> Result<Numbers> {
    let known: Option<Vec<SchemaId>> = encoded.iter().map(|one| view.number(one)).collect();
    if let Some(known) = known {
        return Ok(Numbers::Known(known));
    }
    let missing: BTreeSet<&Bytes> =
        encoded.iter().filter(|one| view.number(one).is_none()).collect();
    let mut entries = Vec::with_capacity(missing.len());
    let mut newest = view.newest_schema();
    // In the order in which they were given, each once.
    let mut left = missing;
    for one in encoded.iter().filter(|one| left.remove(one)) {
        newest = newest.checked_add(1).ok_or_else(|| error::used_up("schema numbers"))?;
        entries.push(Entry { key: Key::new(About::Schema(newest)), value: Some(one.clone()) });
    }
    Ok(Numbers::Missing(entries))
}
