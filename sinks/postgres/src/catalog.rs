//! What the target's system catalog says.

use crate::{
    connection::{Connection, Parameter},
    encode::Wire,
    layout::{CopyForm, Labels},
};
use cdc_core::{DataType, Result, TableId};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Row, types::Type};

/// A table of the target.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// `r` for a table, `p` for a partitioned one, anything else cannot be written to.
    pub(crate) kind: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) unique: Vec<Unique>,
}

/// A column of the target.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) not_null: bool,
    type_oid: u32,
    pub(crate) declared: String,
    cast: String,
    /// `e` for an enum, `b` for a base type …
    type_kind: String,
    element_oid: u32,
    element_kind: String,
    delimiter: u8,
    enum_name: Option<String>,
    labels: Vec<String>,
}

/// A unique index that ON CONFLICT can use.
#[derive(Clone, Debug)]
pub(crate) struct Unique {
    /// Name of the primary key constraint, if it is one.
    pub(crate) primary: Option<String>,
    pub(crate) columns: BTreeSet<String>,
}

/// How a type of the source's stands on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypeKind {
    Missing,
    Domain,
    Enum,
    Other,
}

const COLUMNS: &str = "
    SELECT c.relkind::text, a.attname::text, a.attnotnull, a.atttypid,
           format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, -1), t.typtype::text,
           coalesce(e.oid, 0), coalesce(e.typtype::text, ''), coalesce(e.typdelim, ',')::text,
           (SELECT quote_ident(s.nspname) || '.' || quote_ident(y.typname)
              FROM pg_type y JOIN pg_namespace s ON s.oid = y.typnamespace
             WHERE y.oid = CASE WHEN t.typtype = 'e' THEN t.oid ELSE e.oid END AND y.typtype = 'e'),
           ARRAY(SELECT l.enumlabel::text FROM pg_enum l WHERE l.enumtypid IN (t.oid, e.oid)
                  ORDER BY l.enumsortorder)
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_type t ON t.oid = a.atttypid
      LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
     WHERE n.nspname = $1 AND c.relname = $2
     ORDER BY a.attnum";

const UNIQUE: &str = "
    SELECT k.conname::text,
           ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS x (attnum, place)
                   JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = x.attnum
                  WHERE x.place <= i.indnkeyatts)
      FROM pg_index i
      JOIN pg_class c ON c.oid = i.indrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype = 'p'
     WHERE n.nspname = $1 AND c.relname = $2 AND i.indisunique AND i.indimmediate AND i.indisvalid
       AND i.indpred IS NULL AND i.indexprs IS NULL";

const TYPES: &str = "
    SELECT n.name, t.typtype::text FROM unnest($1::text[]) AS n (name)
      LEFT JOIN pg_type t ON t.oid = to_regtype(n.name)::oid";

