//! The publication: which tables the server streams.

use crate::{
    config::Config,
    connection::bounded,
    error::{self, from_sql},
    quote,
    schema::{self, CatalogTable, Part, Parts, Published},
};
use cdc_core::{Error, Result, TableId};
use std::collections::BTreeSet;
use tokio_postgres::Client;

/// Marks a publication as ours, so that it is removed with the pipeline and no other is.
const COMMENT: &str = "created by cdc";
const OPTIONS: &str =
    "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";

/// Publications can hold whole schemas, and parts of tables, from here on.
pub(super) const SCHEMAS_SINCE: i32 = 150_000;

// The view `pg_publication_tables` would wait for whoever has locked one of the tables.
const NO_MEMBERS: &str = "SELECT '', '', false WHERE $1::text IS NULL";
const TABLES: &str = "
SELECT n.nspname::text, c.relname::text, false
FROM pg_publication AS p JOIN pg_publication_rel AS r ON r.prpubid = p.oid
JOIN pg_class AS c ON c.oid = r.prrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.pubname = $1";
const TABLES_AND_SCHEMAS: &str = "
SELECT n.nspname::text, c.relname::text, false
FROM pg_publication AS p JOIN pg_publication_rel AS r ON r.prpubid = p.oid
JOIN pg_class AS c ON c.oid = r.prrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.pubname = $1
UNION ALL
SELECT n.nspname::text, c.relname::text, true
FROM pg_publication AS p JOIN pg_publication_namespace AS s ON s.pnpubid = p.oid
JOIN pg_namespace AS n ON n.oid = s.pnnspid
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
WHERE p.pubname = $1";

pub(super) async fn server_version(config: &Config, client: &Client) -> Result<i32> {
    let doing = "tell its version";
    let query = "SELECT current_setting('server_version_num')::int4";
    let row = bounded(config, doing, client.query_one(query, &[])).await?;
    row.try_get(0).map_err(|cause| from_sql(config, doing, cause))
}

/// A publication as the catalog shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    /// Does it publish every table?
    all_tables: bool,
    /// Does it publish inserts, updates, deletes and truncates?
    pub(crate) all_operations: bool,
    /// Do rows of partitions appear under their root's name?
    pub(crate) via_root: bool,
    /// May we change it?
    pub(crate) changeable: bool,
    /// Did we create it?
    pub(crate) ours: bool,
    /// What it publishes, where it names tables or schemas.
    tables: BTreeSet<TableId>,
    /// Those that it publishes with their schema, and so whole.
    by_schema: BTreeSet<TableId>,
    /// What it publishes of the others.
    pub(crate) parts: Published,
}

/// A table of which the publication holds something else than the configuration asks for.
pub(crate) struct Differing {
    pub(crate) table: TableId,
    /// What it should hold.
    wanted: Part,
    /// Is it published whole, by name of its schema or of none?
    whole: bool,
}

impl Publication {
    /// Does it publish this table?
    pub(crate) fn holds(&self, table: &TableId) -> bool {
        self.all_tables || self.tables.contains(table)
    }

    /// The tables that it publishes, but not the parts of them that are asked for.
    pub(crate) fn differing(&self, parts: &Parts) -> Vec<Differing> {
        let held = parts.iter().filter(|(table, _)| self.holds(table));
        let differing = held.filter_map(|(table, part)| {
            let whole = self.all_tables || self.by_schema.contains(table);
            let has = self.parts.part(table).filter(|_| !whole).cloned().unwrap_or_default();
            let wanted = Part {
                columns: part.columns.clone().or_else(|| has.columns.clone()),
                rows: part.rows.clone().or_else(|| has.rows.clone()),
            };
            (wanted != has).then(|| Differing { table: table.clone(), wanted, whole })
        });
        differing.collect()
    }

    /// What it leaves out of captured tables although the configuration does not say so.
    pub(crate) fn narrows<'a>(
        &'a self,
        parts: &'a Parts,
        tables: &'a [CatalogTable],
    ) -> impl Iterator<Item = (&'a TableId, String)> {
        tables.iter().filter_map(|table| {
            let (has, asked) = (self.parts.part(&table.table)?, parts.of(&table.table));
            let columns =
                has.columns.as_ref().filter(|_| asked.is_none_or(|p| p.columns.is_none()));
            let rows = has.rows.as_ref().filter(|_| asked.is_none_or(|p| p.rows.is_none()));
            let columns = columns.map(|columns| format!("the columns {}", columns.join(", ")));
            let rows = rows.map(|rows| format!("rows with {rows}"));
            let both: Vec<String> = columns.into_iter().chain(rows).collect();
            (!both.is_empty()).then(|| (&table.table, both.join(" and ")))
        })
    }

    /// The tables that it does not publish.
    pub(crate) fn missing<'a>(&self, tables: &'a [CatalogTable]) -> Vec<&'a CatalogTable> {
        tables.iter().filter(|table| !self.holds(&table.table)).collect()
    }
}

