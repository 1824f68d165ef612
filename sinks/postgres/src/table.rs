//! Creating replica tables and keeping them in step with their sources.

use crate::{
    Config,
    catalog::{self, TypeKind},
    columns::{self, DIALECT},
    connection::{Connection, Parameter},
    error, evolve,
    layout::Layout,
    sql::{ident, qualified, text},
    state::State,
};
use cdc_core::{Column, DataType, Result, TableId, TableSchema};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio_postgres::{Row, types::Type};

/// Stands before the value that rows get in a column that is added.
const DEFAULT: &str = " DEFAULT ";

/// An enum type that columns of a table need, with the labels that it must have.
struct EnumType {
    name: TableId,
    labels: Vec<String>,
}

/// A column's type on the target.
struct Target {
    sql: String,
    enum_type: Option<EnumType>,
}

/// A prepared replica table.
pub(crate) struct Ready {
    pub(crate) layout: Layout,
    /// Does it hold no rows?
    pub(crate) empty: bool,
}

/// Brings one replica table to the schema of its source, inside the open transaction.
pub(crate) struct Preparer<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) config: &'a Config,
    pub(crate) state: &'a State,
    pub(crate) application_name: &'a str,
}

impl Preparer<'_> {
    /// Creates or evolves the table and describes what statements have to deal with.
    pub(crate) async fn prepare(&self, new: &Arc<TableSchema>) -> Result<Ready> {
        let source = &new.table;
        let target = self.config.replica_of(source);
        let known = self.find_known(new, &target).await?;
        let known = known.filter(|known| known.target == target).map(|known| known.schema);
        let found = catalog::table(self.connection, &target).await?;
        let types = self.target_types(new).await?;
        self.provide_enums(&types).await?;
        let mut changed = true;
        match (&found, &known) {
            (None, Some(_)) => return Err(error::table_vanished(source, &target)),
            (None, None) => self.create(&target, new, &types).await?,
            (Some(table), _) if !table.is_writable() => {
                return Err(error::refused(format!("{target} on the target is not a table")));
            }
            (Some(table), _) => {
                if known.is_none() {
                    warn_of_other_types(&target, table, new, &types);
                }
                changed = self.evolve(&target, table, known.as_ref(), new, &types).await?;
            }
        }
        if known.as_ref() != Some(&**new) {
            self.state.save_table(self.connection, new, &target).await?;
        }
        let table = match found {
            Some(table) if !changed => table,
            _ => catalog::table(self.connection, &target)
                .await?
                .ok_or_else(|| error::table_vanished(source, &target))?,
        };
        let layout = layout(new, &target, &table)?;
        let empty = catalog::is_empty(self.connection, &target).await?;
        Ok(Ready { layout, empty })
    }

    pub(crate) async fn run(&self, doing: &str, statement: &str) -> Result<()> {
        // What comes after a default is a value.
        let shown = statement.split_once(DEFAULT).map_or(statement, |(shown, _)| shown);
        tracing::info!(statement = shown, "changing the target's schema");
        self.connection.simple(doing, statement).await
    }

    async fn target_types(&self, schema: &TableSchema) -> Result<Vec<Target>> {
        let mut kinds = BTreeMap::new();
        if schema.dialect == DIALECT {
            let names: BTreeSet<String> = (schema.columns.iter())
                .map(|column| columns::strip_brackets(&column.native_type).0.to_owned())
                .collect();
            let names: Vec<String> = names.into_iter().collect();
            kinds = catalog::types(self.connection, &names).await?;
        }
        let target = |column: &Column| self.target_type(schema, column, &kinds);
        Ok(schema.columns.iter().map(target).collect())
    }

    fn target_type(
        &self,
        schema: &TableSchema,
        column: &Column,
        kinds: &BTreeMap<String, TypeKind>,
    ) -> Target {
        let plain = || Target { sql: columns::from_data_type(&column.data_type), enum_type: None };
        if schema.dialect != DIALECT {
            return plain();
        }
        let (base, dimensions) = columns::strip_brackets(&column.native_type);
        if columns::is_kept_as_text(base) {
            return plain();
        }
        // A domain over an array of an enum has no brackets, and its name is not the enum's.
        let is_array = matches!(column.data_type, DataType::Array(_));
        if let Some(labels) = columns::enum_labels(&column.data_type)
            && is_array == (dimensions > 0)
            && kinds.get(base) != Some(&TypeKind::Domain)
            && let Some(name) = columns::split_name(base)
        {
            let name = TableId::new(self.config.schema_of(&name.namespace), name.name);
            let sql = qualified(&name) + &"[]".repeat(dimensions);
            return Target { sql, enum_type: Some(EnumType { name, labels: labels.to_vec() }) };
        }
        match kinds.get(base) {
            Some(TypeKind::Other | TypeKind::Enum) => {
                Target { sql: column.native_type.clone(), enum_type: None }
            }
            // A domain's checks are its source's business; they must not stop the replica.
            Some(TypeKind::Domain) => plain(),
            Some(TypeKind::Missing) | None => {
                let fallback = plain();
                tracing::warn!(
                    table = %schema.table, column = %column.name, native_type = %column.native_type,
                    used = %fallback.sql, "the target does not know a column's type"
                );
                fallback
            }
        }
    }

    pub(crate) async fn create_schema(&self, name: &str) -> Result<()> {
        if catalog::has_schema(self.connection, name).await? {
            return Ok(());
        }
        let statement = format!("CREATE SCHEMA IF NOT EXISTS {}", ident(name));
        self.run_apart(&format!("creating schema {name}"), &[statement]).await
    }

    async fn provide_enums(&self, types: &[Target]) -> Result<()> {
        let mut provided = BTreeSet::new();
        for wanted in types.iter().filter_map(|target| target.enum_type.as_ref()) {
            if !provided.insert(&wanted.name) {
                continue;
            }
            let labels = enum_labels(self.connection, &wanted.name).await?;
            let Some(labels) = labels else {
                self.create_schema(&wanted.name.namespace).await?;
                let list: Vec<_> = wanted.labels.iter().map(|label| text(label)).collect();
                let name = qualified(&wanted.name);
                let statement = format!("CREATE TYPE {name} AS ENUM ({})", list.join(", "));
                self.run_apart(&format!("creating type {}", wanted.name), &[statement]).await?;
                continue;
            };
            let known: BTreeSet<&String> = labels.iter().collect();
            let statements = additions(&qualified(&wanted.name), &wanted.labels, &known);
            self.add_labels(&wanted.name, &statements).await?;
        }
        Ok(())
    }

    pub(crate) async fn add_labels(&self, name: &TableId, statements: &[String]) -> Result<()> {
        if statements.is_empty() {
            return Ok(());
        }
        self.run_apart(&format!("adding labels to type {name}"), statements).await
    }

    /// Runs statements in a session of their own. A label cannot be used by the transaction that adds it,
    /// before PostgreSQL 17 not even by the one that made its type; so types, their schemas and their
    /// labels are committed at once, and stay when the open transaction does not.
    async fn run_apart(&self, doing: &str, statements: &[String]) -> Result<()> {
        let side = Connection::open(self.config, self.application_name).await?;
        for statement in statements {
            tracing::info!(statement, "changing the target's schema");
            side.simple(doing, statement).await?;
        }
        side.close().await;
        Ok(())
    }

    async fn create(&self, target: &TableId, new: &TableSchema, types: &[Target]) -> Result<()> {
        self.create_schema(&target.namespace).await?;
        let column = |(column, target): (&Column, &Target)| {
            format!("{} {}", ident(&column.name), target.sql)
        };
        let mut parts: Vec<_> = new.columns.iter().zip(types).map(column).collect();
        if new.has_key() {
            parts.push(format!("PRIMARY KEY ({})", key_list(new)));
        }
        let sql = format!("CREATE TABLE {} ({})", qualified(target), parts.join(", "));
        self.run(&format!("creating table {target}"), &sql).await
    }

    /// Says whether anything was changed.
    async fn evolve(
        &self,
        target: &TableId,
        table: &catalog::Table,
        old: Option<&TableSchema>,
        new: &TableSchema,
        types: &[Target],
    ) -> Result<bool> {
        let statements = alterations(target, table, old, new, types);
        for statement in &statements {
            self.run(&format!("altering table {target}"), statement)
                .await
                .map_err(|cause| follow_error(&new.table, cause))?;
        }
        Ok(!statements.is_empty())
    }
}

