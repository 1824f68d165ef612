//! The preflight: what would stop the sink, and what an operator types against it. Changes nothing.

use crate::{
    Config, Mode, catalog,
    connection::{Connection, Parameter, application_name},
    error, events,
    sql::{ident, qualified, text},
    state,
};
use cdc_core::{
    Finding, Result, TableId,
    catalog::{CapturedTable, SinkContext},
};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Row, types::Type};

/// The oldest major version that has what the statements use.
const VERSION_MIN: i32 = 120_000;

const SERVER: &str = "
    SELECT current_setting('server_version_num')::int, current_setting('server_version'),
           pg_is_in_recovery(), has_database_privilege(current_database(), 'CREATE'),
           current_database()::text, current_user::text";

const SCHEMAS: &str = "
    SELECT n.nspname::text, has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE')
      FROM pg_namespace n WHERE n.nspname = ANY ($1)";

const TABLES: &str = "
    SELECT x.schema, x.name, c.relkind::text IN ('r', 'p'), pg_has_role(c.relowner, 'USAGE')
      FROM unnest($1::text[], $2::text[]) AS x (schema, name)
      JOIN pg_namespace n ON n.nspname = x.schema
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = x.name";

const OURS: &str = "
    SELECT target_schema, target_table FROM cdc.replica_tables
     WHERE pipeline_id = $1 AND sink_id = $2";

/// The server as the preflight found it.
struct Server {
    may_create_schemas: bool,
    database: String,
    role: String,
}

/// Looks at everything that the sink needs.
pub(crate) async fn run(
    config: &Config,
    context: &SinkContext,
    tables: &[CapturedTable],
) -> Vec<Finding> {
    let mut out = Vec::new();
    if let Err(failure) = look(config, context, tables, &mut out).await {
        let remedy = failure.remedy.clone();
        out.push(Finding::error(
            failure.chain(),
            remedy.unwrap_or_else(|| "look into the target server's log".into()),
        ));
    }
    out
}

async fn look(
    config: &Config,
    context: &SinkContext,
    tables: &[CapturedTable],
    out: &mut Vec<Finding>,
) -> Result<()> {
    if config.mode() == Mode::Replica {
        out.extend(keyless(tables));
        out.extend(collisions(config, tables));
    }
    let name = application_name(&context.pipeline_id, &context.sink_id);
    let connection = Connection::open(config, &name).await?;
    let Some(server) = server(config, &connection, out).await? else { return Ok(()) };
    let wanted: BTreeSet<String> = match config.mode() {
        Mode::Events => [config.events_table()?.namespace].into(),
        Mode::Replica => {
            tables.iter().map(|captured| config.replica_of(&captured.table).namespace).collect()
        }
    };
    let wanted = wanted.into_iter().chain([state::SCHEMA.to_owned()]).collect();
    schemas(&connection, &server, wanted, out).await?;
    match config.mode() {
        Mode::Events => events_table(&connection, config, out).await?,
        Mode::Replica => {
            replica_tables(&connection, &server, config, context, tables, out).await?;
        }
    }
    connection.close().await;
    Ok(())
}

fn keyless(tables: &[CapturedTable]) -> Vec<Finding> {
    let keyless = tables.iter().filter(|captured| !captured.has_key);
    keyless
        .map(|captured| {
            let table = &captured.table;
            Finding::warning(
                format!("{table} has no key: its replica takes inserts; updates and deletes need whole old rows, and find each by a scan"),
                error::keyless_remedy(table),
            )
        })
        .collect()
}

fn collisions(config: &Config, tables: &[CapturedTable]) -> Vec<Finding> {
    let mut taken: BTreeMap<TableId, &TableId> = BTreeMap::new();
    let mut out = Vec::new();
    for captured in tables {
        let target = config.replica_of(&captured.table);
        if let Some(other) = taken.insert(target.clone(), &captured.table) {
            let error = error::target_taken(&captured.table, other, &target);
            out.push(Finding::error(error.context, error.remedy.unwrap_or_default()));
        }
    }
    out
}

/// `None` when nothing further can be told from this server.
async fn server(
    config: &Config,
    connection: &Connection,
    out: &mut Vec<Finding>,
) -> Result<Option<Server>> {
    let doing = "reading the server's version";
    let read = |row: &Row| {
        let server = Server {
            may_create_schemas: row.try_get(3)?,
            database: row.try_get(4)?,
            role: row.try_get(5)?,
        };
        let version: (i32, String) = (row.try_get(0)?, row.try_get(1)?);
        Ok((version, row.try_get::<_, bool>(2)?, server))
    };
    let ((number, version), standby, server) = connection.one(doing, SERVER, &[], read).await?;
    if number < VERSION_MIN {
        out.push(Finding::error(
            format!("{} is PostgreSQL {version}", config.address()),
            "use PostgreSQL 12 or newer as a target",
        ));
        return Ok(None);
    }
    if standby {
        out.push(Finding::error(
            format!("{} is a standby and takes no writes", config.address()),
            "set `postgres.host` to the primary",
        ));
        return Ok(None);
    }
    out.push(Finding::ok(format!("{} answers: PostgreSQL {version}", config.address())));
    Ok(Some(server))
}

