//! The statements that write rows.
//!
//! Each takes one array per column and spreads them with `unnest`, so that the same statement writes
//! one row or ten thousand in one round trip.

use crate::{
    encode::Wire,
    layout::{Column, Layout},
};
use cdc_core::TableId;
use tokio_postgres::types::Type;

/// Which columns a partial row carries, by their index.
pub(crate) type Present = Box<[bool]>;

/// What a statement does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Write whole rows over whatever has their keys.
    Upsert,
    /// Add whole rows.
    Append,
    /// Remove rows by key.
    Delete,
    /// Set the present columns of rows that exist, by key.
    Patch(Present),
    /// Set the present columns, the key among them, of a row that has another key.
    Move(Present),
    /// Remove one row that equals the old one in all columns.
    MatchDelete,
    /// Set the present columns of one row that equals the old one in all columns.
    MatchUpdate(Present),
}

/// Whose value a parameter carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Old,
    New,
}

/// One parameter: an array with a value of this column for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) side: Side,
    pub(crate) column: usize,
    pub(crate) wire: Wire,
}

/// A statement and its parameters.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) sql: String,
    pub(crate) inputs: Vec<Input>,
}

/// A name in quotes.
pub(crate) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table's full name in quotes.
pub(crate) fn qualified(table: &TableId) -> String {
    format!("{}.{}", ident(&table.namespace), ident(&table.name))
}

/// A text in quotes.
pub(crate) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Writes the statement of this kind for this table.
pub(crate) fn build(layout: &Layout, kind: &Kind) -> Built {
    let mut builder = Builder { layout, inputs: Vec::new() };
    let sql = match kind {
        Kind::Upsert => builder.insert(true),
        Kind::Append => builder.insert(false),
        Kind::Delete => builder.delete(),
        Kind::Patch(present) => builder.patch(present),
        Kind::Move(present) => builder.moved(present),
        Kind::MatchDelete => builder.match_delete(),
        Kind::MatchUpdate(present) => builder.match_update(present),
    };
    Built { sql, inputs: builder.inputs }
}

/// The statement that takes rows by binary COPY.
pub(crate) fn copy(layout: &Layout) -> String {
    let columns = names(layout.columns.iter());
    format!("COPY {} ({columns}) FROM STDIN (FORMAT binary)", qualified(&layout.target))
}

fn names<'a>(columns: impl Iterator<Item = &'a Column>) -> String {
    columns.map(|column| ident(&column.name)).collect::<Vec<_>>().join(", ")
}

struct Builder<'a> {
    layout: &'a Layout,
    inputs: Vec<Input>,
}

