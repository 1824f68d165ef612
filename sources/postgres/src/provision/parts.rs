//! Whether the server can publish the columns and rows that the configuration asks for, found out before
//! anything is created: what the server takes now it may refuse later, when the application updates a row.

use super::publication::{SCHEMAS_SINCE as LISTS_SINCE, server_version};
use crate::{
    config::Config,
    connection::bounded,
    error::{self, from_sql},
    quote,
    schema::{CatalogTable, Part, Parts},
    server,
};
use cdc_core::{Result, TableId};
use std::collections::BTreeMap;
use tokio_postgres::{Client, error::SqlState};

/// What identifies a row, for each table and for each of its partitions.
const IDENTITIES: &str = "
SELECT part.root, n.nspname::text, c.relname::text, c.relreplident,
       ARRAY(SELECT a.attname::text
             FROM pg_index AS i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisvalid AND k.place <= i.indnkeyatts
               AND CASE c.relreplident WHEN 'd' THEN i.indisprimary
                                       WHEN 'i' THEN i.indisreplident ELSE false END)
FROM (SELECT root, root AS member FROM unnest($1::oid[]) AS root
      UNION SELECT root, tree.relid::oid FROM unnest($1::oid[]) AS root, pg_partition_tree(root) AS tree
     ) AS part
JOIN pg_class AS c ON c.oid = part.member JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' OR NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = c.oid)
ORDER BY 2, 3";

/// The condition as the server writes it, and the columns that it uses.
const CONDITION: &str = "
SELECT pg_get_expr(conbin, conrelid),
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a
             WHERE a.attrelid = conrelid AND a.attnum = ANY (conkey) ORDER BY a.attnum)
FROM pg_constraint
WHERE conrelid = 'pg_temp.cdc_condition'::regclass AND conname = 'cdc_condition'";

/// A condition that the server has read.
struct Condition {
    text: String,
    columns: Vec<String>,
}

/// What the log holds of a row before a change.
struct Identity {
    table: TableId,
    kind: i8,
    columns: Vec<String>,
}

/// The configured parts, with conditions as the server writes them, once it is certain that they can be
/// captured. Conditions that the server cannot read are left out.
pub(crate) async fn settled_parts(
    config: &Config,
    client: &Client,
    tables: &[CatalogTable],
) -> Result<Parts> {
    let mut parts = config.parts()?;
    if parts.is_empty() {
        return Ok(parts);
    }
    let streams = config.snapshot_mode.streams();
    if streams && server_version(config, client).await? < LISTS_SINCE {
        return Err(error::parts_unsupported());
    }
    let captured: BTreeMap<&TableId, &CatalogTable> =
        tables.iter().map(|table| (&table.table, table)).collect();
    for (table, part) in parts.iter() {
        let Some(known) = captured.get(table) else {
            return Err(error::parts(
                format!("source.columns or source.rows names {table}, which is not captured"),
                "correct the name, or add the table to source.tables; names are matched exactly, upper and lower case too",
            ));
        };
        let unknown = unknown_columns(known, part);
        if !unknown.is_empty() {
            return Err(error::parts(
                format!("source.columns: {table} has no column {}", unknown.join(", ")),
                format!(
                    "correct source.columns: SELECT attname FROM pg_attribute WHERE attrelid = '{}'::regclass AND attnum > 0;",
                    quote::table(table).replace('\'', "''")
                ),
            ));
        }
    }
    let mut conditions = conditions(config, client, &parts).await?;
    if streams {
        let named = parts.iter().filter_map(|(table, _)| Some(captured.get(table)?.oid));
        let identities = identities(config, client, named.collect()).await?;
        for (table, part) in parts.iter() {
            let oid = captured.get(table).map_or(0, |known| known.oid);
            for identity in identities.get(&oid).into_iter().flatten() {
                judge(table, part, conditions.get(table), identity)?;
            }
        }
    }
    parts.set_conditions(|table| Some(conditions.remove(table)?.text));
    Ok(parts)
}

fn unknown_columns(table: &CatalogTable, part: &Part) -> Vec<String> {
    let known = |name: &&String| table.columns.iter().any(|column| column.name == **name);
    let named = part.columns.iter().flatten();
    named.filter(|name| !known(name)).map(|name| quote::identifier(name)).collect()
}

/// Refuses what would make the server refuse updates and deletes of the application.
fn judge(
    table: &TableId,
    part: &Part,
    condition: Option<&Condition>,
    identity: &Identity,
) -> Result<()> {
    const FULL: u8 = b'f';
    let full = identity.kind.to_be_bytes() == [FULL];
    let of = quote::table(&identity.table);
    if full && part.columns.is_some() {
        return Err(error::parts(
            format!(
                "source.columns: {of} has REPLICA IDENTITY FULL, with which PostgreSQL refuses updates and deletes of a table that is not published whole"
            ),
            format!(
                "ALTER TABLE {of} REPLICA IDENTITY DEFAULT; or remove {table} from source.columns"
            ),
        ));
    }
    if full || identity.columns.is_empty() {
        return Ok(());
    }
    let missing: Vec<&str> = match &part.columns {
        Some(columns) => without(&identity.columns, columns),
        None => Vec::new(),
    };
    if !missing.is_empty() {
        return Err(error::parts(
            format!(
                "source.columns: {table} without {}, which identifies its rows: PostgreSQL would refuse updates and deletes",
                missing.join(", ")
            ),
            format!("add {} to the columns of {table} in source.columns", missing.join(", ")),
        ));
    }
    let used = condition.map_or(&[][..], |condition| &condition.columns);
    let foreign = without(used, &identity.columns);
    if !foreign.is_empty() {
        return Err(error::parts(
            format!(
                "source.rows: the condition of {table} uses {}, which the log does not hold of a row before a change: PostgreSQL would refuse updates and deletes",
                foreign.join(", ")
            ),
            format!(
                "ALTER TABLE {of} REPLICA IDENTITY FULL; or use only {} in the condition",
                identity.columns.join(", ")
            ),
        ));
    }
    Ok(())
}