/// The configured publication, when it exists.
pub(crate) async fn look(config: &Config, client: &Client) -> Result<Option<Publication>> {
    let doing = "look at its publications";
    let query = "SELECT puballtables, pubinsert AND pubupdate AND pubdelete AND pubtruncate, \
                 pubviaroot, pg_has_role(pubowner, 'USAGE'), \
                 coalesce(obj_description(oid, 'pg_publication'), '') \
                 FROM pg_publication WHERE pubname = $1";
    let name = &config.publication_name;
    let row = bounded(config, doing, client.query_opt(query, &[name])).await?;
    let Some(row) = row else { return Ok(None) };
    let version = server_version(config, client).await?;
    let members = match row.try_get::<_, bool>(0).map_err(|cause| from_sql(config, doing, cause))? {
        // Nobody asks which they are, and the list may be long.
        true => NO_MEMBERS,
        false if version < SCHEMAS_SINCE => TABLES,
        false => TABLES_AND_SCHEMAS,
    };
    let members = bounded(config, doing, client.query(members, &[name])).await?;
    let parts = schema::published(client, name, u32::try_from(version).unwrap_or(0)).await?;
    let read = || -> Result<Publication, tokio_postgres::Error> {
        let (mut tables, mut by_schema) = (BTreeSet::new(), BTreeSet::new());
        for member in &members {
            let table =
                TableId::new(member.try_get::<_, String>(0)?, member.try_get::<_, String>(1)?);
            if member.try_get(2)? {
                by_schema.insert(table.clone());
            }
            tables.insert(table);
        }
        Ok(Publication {
            all_tables: row.try_get(0)?,
            all_operations: row.try_get(1)?,
            via_root: row.try_get(2)?,
            changeable: row.try_get(3)?,
            ours: row.try_get::<_, &str>(4)?.starts_with(COMMENT),
            tables,
            by_schema,
            parts,
        })
    };
    read().map(Some).map_err(|cause| from_sql(config, doing, cause))
}

/// What creates the publication; also what an operator is told to type.
pub(crate) fn create_statement(config: &Config, tables: &[CatalogTable], parts: &Parts) -> String {
    let list = match tables.is_empty() {
        true => String::new(),
        false => format!(" FOR TABLE {}", members(tables.iter().map(|table| &table.table), parts)),
    };
    let publication = quote::identifier(&config.publication_name);
    format!("CREATE PUBLICATION {publication}{list} WITH ({OPTIONS});")
}

/// Tables as a statement lists them that adds them to a publication.
pub(crate) fn members<'a>(tables: impl IntoIterator<Item = &'a TableId>, parts: &Parts) -> String {
    let members = tables.into_iter().map(|table| member(table, parts.of(table)));
    members.collect::<Vec<String>>().join(", ")
}

fn member(table: &TableId, part: Option<&Part>) -> String {
    let mut text = quote::table(table);
    if let Some(columns) = part.and_then(|part| part.columns.as_ref()) {
        let columns: Vec<String> = columns.iter().map(|name| quote::identifier(name)).collect();
        text.push_str(&format!(" ({})", columns.join(", ")));
    }
    if let Some(rows) = part.and_then(|part| part.rows.as_ref()) {
        text.push_str(&format!(" WHERE ({rows})"));
    }
    text
}

/// What makes the publication hold the wanted parts of tables that it holds already.
pub(crate) fn part_statement(config: &Config, differing: &[Differing]) -> String {
    let alter = format!("ALTER PUBLICATION {}", quote::identifier(&config.publication_name));
    let names: Vec<String> = differing.iter().map(|one| quote::table(&one.table)).collect();
    let wanted = differing.iter().map(|one| member(&one.table, Some(&one.wanted)));
    let wanted: Vec<String> = wanted.collect();
    format!(
        "BEGIN; {alter} DROP TABLE {}; {alter} ADD TABLE {}; COMMIT;",
        names.join(", "),
        wanted.join(", ")
    )
}

/// A publication of whole schemas, or of everything, has no parts of tables.
pub(crate) fn refused_parts(config: &Config, differing: &[Differing]) -> Option<Error> {
    let whole = differing.iter().find(|one| one.whole)?;
    let name = &config.publication_name;
    Some(error::publication(
        format!(
            "publication {name} holds all tables or all of a schema, and so {} with all its columns and rows",
            whole.table
        ),
        "remove the table from source.columns and source.rows, or deploy the pipeline under a new pipeline_id with a source.slot_name and source.publication_name of its own".to_owned(),
    ))
}