async fn schemas(
    connection: &Connection,
    server: &Server,
    wanted: BTreeSet<String>,
    out: &mut Vec<Finding>,
) -> Result<()> {
    let doing = "reading the privileges on schemas";
    let names: Vec<String> = wanted.iter().cloned().collect();
    let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    let parameters: [Parameter<'_>; 1] = [(&names, Type::TEXT_ARRAY)];
    let found: BTreeMap<String, bool> = connection.all(doing, SCHEMAS, &parameters, read).await?;
    let role = ident(&server.role);
    for name in wanted {
        let schema = ident(&name);
        out.push(match found.get(&name) {
            Some(true) => Finding::ok(format!("schema {name} exists and may be written to")),
            Some(false) => Finding::error(
                format!("role {} may not create tables in schema {name}", server.role),
                format!("on the target: GRANT USAGE, CREATE ON SCHEMA {schema} TO {role};"),
            ),
            None if server.may_create_schemas => {
                Finding::ok(format!("schema {name} will be created"))
            }
            None => Finding::error(
                format!("schema {name} does not exist and role {} may not create it", server.role),
                format!(
                    "on the target: GRANT CREATE ON DATABASE {} TO {role}; or: CREATE SCHEMA {schema} AUTHORIZATION {role};",
                    ident(&server.database)
                ),
            ),
        });
    }
    Ok(())
}

async fn events_table(
    connection: &Connection,
    config: &Config,
    out: &mut Vec<Finding>,
) -> Result<()> {
    let target = config.events_table()?;
    let Some(table) = catalog::table(connection, &target).await? else {
        out.push(Finding::ok(format!("{target} will be created")));
        return Ok(());
    };
    out.push(match events::describe(&target, &table, config.upsert) {
        Ok(_) => Finding::ok(format!("{target} exists and has the columns of mode `events`")),
        Err(unfit) => Finding::error(unfit.context, unfit.remedy.unwrap_or_default()),
    });
    let doing = "reading the privileges on the events table";
    let privileges = if config.upsert { "INSERT, SELECT, UPDATE" } else { "INSERT" };
    let checks: Vec<_> = privileges
        .split(", ")
        .map(|one| format!("has_table_privilege({}, '{one}')", text(&qualified(&target))))
        .collect();
    let sql = format!("SELECT {}, current_user::text", checks.join(" AND "));
    let read = |row: &Row| Ok((row.try_get::<_, bool>(0)?, row.try_get::<_, String>(1)?));
    let (may_write, role) = connection.one(doing, &sql, &[], read).await?;
    if !may_write {
        out.push(Finding::error(
            format!("role {role} may not write to {target}"),
            format!(
                "on the target: GRANT {privileges} ON {} TO {};",
                qualified(&target),
                ident(&role)
            ),
        ));
    }
    Ok(())
}

async fn replica_tables(
    connection: &Connection,
    server: &Server,
    config: &Config,
    context: &SinkContext,
    tables: &[CapturedTable],
    out: &mut Vec<Finding>,
) -> Result<()> {
    let ours = ours(connection, context).await?;
    let doing = "looking for the target tables";
    let targets: Vec<_> =
        tables.iter().map(|captured| config.replica_of(&captured.table)).collect();
    let schemas: Vec<_> = targets.iter().map(|target| target.namespace.clone()).collect();
    let names: Vec<_> = targets.iter().map(|target| target.name.clone()).collect();
    let read = |row: &Row| {
        let table = TableId::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
        Ok((table, row.try_get::<_, bool>(2)?, row.try_get::<_, bool>(3)?))
    };
    let parameters: [Parameter<'_>; 2] = [(&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)];
    let found: Vec<_> = connection.all(doing, TABLES, &parameters, read).await?;
    for (table, writable, owned) in found {
        let name = qualified(&table);
        if !writable {
            out.push(Finding::error(
                format!("{table} on the target is not a table"),
                format!("rename what is in the way, or choose another `target_schema` for {table}"),
            ));
        } else if !owned {
            out.push(Finding::error(
                format!(
                    "{table} on the target belongs to another role and cannot follow its source"
                ),
                format!("on the target: ALTER TABLE {name} OWNER TO {};", ident(&server.role)),
            ));
        } else if !ours.contains(&table) && !catalog::is_empty(connection, &table).await? {
            out.push(Finding::warning(
                format!("{table} on the target holds rows that this sink did not write; they stay"),
                format!("if they are not wanted, on the target: TRUNCATE {name};"),
            ));
        }
    }
    Ok(())
}

/// The target tables that this sink has prepared before.
async fn ours(connection: &Connection, context: &SinkContext) -> Result<BTreeSet<TableId>> {
    let doing = "reading cdc.replica_tables";
    let known = "SELECT to_regclass('cdc.replica_tables') IS NOT NULL
                    AND coalesce(has_table_privilege(to_regclass('cdc.replica_tables'), 'SELECT'), false)";
    if !connection.one(doing, known, &[], |row| row.try_get::<_, bool>(0)).await? {
        return Ok(BTreeSet::new());
    }
    let parameters: [Parameter<'_>; 2] =
        [(&context.pipeline_id, Type::TEXT), (&context.sink_id, Type::TEXT)];
    let read =
        |row: &Row| Ok(TableId::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?));
    connection.all(doing, OURS, &parameters, read).await
}
