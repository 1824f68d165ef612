//! Table schemas and their numbers.

use crate::{
    error::{self, Failure},
    store::{Store, write},
};
use async_trait::async_trait;
use cdc_core::{Result, SchemaId, TableSchema, store::SchemaStore};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use std::sync::Arc;

/// Schemas as JSON, by number. Nothing is ever removed, so that numbers are never reused.
const SCHEMAS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("schemas");
/// The reverse: numbers by the whole JSON, which a hash could not tell apart for certain.
const NUMBERS: TableDefinition<'_, &[u8], u32> = TableDefinition::new("schema_numbers");

pub(crate) fn create_tables(transaction: &WriteTransaction) -> Result<(), TableError> {
    transaction.open_table(SCHEMAS)?;
    transaction.open_table(NUMBERS)?;
    Ok(())
}

#[async_trait]
impl SchemaStore for Store {
    async fn register(&self, schema: &TableSchema) -> Result<SchemaId> {
        let what = format!("the schema of {}", schema.table);
        let json = serde_json::to_vec(schema);
        self.run(move |database| {
            let json = json.map_err(|source| Failure::Unreadable(what, Some(source)))?;
            let known = database.begin_read()?.open_table(NUMBERS)?.get(json.as_slice())?;
            match known {
                Some(number) => Ok(SchemaId(number.value())),
                None => write(database, |transaction| register(transaction, &json)),
            }
        })
        .await
    }

    async fn get(&self, id: SchemaId) -> Result<Option<Arc<TableSchema>>> {
        self.run(move |database| match database.begin_read()?.open_table(SCHEMAS)?.get(id.0)? {
            Some(json) => {
                serde_json::from_slice(json.value()).map(|schema| Some(Arc::new(schema))).map_err(
                    |source| Failure::Unreadable(format!("schema number {}", id.0), Some(source)),
                )
            }
            None => Ok(None),
        })
        .await
    }
}

fn register(transaction: &WriteTransaction, json: &[u8]) -> Result<SchemaId, Failure> {
    let mut numbers = transaction.open_table(NUMBERS)?;
    let known = numbers.get(json)?.map(|number| number.value());
    if let Some(known) = known {
        return Ok(SchemaId(known));
    }
    let mut schemas = transaction.open_table(SCHEMAS)?;
    let last = schemas.last()?.map_or(0, |(number, _)| number.value());
    let next =
        last.checked_add(1).ok_or_else(|| Failure::told(error::used_up("schema numbers")))?;
    schemas.insert(next, json)?;
    numbers.insert(json, next)?;
    Ok(SchemaId(next))
}