/// Looks a table up; `None` when it does not exist.
pub(crate) async fn table(connection: &Connection, name: &TableId) -> Result<Option<Table>> {
    let doing = format!("reading the definition of {name}");
    let parameters: [Parameter<'_>; 2] = [(&name.namespace, Type::TEXT), (&name.name, Type::TEXT)];
    let read = |row: &Row| Ok((row.try_get::<_, String>(0)?, column(row)?));
    let rows: Vec<_> = connection.all(&doing, COLUMNS, &parameters, read).await?;
    let Some((kind, _)) = rows.first() else { return Ok(None) };
    let kind = kind.clone();
    let columns = rows.into_iter().filter_map(|(_, column)| column).collect();
    let read = |row: &Row| {
        let columns: Vec<String> = row.try_get(1)?;
        Ok(Unique { primary: row.try_get(0)?, columns: columns.into_iter().collect() })
    };
    let unique = connection.all(&doing, UNIQUE, &parameters, read).await?;
    Ok(Some(Table { kind, columns, unique }))
}

fn column(row: &Row) -> Result<Option<Column>, tokio_postgres::Error> {
    let Some(name) = row.try_get::<_, Option<String>>(1)? else { return Ok(None) };
    let delimiter: String = row.try_get(9)?;
    Ok(Some(Column {
        name,
        not_null: row.try_get(2)?,
        type_oid: row.try_get(3)?,
        declared: row.try_get(4)?,
        cast: row.try_get(5)?,
        type_kind: row.try_get(6)?,
        element_oid: row.try_get(7)?,
        element_kind: row.try_get(8)?,
        delimiter: delimiter.bytes().next().unwrap_or(crate::literal::COMMA),
        enum_name: row.try_get(10)?,
        labels: row.try_get(11)?,
    }))
}

/// Tells how types stand on the target, by their names.
pub(crate) async fn types(
    connection: &Connection,
    names: &[String],
) -> Result<BTreeMap<String, TypeKind>> {
    let names = names.to_vec();
    let read = |row: &Row| {
        let kind = match row.try_get::<_, Option<String>>(1)?.as_deref() {
            None => TypeKind::Missing,
            Some("d") => TypeKind::Domain,
            Some("e") => TypeKind::Enum,
            Some(_) => TypeKind::Other,
        };
        Ok((row.try_get(0)?, kind))
    };
    connection.all("looking up the column types", TYPES, &[(&names, Type::TEXT_ARRAY)], read).await
}

/// Does the table hold any row?
pub(crate) async fn is_empty(connection: &Connection, name: &TableId) -> Result<bool> {
    let doing = format!("looking for rows in {name}");
    let sql = format!("SELECT NOT EXISTS (SELECT FROM {})", crate::sql::qualified(name));
    connection.one(&doing, &sql, &[], |row| row.try_get(0)).await
}

/// Does the schema exist?
pub(crate) async fn has_schema(connection: &Connection, name: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    let doing = format!("looking for schema {name}");
    connection.one(&doing, sql, &[(&name, Type::TEXT)], |row| row.try_get(0)).await
}

impl Table {
    /// Can rows be written to it?
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.kind.as_str(), "r" | "p")
    }

    /// The column of this name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Is there an index for ON CONFLICT over exactly these columns?
    pub(crate) fn is_unique_by(&self, key: &BTreeSet<String>) -> bool {
        self.unique.iter().any(|unique| unique.columns == *key)
    }

    /// The primary key.
    pub(crate) fn primary(&self) -> Option<&Unique> {
        self.unique.iter().find(|unique| unique.primary.is_some())
    }
}

impl Column {
    /// How values of the source's `data_type` get into this column.
    pub(crate) fn layout(&self, data_type: &DataType) -> crate::layout::Column {
        let text = Wire::Text { delimiter: self.delimiter };
        let binary = Wire::binary(self.type_oid, data_type);
        let wire = binary.unwrap_or(text);
        crate::layout::Column {
            name: self.name.clone(),
            declared: self.declared.clone(),
            cast: self.cast.clone(),
            wire,
            native: wire.element_type().oid() == self.type_oid,
            copy: self.copy_form(data_type, binary),
            labels: self.enum_name.as_ref().map(|name| Labels {
                type_name: name.clone(),
                known: self.labels.iter().cloned().collect(),
            }),
        }
    }

    fn copy_form(&self, data_type: &DataType, binary: Option<Wire>) -> Option<CopyForm> {
        if let Some(wire) = binary {
            return Some(CopyForm::Scalar(wire));
        }
        match data_type {
            // The binary form of an enum is its label.
            DataType::Enum { .. } if self.type_kind == "e" => Some(CopyForm::Scalar(Wire::TEXT)),
            DataType::Array(element) if self.element_kind == "b" => {
                let wire = Wire::binary(self.element_oid, element)?;
                // The element's type stands in the bytes, so look-alikes will not do.
                let exact = wire.element_type().oid() == self.element_oid;
                exact.then_some(CopyForm::Array(wire))
            }
            _ => None,
        }
    }
}