/// A table that was there before may round what its source did not.
fn warn_of_other_types(
    target: &TableId,
    table: &catalog::Table,
    new: &TableSchema,
    types: &[Target],
) {
    for (column, wanted) in new.columns.iter().zip(types) {
        let Some(found) = table.column(&column.name) else { continue };
        if found.declared != wanted.sql && wanted.enum_type.is_none() {
            tracing::warn!(
                table = %target, column = %column.name, found = %found.declared, source = %wanted.sql,
                "a column that was there has another type than its source; values are converted"
            );
        }
    }
}

/// Only what the target refuses for good is the table's own trouble.
fn follow_error(source: &TableId, cause: cdc_core::Error) -> cdc_core::Error {
    if cause.retry == cdc_core::Retry::Never { error::evolve(source, &cause) } else { cause }
}

fn key_list(schema: &TableSchema) -> String {
    schema.key_columns().map(|column| ident(&column.name)).collect::<Vec<_>>().join(", ")
}

/// The statements that turn the table as it is into what the new schema asks for.
fn alterations(
    target: &TableId,
    table: &catalog::Table,
    old: Option<&TableSchema>,
    new: &TableSchema,
    types: &[Target],
) -> Vec<String> {
    let name = qualified(target);
    let type_of = |at: usize| types.get(at).map_or("text", |target| target.sql.as_str());
    let steps = old.map_or_else(Vec::new, |old| evolve::steps(old, new));
    let mut present: BTreeSet<String> =
        table.columns.iter().map(|column| column.name.clone()).collect();
    let mut out = key_removal(&name, table, old, new);
    for step in steps {
        match step {
            evolve::Step::Drop(column) if present.remove(&column) => {
                out.push(format!("ALTER TABLE {name} DROP COLUMN {}", ident(&column)));
            }
            evolve::Step::Rename { from, to, guessed }
                if present.contains(&from) && !present.contains(&to) =>
            {
                if guessed {
                    tracing::warn!(table = %new.table, from, to, "a column was replaced at the end of the table by one of its type; taken for a rename");
                }
                out.push(format!("ALTER TABLE {name} RENAME {} TO {}", ident(&from), ident(&to)));
                present.remove(&from);
                present.insert(to);
            }
            evolve::Step::Retype(at) => {
                if let Some(column) = new.columns.get(at) {
                    let (column, to) = (ident(&column.name), type_of(at));
                    tracing::warn!(table = %new.table, column, to, "a column's type changed; rows already here are cast, and if the source computed them with USING the table has to be copied anew");
                    out.push(format!(
                        "ALTER TABLE {name} ALTER {column} TYPE {to} USING {column}::{to}"
                    ));
                }
            }
            evolve::Step::Drop(_) | evolve::Step::Rename { .. } | evolve::Step::Add(_) => {}
        }
    }
    for (at, column) in new.columns.iter().enumerate() {
        if present.insert(column.name.clone()) {
            out.extend(addition(&name, old.is_some(), new, column, type_of(at)));
        }
    }
    out.extend(key_addition(&name, table, old, new));
    out
}

