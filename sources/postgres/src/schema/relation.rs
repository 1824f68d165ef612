//! From a relation message to the schema and the decoder of the rows that follow it.

use super::{
    CatalogColumn, CatalogTable, Generated, TypeCatalog, column_default::column_default,
    data_type::data_type, load, numbering, table_schema, table_schema::DIALECT, within,
};
use crate::{
    convert::{DecodedColumn, Decoder},
    protocol::{Relation, RelationColumn},
};
use cdc_core::{Column, Result, TableId, TableSchema};
use std::sync::Arc;
use tokio_postgres::Client;

/// Replica identity `full` marks every column, `nothing` marks none: neither names a key.
const IDENTITIES_WITHOUT_KEY: &[u8] = b"fn";

const DECLARED: &str = "
SELECT format_type(t.oid, t.modifier)
FROM unnest($1::oid[], $2::int4[]) WITH ORDINALITY AS t (oid, modifier, place) ORDER BY t.place";

/// How the rows behind a relation message are read.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Their schema.
    pub schema: Arc<TableSchema>,
    /// Their decoder.
    pub decoder: Decoder,
    /// The types that are known by now.
    pub types: Arc<TypeCatalog>,
}

/// Resolves a message by what [`load`](super::load) read, when both agree; else `None`.
#[must_use]
pub fn resolve_from_catalog(
    relation: &Relation,
    table: &CatalogTable,
    types: &Arc<TypeCatalog>,
) -> Option<Resolved> {
    let mut table = table.clone();
    if !agrees(relation, &mut table) || table.table != id(relation) {
        return None;
    }
    let schema = table_schema(&table, types);
    if key(relation, Some(&table)) != schema.key {
        return None;
    }
    let decoder = super::decoder(&table, types);
    Some(Resolved { schema, decoder, types: Arc::clone(types) })
}

/// Narrows the table to the columns of the message. Are they the same?
fn agrees(relation: &Relation, table: &mut CatalogTable) -> bool {
    let names: Vec<String> = relation.columns.iter().map(|column| column.name.clone()).collect();
    table.publish_only(&names, true);
    table.oid == relation.oid
        && table.captured_columns().count() == names.len()
        && table.captured_columns().zip(&relation.columns).all(|(column, sent)| {
            column.name == sent.name
                && column.type_oid == sent.type_oid
                && column.type_modifier == sent.type_modifier
        })
}

/// Resolves a message by the catalog as it is now. Names, types and order come from the message;
/// what the message does not say, and the catalog by now contradicts, is left at its widest or as it was
/// `before`.
pub async fn resolve_relation(
    client: &Client,
    relation: &Relation,
    types: &Arc<TypeCatalog>,
    before: Option<&TableSchema>,
) -> Result<Resolved> {
    let table = load::load_one(client, relation.oid).await?;
    let oids: Vec<u32> = relation.columns.iter().map(|column| column.type_oid).collect();
    let types = load::with_types(client, &oids, types).await?;
    let modifiers: Vec<i32> = relation.columns.iter().map(|column| column.type_modifier).collect();
    let doing = "read the names of a table's types";
    let rows = within(doing, client.query(DECLARED, &[&oids, &modifiers])).await?;
    let declared = |row: &tokio_postgres::Row| row.try_get::<_, Option<String>>(0);
    let declared: Vec<Option<String>> =
        within(doing, async { rows.iter().map(declared).collect() }).await?;
    let mut resolved = resolve(relation, table.as_ref(), &declared, &types);
    if let (Some(before), Some(table)) = (before, &table) {
        numbering::remember(Arc::make_mut(&mut resolved.schema), before, table);
    }
    Ok(resolved)
}

fn resolve(
    relation: &Relation,
    table: Option<&CatalogTable>,
    declared: &[Option<String>],
    types: &Arc<TypeCatalog>,
) -> Resolved {
    let described = |column: &RelationColumn| {
        let table = table?;
        table
            .columns
            .iter()
            .find(|known| known.name == column.name && known.type_oid == column.type_oid)
    };
    let known = table.filter(|table| table.oid == relation.oid);
    let known = known.map(|table| numbering::columns_of(relation, table)).unwrap_or_default();
    let numbered = |index: usize| known.get(index).copied().flatten();
    // As it is now: what its default was when the rows were written is kept nowhere.
    let unchanged = |index: usize, sent: &RelationColumn| {
        let same = |known: &&CatalogColumn| {
            known.type_oid == sent.type_oid && known.type_modifier == sent.type_modifier
        };
        numbered(index).filter(same)
    };
    // The server prints `???` for a type that is gone.
    let declared = |index: usize| {
        let name = declared.get(index).and_then(Option::as_deref);
        name.filter(|name| !name.contains("???")).unwrap_or("text").to_owned()
    };
    let columns: Vec<Column> = relation
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let data_type = data_type(column.type_oid, column.type_modifier, types);
            let known = unchanged(index, column);
            Column {
                name: column.name.clone(),
                native_type: declared(index),
                nullable: described(column).is_none_or(|known| known.nullable),
                number: numbered(index).and_then(|known| u32::try_from(known.attnum).ok()),
                missing: known.and_then(|known| known.missing.clone()),
                default: known.and_then(|known| column_default(known, &data_type, types)),
                data_type,
            }
        })
        .collect();
    let decoded = relation.columns.iter().zip(&columns).map(|(sent, column)| DecodedColumn {
        name: sent.name.clone(),
        type_oid: sent.type_oid,
        type_name: column.native_type.clone(),
    });
    let table_id = id(relation);
    let decoder = Decoder::new(&table_id, decoded, types);
    let schema = Arc::new(TableSchema {
        table: table_id,
        dialect: DIALECT.to_owned(),
        key: key(relation, table),
        columns,
        number: Some(relation.oid),
    });
    Resolved { schema, decoder, types: Arc::clone(types) }
}

fn id(relation: &Relation) -> TableId {
    let namespace = if relation.namespace.is_empty() { "pg_catalog" } else { &relation.namespace };
    TableId::new(namespace, &relation.name)
}

/// The catalog knows the order of the key's columns, the message which columns they were.
fn key(relation: &Relation, table: Option<&CatalogTable>) -> Vec<u16> {
    let place = |name: &str| {
        let index = relation.columns.iter().position(|column| column.name == name)?;
        u16::try_from(index).ok()
    };
    let name = |table: &CatalogTable, attnum: i16| {
        let column = table.columns.iter().find(|column| column.attnum == attnum)?;
        place(&column.name)
    };
    let known: Option<Vec<u16>> =
        table.and_then(|table| table.key().iter().map(|attnum| name(table, *attnum)).collect());
    let marked: Vec<u16> = (0_u16..)
        .zip(&relation.columns)
        .filter(|(_, column)| column.key)
        .map(|(index, _)| index)
        .collect();
    // A generated column that is not published may be part of the key: half of a key is none.
    let incomplete = known.is_none() && table.is_some_and(|table| hides_key(relation, table));
    if incomplete || IDENTITIES_WITHOUT_KEY.contains(&relation.replica_identity) {
        return known.unwrap_or_default();
    }
    let agrees = |known: &Vec<u16>| {
        let mut sorted = known.clone();
        sorted.sort_unstable();
        sorted == marked
    };
    known.filter(agrees).unwrap_or(marked)
}

fn hides_key(relation: &Relation, table: &CatalogTable) -> bool {
    let sent = |name: &str| relation.columns.iter().any(|column| column.name == name);
    let hidden = |column: &&CatalogColumn| column.generated != Generated::No && !sent(&column.name);
    table.columns.iter().filter(hidden).any(|column| table.key().contains(&column.attnum))
}
