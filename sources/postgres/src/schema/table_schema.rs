//! From a table of the catalog to the schema and the decoder of its rows.

use super::{
    Catalog, CatalogColumn, CatalogTable, TypeCatalog, column_default::column_default,
    data_type::data_type,
};
use crate::convert::{DecodedColumn, Decoder};
use cdc_core::{Column, TableSchema};
use std::sync::Arc;

/// Whose type names our schemas hold.
pub(super) const DIALECT: &str = "postgres";

/// The schema of the rows that we emit for a table.
#[must_use]
pub fn table_schema(table: &CatalogTable, types: &TypeCatalog) -> Arc<TableSchema> {
    let captured: Vec<&CatalogColumn> = table.captured_columns().collect();
    let column = |column: &&CatalogColumn| {
        let data_type = data_type(column.type_oid, column.type_modifier, types);
        Column {
            name: column.name.clone(),
            native_type: column.declared.clone(),
            nullable: column.nullable,
            number: u32::try_from(column.attnum).ok(),
            missing: column.missing.clone(),
            default: column_default(column, &data_type, types),
            data_type,
        }
    };
    let key = |attnum: &i16| {
        let index = captured.iter().position(|column| column.attnum == *attnum)?;
        u16::try_from(index).ok()
    };
    Arc::new(TableSchema {
        table: table.table.clone(),
        dialect: DIALECT.to_owned(),
        columns: captured.iter().map(column).collect(),
        // Half of a key identifies nothing.
        key: table.key().iter().map(key).collect::<Option<Vec<u16>>>().unwrap_or_default(),
        number: Some(table.oid),
    })
}

/// The decoder of the rows that we emit for a table.
pub(crate) fn decoder(table: &CatalogTable, types: &Arc<TypeCatalog>) -> Decoder {
    let column = |column: &CatalogColumn| DecodedColumn {
        name: column.name.clone(),
        type_oid: column.type_oid,
        type_name: column.declared.clone(),
    };
    Decoder::new(&table.table, table.captured_columns().map(column), types)
}

/// Can the rows of every captured table be read from the binary form that `pgoutput` sends?
#[must_use]
pub fn binary_decodable(catalog: &Catalog) -> bool {
    catalog.tables.iter().all(|table| decoder(table, &catalog.types).binary_decodable())
}