/// The statements that add a column. Rows that are here already get what they have in the source,
/// where that is known.
fn addition(
    name: &str,
    follows: bool,
    new: &TableSchema,
    column: &Column,
    to: &str,
) -> Vec<String> {
    let ident = ident(&column.name);
    let add = format!("ALTER TABLE {name} ADD COLUMN {ident} {to}");
    match &column.missing {
        Some(missing) if follows => vec![
            format!("{add}{DEFAULT}{}::{to}", text(missing)),
            format!("ALTER TABLE {name} ALTER {ident} DROP DEFAULT"),
        ],
        _ => {
            if follows && column.nullable {
                tracing::warn!(table = %new.table, column = %column.name, "a column was added; rows already here hold null in it until their source changes them");
            } else if follows {
                tracing::warn!(table = %new.table, column = %column.name, "a column was added that is never null in the source; rows already here hold null in it until their source changes them or the table is copied anew");
            }
            vec![add]
        }
    }
}

fn key_set(schema: &TableSchema) -> BTreeSet<String> {
    schema.key_columns().map(|column| column.name.clone()).collect()
}

/// The key that the table will have once columns are renamed.
fn renamed_key(old: &TableSchema, new: &TableSchema) -> BTreeSet<String> {
    let mut key = key_set(old);
    for step in evolve::steps(old, new) {
        match step {
            // An index goes with its column, even if another one gets the name.
            evolve::Step::Drop(name) => {
                key.remove(&name);
            }
            evolve::Step::Rename { from, to, .. } if key.remove(&from) => {
                key.insert(to);
            }
            _ => {}
        }
    }
    key
}