/// Creates the publication, or adds to it what is missing.
pub(super) async fn ensure(
    config: &Config,
    client: &Client,
    tables: &[CatalogTable],
    parts: &Parts,
    said: &mut Vec<String>,
) -> Result<()> {
    let name = &config.publication_name;
    let Some(found) = look(config, client).await? else {
        create(config, client, tables, parts).await?;
        said.push(format!("created publication {name} for {} tables", tables.len()));
        return Ok(());
    };
    if !found.all_operations || !found.via_root {
        let set = format!("ALTER PUBLICATION {} SET ({OPTIONS});", quote::identifier(name));
        if found.changeable {
            change(config, client, &set).await?;
            said.push(format!(
                "publication {name} publishes all operations and by partition root now"
            ));
        } else if !found.all_operations {
            return Err(error::publication(
                format!("publication {name} does not publish every kind of change"),
                set,
            ));
        } else {
            said.push(format!("publication {name} names partitions instead of their roots: {set}"));
        }
    }
    let found = match found.changeable && !found.via_root {
        true => look(config, client).await?.unwrap_or(found),
        false => found,
    };
    ensure_parts(config, client, &found, parts, said).await?;
    for (table, what) in found.narrows(parts, tables) {
        said.push(format!("publication {name} holds only {what} of {table}"));
    }
    let missing = found.missing(tables);
    if missing.is_empty() {
        said.push(format!("publication {name} holds the captured tables"));
        return Ok(());
    }
    let add = format!(
        "ALTER PUBLICATION {} ADD TABLE {};",
        quote::identifier(name),
        members(missing.iter().map(|table| &table.table), parts)
    );
    if !found.changeable {
        return Err(error::publication(
            format!(
                "publication {name} does not hold {} of the captured tables, and belongs to another role",
                missing.len()
            ),
            add,
        ));
    }
    change(config, client, &add).await?;
    for table in missing {
        said.push(format!(
            "added {} to publication {name}: its changes are captured from now on",
            table.table
        ));
    }
    Ok(())
}

/// Makes the publication hold the parts of tables that are asked for, in one step, so that no change
/// passes in between.
async fn ensure_parts(
    config: &Config,
    client: &Client,
    found: &Publication,
    parts: &Parts,
    said: &mut Vec<String>,
) -> Result<()> {
    let name = &config.publication_name;
    let differing = found.differing(parts);
    if differing.is_empty() {
        return Ok(());
    }
    if let Some(refused) = refused_parts(config, &differing) {
        return Err(refused);
    }
    let statement = part_statement(config, &differing);
    if !found.changeable {
        return Err(error::publication(
            format!(
                "publication {name} holds other columns or rows of {} than the configuration asks for, and belongs to another role",
                list(&differing)
            ),
            statement,
        ));
    }
    change(config, client, &statement).await?;
    for one in &differing {
        said.push(format!(
            "publication {name} holds other columns or rows of {} from now on; what it held before was not copied again: cdc snapshot PIPELINE --table {}",
            one.table, one.table
        ));
    }
    Ok(())
}

/// Names of tables, as a message lists them.
pub(crate) fn list(differing: &[Differing]) -> String {
    let names: Vec<String> = differing.iter().map(|one| one.table.to_string()).collect();
    names.join(", ")
}

async fn create(
    config: &Config,
    client: &Client,
    tables: &[CatalogTable],
    parts: &Parts,
) -> Result<()> {
    let statement = create_statement(config, tables, parts);
    change(config, client, &statement).await?;
    let comment = format!(
        "COMMENT ON PUBLICATION {} IS {};",
        quote::identifier(&config.publication_name),
        quote::literal(&format!("{COMMENT} for slot {}", config.slot_name))
    );
    change(config, client, &comment).await
}

/// Runs a statement that an operator with more rights could run instead.
async fn change(config: &Config, client: &Client, statement: &str) -> Result<()> {
    let doing = "change its publication";
    bounded(config, doing, client.batch_execute(statement)).await.map_err(|error| {
        match error.code {
            "CDC-1008" => refused(config, statement, error),
            _ => error,
        }
    })
}

fn refused(config: &Config, statement: &str, cause: Error) -> Error {
    error::publication(
        format!(
            "role {} may not create or change publication {}",
            config.username, config.publication_name
        ),
        format!(
            "run as the owner of the tables: {statement} (or GRANT CREATE ON DATABASE {} TO {}; and make it the owner of the tables)",
            quote::identifier(&config.database),
            quote::identifier(&config.username)
        ),
    )
    .with_source(cause)
}

/// Removes the publication when it is ours.
pub(super) async fn retire(config: &Config, client: &Client, said: &mut Vec<String>) -> Result<()> {
    let name = &config.publication_name;
    match look(config, client).await? {
        None => said.push(format!("publication {name} does not exist")),
        Some(found) if !found.ours => {
            said.push(format!("publication {name} was left alone: it was not created by cdc"));
        }
        Some(_) => {
            let drop = format!("DROP PUBLICATION {};", quote::identifier(name));
            change(config, client, &drop).await?;
            said.push(format!("dropped publication {name}"));
        }
    }
    Ok(())
}