/// Those of `names` that `others` does not hold.
fn without<'a>(names: &'a [String], others: &[String]) -> Vec<&'a str> {
    names.iter().filter(|name| !others.contains(name)).map(String::as_str).collect()
}

async fn identities(
    config: &Config,
    client: &Client,
    oids: Vec<u32>,
) -> Result<BTreeMap<u32, Vec<Identity>>> {
    let doing = "look at the replica identities of its tables";
    let rows = bounded(config, doing, client.query(IDENTITIES, &[&oids])).await?;
    let read = || -> Result<BTreeMap<u32, Vec<Identity>>, tokio_postgres::Error> {
        let mut found: BTreeMap<u32, Vec<Identity>> = BTreeMap::new();
        for row in &rows {
            let table = TableId::new(row.try_get::<_, String>(1)?, row.try_get::<_, String>(2)?);
            let identity = Identity { table, kind: row.try_get(3)?, columns: row.try_get(4)? };
            found.entry(row.try_get(0)?).or_default().push(identity);
        }
        Ok(found)
    };
    read().map_err(|cause| from_sql(config, doing, cause))
}

/// Has the server read the conditions. A standby cannot, and its publication cannot be changed either: there
/// the conditions are those of the publication.
async fn conditions(
    config: &Config,
    client: &Client,
    parts: &Parts,
) -> Result<BTreeMap<TableId, Condition>> {
    let mut found = BTreeMap::new();
    let written = parts.iter().filter_map(|(table, part)| Some((table, part.rows.as_deref()?)));
    let written: Vec<(&TableId, &str)> = written.collect();
    if written.is_empty() || server::in_recovery(config, client).await? {
        return Ok(found);
    }
    for (table, text) in written {
        let read = read_condition(config, client, table, text).await;
        let doing = "end a transaction";
        let ended = bounded(config, doing, client.batch_execute("ROLLBACK")).await;
        found.insert(table.clone(), read?);
        ended?;
    }
    Ok(found)
}

/// Puts the condition on a table of the same shape, inside a transaction that the caller rolls back.
async fn read_condition(
    config: &Config,
    client: &Client,
    table: &TableId,
    text: &str,
) -> Result<Condition> {
    let doing = "read the condition of a table";
    let like =
        format!("BEGIN; CREATE TEMPORARY TABLE cdc_condition (LIKE {})", quote::table(table));
    bounded(config, doing, client.batch_execute(&like)).await?;
    // One statement only: not what would end the condition and go on with another.
    let add = format!(
        "ALTER TABLE pg_temp.cdc_condition ADD CONSTRAINT cdc_condition CHECK (\n{text}\n)"
    );
    let added = tokio::time::timeout(config.connect_timeout(), client.execute(&add, &[])).await;
    match added {
        Ok(Ok(_)) => {}
        Ok(Err(cause)) if is_about_the_text(&cause) => {
            let said =
                cause.as_db_error().map_or_else(String::new, |said| said.message().to_owned());
            return Err(error::parts(
                format!("source.rows: PostgreSQL does not take the condition of {table}: {said}"),
                "write it as behind WHERE, with columns of the table only: country = 'de'; names outside of pg_catalog need their schema",
            ));
        }
        Ok(Err(cause)) => return Err(from_sql(config, doing, cause)),
        Err(_) => return Err(error::statement_timeout(config, doing, config.connect_timeout())),
    }
    let row = bounded(config, doing, client.query_one(CONDITION, &[])).await?;
    let read = || -> Result<Condition, tokio_postgres::Error> {
        Ok(Condition { text: row.try_get(0)?, columns: row.try_get(1)? })
    };
    read().map_err(|cause| from_sql(config, doing, cause))
}

/// Syntax, names, types: everything of class 42 but a missing privilege; and values of a type (22).
fn is_about_the_text(cause: &tokio_postgres::Error) -> bool {
    let code = cause.code();
    code != Some(&SqlState::INSUFFICIENT_PRIVILEGE)
        && code.is_some_and(|code| {
            ["42", "22", "0A"].iter().any(|class| code.code().starts_with(class))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(
        columns: Option<&[&str]>,
        used: &[&str],
        kind: u8,
        identity: &[&str],
    ) -> Option<String> {
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let table = TableId::new("public", "t");
        let part = Part { columns: columns.map(owned), rows: None };
        let condition = Condition { text: String::new(), columns: owned(used) };
        let kind = i8::try_from(kind).unwrap();
        let identity = Identity { table: table.clone(), kind, columns: owned(identity) };
        judge(&table, &part, Some(&condition), &identity).err().map(|error| error.context)
    }

    #[test]
    fn only_what_the_log_identifies_rows_by_can_be_used() {
        assert_eq!(judged(Some(&["id", "a"]), &["id"], b'd', &["id"]), None);
        assert!(judged(Some(&["a"]), &[], b'd', &["id"]).unwrap().contains("without id"));
        assert!(judged(None, &["id", "a"], b'i', &["id"]).unwrap().contains("uses a"));
        assert_eq!(judged(None, &["a"], b'f', &[]), None);
        assert!(judged(Some(&["id", "a"]), &[], b'f', &[]).unwrap().contains("FULL"));
        assert_eq!(judged(Some(&["a"]), &["b"], b'n', &[]), None, "updates are refused anyway");
    }
}