impl Builder<'_> {
    fn target(&self) -> String {
        qualified(&self.layout.target)
    }

    /// Adds a parameter and returns the expression of its value, cast to the column's type.
    fn input(&mut self, side: Side, column: usize) -> String {
        let number = self.inputs.len();
        let Some(target) = self.layout.columns.get(column) else { return String::from("NULL") };
        self.inputs.push(Input { side, column, wire: target.wire });
        if target.native { format!("u.c{number}") } else { format!("u.c{number}::{}", target.cast) }
    }

    /// `unnest($1::…, …) AS u(c0, …)` over all parameters so far.
    fn source(&self) -> String {
        let array = |(number, input): (usize, &Input)| {
            format!("${}::{}", number + 1, array_name(&input.wire.array_type()))
        };
        let arrays: Vec<_> = self.inputs.iter().enumerate().map(array).collect();
        let columns: Vec<_> = (0..self.inputs.len()).map(|number| format!("c{number}")).collect();
        format!("unnest({}) AS u({})", arrays.join(", "), columns.join(", "))
    }

    fn insert(&mut self, on_conflict: bool) -> String {
        let layout = self.layout;
        let columns = names(layout.columns.iter());
        let values: Vec<_> =
            (0..layout.columns.len()).map(|column| self.input(Side::New, column)).collect();
        let (target, values, source) = (self.target(), values.join(", "), self.source());
        let mut sql = format!("INSERT INTO {target} ({columns}) SELECT {values} FROM {source}");
        if on_conflict && layout.has_key() {
            let key = names(layout.key.iter().filter_map(|column| layout.columns.get(*column)));
            let set: Vec<_> = (layout.columns.iter().enumerate())
                .filter(|(column, _)| !layout.is_key(*column))
                .map(|(_, column)| {
                    let name = ident(&column.name);
                    format!("{name} = excluded.{name}")
                })
                .collect();
            sql.push_str(&format!(" ON CONFLICT ({key}) DO "));
            if set.is_empty() {
                sql.push_str("NOTHING");
            } else {
                sql.push_str(&format!("UPDATE SET {}", set.join(", ")));
            }
        }
        sql
    }

    /// `t."id" = u.c0 AND …`
    fn by_key(&mut self, side: Side) -> String {
        let layout = self.layout;
        let terms: Vec<_> = (layout.key.iter())
            .filter_map(|column| Some((column, layout.columns.get(*column)?)))
            .map(|(column, target)| {
                format!("t.{} = {}", ident(&target.name), self.input(side, *column))
            })
            .collect();
        terms.join(" AND ")
    }

    /// `"a" = u.c1, …` for the present columns.
    fn assignments(&mut self, present: &[bool], with_key: bool) -> String {
        let layout = self.layout;
        let terms: Vec<_> = (layout.columns.iter().enumerate())
            .filter(|(column, _)| present.get(*column).copied().unwrap_or(false))
            .filter(|(column, _)| with_key || !layout.is_key(*column))
            .map(|(column, target)| {
                format!("{} = {}", ident(&target.name), self.input(Side::New, column))
            })
            .collect();
        terms.join(", ")
    }

    fn delete(&mut self) -> String {
        let condition = self.by_key(Side::Old);
        format!("DELETE FROM {} AS t USING {} WHERE {condition}", self.target(), self.source())
    }

    fn patch(&mut self, present: &[bool]) -> String {
        let condition = self.by_key(Side::New);
        let set = self.assignments(present, false);
        let (target, source) = (self.target(), self.source());
        format!("UPDATE {target} AS t SET {set} FROM {source} WHERE {condition}")
    }

    fn moved(&mut self, present: &[bool]) -> String {
        let condition = self.by_key(Side::Old);
        let set = self.assignments(present, true);
        let (target, source) = (self.target(), self.source());
        format!("UPDATE {target} AS t SET {set} FROM {source} WHERE {condition}")
    }

    /// Finds one row by all its columns. Where equal values can print differently (1.0 and 1.00) or
    /// a type has no equality, the printed forms are compared.
    fn by_all_columns(&mut self) -> String {
        let layout = self.layout;
        let terms: Vec<_> = (layout.columns.iter().enumerate())
            .map(|(column, target)| {
                let (name, value) = (ident(&target.name), self.input(Side::Old, column));
                if target.native && prints_as_it_equals(target.wire) {
                    format!("t.{name} IS NOT DISTINCT FROM {value}")
                } else {
                    let value = format!("({value})::text COLLATE \"C\"");
                    format!("t.{name}::text COLLATE \"C\" IS NOT DISTINCT FROM {value}")
                }
            })
            .collect();
        terms.join(" AND ")
    }

    fn match_delete(&mut self) -> String {
        let condition = self.by_all_columns();
        let (target, source) = (self.target(), self.source());
        format!(
            "DELETE FROM {target} WHERE ctid = \
             (SELECT t.ctid FROM {target} AS t, {source} WHERE {condition} LIMIT 1)"
        )
    }

    fn match_update(&mut self, present: &[bool]) -> String {
        let condition = self.by_all_columns();
        let set = self.assignments(present, true);
        let (target, source) = (self.target(), self.source());
        format!(
            "WITH u AS MATERIALIZED (SELECT * FROM {source}) UPDATE {target} AS w SET {set} FROM u \
             WHERE w.ctid = (SELECT t.ctid FROM {target} AS t, u WHERE {condition} LIMIT 1)"
        )
    }
}

fn prints_as_it_equals(wire: Wire) -> bool {
    matches!(
        wire,
        Wire::Bool
            | Wire::Int2
            | Wire::Int4
            | Wire::Int8
            | Wire::Bytea
            | Wire::Date
            | Wire::Time
            | Wire::Timestamp
            | Wire::TimestampTz
            | Wire::Uuid
    )
}

/// `pg_catalog.int8[]` for `_int8`.
fn array_name(array: &Type) -> String {
    format!("pg_catalog.{}[]", array.name().trim_start_matches('_'))
}
