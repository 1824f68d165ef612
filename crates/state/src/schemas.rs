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
    async fn register(&self, schemas: &[&TableSchema]) -> Result<Vec<SchemaId>> {
        let printed = schemas.iter().map(|schema| {
            serde_json::to_vec(schema).map_err(|source| {
                Failure::Unreadable(format!("the schema of {}", schema.table), Some(source))
            })
        });
        let printed: Result<Vec<Vec<u8>>, Failure> = printed.collect();
        self.run(move |database| {
            let printed = printed?;
            let known = {
                let numbers = database.begin_read()?.open_table(NUMBERS)?;
                let number = |json: &Vec<u8>| {
                    let found = numbers.get(json.as_slice())?;
                    Ok(found.map(|number| SchemaId(number.value())))
                };
                printed.iter().map(number).collect::<Result<Option<Vec<_>>, Failure>>()?
            };
            match known {
                Some(numbers) => Ok(numbers),
                None => write(database, |transaction| {
                    printed.iter().map(|json| register(transaction, json)).collect()
                }),
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
