//! The publication: which tables the server streams.

use crate::{
    config::Config,
    connection::bounded,
    error::{self, from_sql},
    quote,
    schema::CatalogTable,
};
use cdc_core::{Error, Result, TableId};
use std::collections::BTreeSet;
use tokio_postgres::Client;

/// Marks a publication as ours, so that it is removed with the pipeline and no other is.
const COMMENT: &str = "created by cdc";
const OPTIONS: &str =
    "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";

/// Publications can hold whole schemas from here on.
const SCHEMAS_SINCE: i32 = 150_000;

// The view `pg_publication_tables` would wait for whoever has locked one of the tables.
const NO_MEMBERS: &str = "SELECT '', '' WHERE $1::text IS NULL";
const TABLES: &str = "
SELECT n.nspname::text, c.relname::text
FROM pg_publication AS p JOIN pg_publication_rel AS r ON r.prpubid = p.oid
JOIN pg_class AS c ON c.oid = r.prrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.pubname = $1";
const TABLES_AND_SCHEMAS: &str = "
SELECT n.nspname::text, c.relname::text
FROM pg_publication AS p JOIN pg_publication_rel AS r ON r.prpubid = p.oid
JOIN pg_class AS c ON c.oid = r.prrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.pubname = $1
UNION
SELECT n.nspname::text, c.relname::text
FROM pg_publication AS p JOIN pg_publication_namespace AS s ON s.pnpubid = p.oid
JOIN pg_namespace AS n ON n.oid = s.pnnspid
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
WHERE p.pubname = $1";

async fn server_version(config: &Config, client: &Client) -> Result<i32> {
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
}

impl Publication {
    /// Does it publish this table?
    pub(crate) fn holds(&self, table: &TableId) -> bool {
        self.all_tables || self.tables.contains(table)
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
    let members = match row.try_get::<_, bool>(0).map_err(|cause| from_sql(config, doing, cause))? {
        // Nobody asks which they are, and the list may be long.
        true => NO_MEMBERS,
        false if server_version(config, client).await? < SCHEMAS_SINCE => TABLES,
        false => TABLES_AND_SCHEMAS,
    };
    let members = bounded(config, doing, client.query(members, &[name])).await?;
    let read = || -> Result<Publication, tokio_postgres::Error> {
        let mut tables = BTreeSet::new();
        for member in &members {
            tables.insert(TableId::new(
                member.try_get::<_, String>(0)?,
                member.try_get::<_, String>(1)?,
            ));
        }
        Ok(Publication {
            all_tables: row.try_get(0)?,
            all_operations: row.try_get(1)?,
            via_root: row.try_get(2)?,
            changeable: row.try_get(3)?,
            ours: row.try_get::<_, &str>(4)?.starts_with(COMMENT),
            tables,
        })
    };
    read().map(Some).map_err(|cause| from_sql(config, doing, cause))
}

/// What creates the publication; also what an operator is told to type.
pub(crate) fn create_statement(config: &Config, tables: &[CatalogTable]) -> String {
    let list =
        if tables.is_empty() { String::new() } else { format!(" FOR TABLE {}", names(tables)) };
    let publication = quote::identifier(&config.publication_name);
    format!("CREATE PUBLICATION {publication}{list} WITH ({OPTIONS});")
}

fn names<'a>(tables: impl IntoIterator<Item = &'a CatalogTable>) -> String {
    let names: Vec<String> = tables.into_iter().map(|table| quote::table(&table.table)).collect();
    names.join(", ")
}

/// Creates the publication, or adds to it what is missing.
pub(super) async fn ensure(
    config: &Config,
    client: &Client,
    tables: &[CatalogTable],
    said: &mut Vec<String>,
) -> Result<()> {
    let name = &config.publication_name;
    let Some(found) = look(config, client).await? else {
        create(config, client, tables).await?;
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
    let missing = found.missing(tables);
    if missing.is_empty() {
        said.push(format!("publication {name} holds the captured tables"));
        return Ok(());
    }
    let add = format!(
        "ALTER PUBLICATION {} ADD TABLE {};",
        quote::identifier(name),
        names(missing.iter().copied())
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

async fn create(config: &Config, client: &Client, tables: &[CatalogTable]) -> Result<()> {
    let statement = create_statement(config, tables);
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