/// A key that is no longer the source's would refuse its rows.
fn key_removal(
    name: &str,
    table: &catalog::Table,
    old: Option<&TableSchema>,
    new: &TableSchema,
) -> Vec<String> {
    let Some(old) = old.filter(|old| old.has_key() && renamed_key(old, new) != key_set(new)) else {
        return Vec::new();
    };
    let Some(primary) = table.primary().filter(|primary| primary.columns == key_set(old)) else {
        return Vec::new();
    };
    let constraint = primary.primary.iter();
    let mut out: Vec<_> = constraint
        .map(|constraint| format!("ALTER TABLE {name} DROP CONSTRAINT {}", ident(constraint)))
        .collect();
    let not_null = table.columns.iter().filter(|column| column.not_null);
    let freed = not_null.filter(|column| primary.columns.contains(&column.name));
    out.extend(freed.map(|c| format!("ALTER TABLE {name} ALTER {} DROP NOT NULL", ident(&c.name))));
    out
}

fn key_addition(
    name: &str,
    table: &catalog::Table,
    old: Option<&TableSchema>,
    new: &TableSchema,
) -> Option<String> {
    if !new.has_key() {
        return None;
    }
    let key = key_set(new);
    // An index over renamed columns is still there, under their old names in `table`.
    let kept = old.filter(|old| renamed_key(old, new) == key).map(key_set);
    if table.is_unique_by(kept.as_ref().unwrap_or(&key)) {
        return None;
    }
    let removed = old.is_some_and(|old| !key_removal(name, table, Some(old), new).is_empty());
    let list = key_list(new);
    Some(if table.primary().is_none() || removed {
        format!("ALTER TABLE {name} ADD PRIMARY KEY ({list})")
    } else {
        format!("CREATE UNIQUE INDEX ON {name} ({list})")
    })
}

/// Statements that give an enum type the labels it lacks, each in its place.
fn additions(type_name: &str, wanted: &[String], known: &BTreeSet<&String>) -> Vec<String> {
    let mut out = Vec::new();
    for (at, label) in wanted.iter().enumerate() {
        if known.contains(label) {
            continue;
        }
        let next = wanted.get(at + 1..).unwrap_or_default().iter();
        let place = next.clone().find(|next| known.contains(next));
        let place = place.map_or_else(String::new, |next| format!(" BEFORE {}", text(next)));
        let label = text(label);
        out.push(format!("ALTER TYPE {type_name} ADD VALUE IF NOT EXISTS {label}{place}"));
    }
    out
}

/// The labels of an enum type of the target; `None` when there is no such type.
async fn enum_labels(connection: &Connection, name: &TableId) -> Result<Option<Vec<String>>> {
    const SQL: &str = "
        SELECT t.typtype = 'e', ARRAY(SELECT l.enumlabel::text FROM pg_enum l WHERE l.enumtypid = t.oid)
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE n.nspname = $1 AND t.typname = $2";
    let doing = format!("looking for type {name}");
    let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    let parameters: [Parameter<'_>; 2] = [(&name.namespace, Type::TEXT), (&name.name, Type::TEXT)];
    let found: Vec<(bool, Vec<String>)> = connection.all(&doing, SQL, &parameters, read).await?;
    let Some((is_enum, labels)) = found.into_iter().next() else { return Ok(None) };
    if is_enum {
        Ok(Some(labels))
    } else {
        Err(error::refused(format!("{name} on the target is not an enum type")))
    }
}

fn layout(schema: &Arc<TableSchema>, target: &TableId, table: &catalog::Table) -> Result<Layout> {
    let column = |column: &Column| {
        let found = table.column(&column.name).map(|found| found.layout(&column.data_type));
        found.ok_or_else(|| {
            error::refused(format!("{target} on the target has no column {}", column.name))
        })
    };
    let columns: Result<Vec<_>> = schema.columns.iter().map(column).collect();
    Ok(Layout {
        source: schema.table.clone(),
        target: target.clone(),
        schema: Arc::clone(schema),
        columns: columns?,
        key: schema.key.iter().map(|index| usize::from(*index)).collect(),
    })
}
