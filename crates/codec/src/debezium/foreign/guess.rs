//! What a table without a schema looks like, from what has been seen of it.

use super::values::{Column, Marks, Reading};
use super::{Described, ForeignError, with_key};
use cdc_core::{Column as SchemaColumn, DataType, TableId, TableSchema, Value};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many tables are remembered.
const TABLES_MAX: usize = 4_096;
/// So many columns a table may have; PostgreSQL allows 1,600.
const COLUMNS_MAX: usize = 4_096;

/// What a column's JSON has been so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guessed {
    /// Only null.
    Nothing,
    Bool,
    Int,
    Float,
    Text,
    Document,
}

impl Guessed {
    fn of(json: &Json, marks: &Marks) -> Self {
        match json {
            json if marks.stand_in(json) => Self::Nothing,
            Json::Null => Self::Nothing,
            Json::Bool(_) => Self::Bool,
            Json::Number(number) if number.is_i64() => Self::Int,
            // A double would round it.
            Json::Number(number) if number.is_u64() => Self::Text,
            Json::Number(_) => Self::Float,
            Json::String(_) => Self::Text,
            Json::Array(_) | Json::Object(_) => Self::Document,
        }
    }

    /// What holds both.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (one, other) if one == other => one,
            (Self::Nothing, seen) | (seen, Self::Nothing) => seen,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            _ => Self::Text,
        }
    }

    fn column(self, name: &str, nullable: bool) -> SchemaColumn {
        let (data_type, native_type) = match self {
            Self::Nothing | Self::Text => (DataType::Text, "text"),
            Self::Bool => (DataType::Bool, "boolean"),
            Self::Int => (DataType::Int64, "bigint"),
            Self::Float => (DataType::Float64, "double precision"),
            Self::Document => (DataType::Json, "jsonb"),
        };
        SchemaColumn {
            name: name.to_owned(),
            data_type,
            native_type: native_type.to_owned(),
            nullable,
            number: None,
            missing: None,
            default: None,
        }
    }

    /// The value as the column holds it.
    pub(super) fn value(self, json: &Json) -> Option<Value> {
        Some(match (self, json) {
            (Self::Bool, json) => Value::Bool(json.as_bool()?),
            (Self::Int, json) => Value::Int(json.as_i64()?),
            (Self::Float, json) => Value::Float64(json.as_f64()?),
            (Self::Document, json) => Value::Json(json.to_string().into()),
            (Self::Text | Self::Nothing, Json::String(text)) => Value::text(text.as_str()),
            (Self::Text | Self::Nothing, json) => Value::text(json.to_string()),
        })
    }
}

/// Every table that has been seen.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    tables: BTreeMap<TableId, Seen>,
}

#[derive(Debug)]
struct Seen {
    columns: Vec<(String, Guessed)>,
    key: Vec<String>,
    described: Arc<Described>,
}

impl Guesses {
    /// The table as it looks with this record.
    pub(super) fn describe(
        &mut self,
        table: TableId,
        dialect: &str,
        (payload, key): (&Json, &[&str]),
        marks: &Marks,
    ) -> Result<Arc<Described>, ForeignError> {
        if self.tables.len() >= TABLES_MAX && !self.tables.contains_key(&table) {
            self.tables.clear();
        }
        let is_new = !self.tables.contains_key(&table);
        let seen = self.tables.entry(table.clone()).or_insert_with(|| Seen {
            columns: Vec::new(),
            key: Vec::new(),
            described: Arc::new(described(table.clone(), dialect, &[], &[])),
        });
        let mut changed = is_new;
        if !key.is_empty() && seen.key != key {
            seen.key = key.iter().map(|name| (*name).to_owned()).collect();
            changed = true;
        }
        let images =
            ["before", "after"].into_iter().filter_map(|name| payload.get(name)?.as_object());
        for (name, json) in images.flatten() {
            let guessed = Guessed::of(json, marks);
            match seen.columns.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => {
                    let wider = known.with(guessed);
                    changed |= wider != *known;
                    *known = wider;
                }
                None => {
                    seen.columns.push((name.clone(), guessed));
                    changed = true;
                }
            }
        }
        if seen.columns.len() > COLUMNS_MAX {
            return Err(ForeignError::NotAnEnvelope("it has more columns than any table"));
        }
        if changed {
            seen.described = Arc::new(described(table, dialect, &seen.columns, &seen.key));
        }
        Ok(Arc::clone(&seen.described))
    }
}

fn described(
    table: TableId,
    dialect: &str,
    columns: &[(String, Guessed)],
    key: &[String],
) -> Described {
    let named = columns.iter().map(|(name, guessed)| guessed.column(name, !key.contains(name)));
    let schema = TableSchema {
        table,
        dialect: dialect.to_owned(),
        columns: named.collect(),
        key: Vec::new(),
        number: None,
    };
    let key: Vec<&str> = key.iter().map(String::as_str).collect();
    let columns = columns
        .iter()
        .map(|(name, guessed)| Column { label: name.clone(), reading: Reading::Guess(*guessed) });
    Described { schema: Arc::new(with_key(schema, &key)), columns: columns.collect() }
}
