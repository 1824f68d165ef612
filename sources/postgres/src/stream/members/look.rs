//! One look at a publication: which tables it holds, and which of them are new in it.

use super::{Members, SEEN};
use crate::{
    config::Config,
    connection::{Sql, bounded, connect_sql},
    error::from_sql,
    quote,
    schema::Selection,
};
use cdc_core::{Result, TableId};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;
use tokio_postgres::Row;

/// A search for a row that was not captured is given up after this, and one is supposed to exist.
const SEARCH_LIMIT: &str = "SET statement_timeout TO '5s'";
/// So are all searches of one look together.
const SEARCHES_MAX: Duration = Duration::from_secs(15);
/// Schemas can be published from here on.
const SCHEMAS_SINCE: i32 = 150_000;

/// Tables, and how each is a member: the transaction that made it one, and whether `$2` sees that.
/// Numbers of transactions have 32 bits in the rows and 64 in snapshots.
fn look_statement(version: i32) -> String {
    let schemas = match version < SCHEMAS_SINCE {
        true => "",
        false => {
            "UNION ALL SELECT s.xmin FROM pg_publication_namespace AS s
             WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace"
        }
    };
    format!(
        "WITH server AS MATERIALIZED
           (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8 AS next),
         pub AS MATERIALIZED
           (SELECT oid, puballtables, xmin AS made, to_jsonb(p)->>'pubgencols' = 's' AS generated
            FROM pg_publication AS p WHERE pubname = $1)
         SELECT c.oid, n.nspname::text, c.relname::text,
                CASE WHEN c.relispartition
                     THEN ARRAY(SELECT a.relid::oid FROM pg_partition_ancestors(c.oid) AS a
                                WHERE a.relid <> c.oid)
                     ELSE '{{}}'::oid[] END,
                has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
                coalesce(p.puballtables, false), member.made::text::int8,
                coalesce(NOT pg_visible_in_snapshot(
                  (server.next - ((server.next - member.made::text::int8) & 4294967295))::text::xid8,
                  $2::text::pg_snapshot), false),
                p.made::text::int8,
                coalesce(p.generated AND NOT pg_visible_in_snapshot(
                  (server.next - ((server.next - p.made::text::int8) & 4294967295))::text::xid8,
                  $2::text::pg_snapshot)
                  AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid
                              AND a.attgenerated = 's' AND NOT a.attisdropped), false),
                c.relpersistence = 'p'
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN server
         LEFT JOIN pub AS p ON true
         LEFT JOIN LATERAL
           (SELECT found.made FROM
              (SELECT p.made WHERE p.puballtables
               UNION ALL SELECT r.xmin FROM pg_publication_rel AS r
               WHERE r.prpubid = p.oid AND r.prrelid = c.oid {schemas}) AS found (made)
            ORDER BY age(found.made) DESC LIMIT 1) AS member ON true
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
           AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
    )
}

/// Partitions that were attached by a transaction which `$1` does not see.
const ATTACHED: &str = "
WITH server AS MATERIALIZED (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8 AS next)
SELECT n.nspname::text, c.relname::text, i.xmin::text::int8,
       ARRAY(SELECT a.relid::oid FROM pg_partition_ancestors(c.oid) AS a WHERE a.relid <> c.oid)
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN server
WHERE c.relispartition AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND NOT pg_visible_in_snapshot(
    (server.next - ((server.next - i.xmin::text::int8) & 4294967295))::text::xid8,
    $1::text::pg_snapshot)";

/// A table that has become a member, or a partition of one.
pub(super) struct Joined {
    /// The captured table.
    pub(super) oid: u32,
    pub(super) table: TableId,
    /// Whose rows were not captured before.
    rows_of: TableId,
    /// The transaction that made it a member; `None` where all that it has now was not captured.
    made: Option<i64>,
    readable: bool,
}

/// The publication, and which tables should be in it.
pub(super) struct Look {
    pub(super) held: BTreeMap<u32, TableId>,
    pub(super) missing: BTreeMap<u32, TableId>,
    pub(super) joined: Vec<Joined>,
    /// Numbers of all tables, selected or not.
    pub(super) existing: BTreeSet<u32>,
}

/// One selected table.
struct Candidate {
    oid: u32,
    table: TableId,
    ancestors: Vec<u32>,
    readable: bool,
    logged: bool,
    all_tables: bool,
    made: Option<i64>,
    is_new: bool,
    publication_made: Option<i64>,
    newly_generated: bool,
}

impl Candidate {
    fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            oid: row.try_get(0)?,
            table: TableId::new(row.try_get::<_, String>(1)?, row.try_get::<_, String>(2)?),
            ancestors: row.try_get(3)?,
            readable: row.try_get(4)?,
            all_tables: row.try_get(5)?,
            made: row.try_get(6)?,
            is_new: row.try_get(7)?,
            publication_made: row.try_get(8)?,
            newly_generated: row.try_get(9)?,
            logged: row.try_get(10)?,
        })
    }

    /// What was not captured before `known`; `None` when all was.
    fn joined(&self, known: &Members, before: &Selection, other: bool) -> Option<Joined> {
        let joined = |made| Joined {
            oid: self.oid,
            table: self.table.clone(),
            rows_of: self.table.clone(),
            made,
            readable: self.readable,
        };
        let selected_before = before.matches(&self.table);
        if !known.seen.is_empty() && !selected_before {
            return Some(joined(None));
        }
        // A publication of all tables holds each from its beginning, whenever it was last altered.
        let new_member = if self.all_tables { other } else { self.is_new };
        if new_member {
            return Some(joined(self.made));
        }
        self.newly_generated.then(|| joined(self.publication_made))
    }
}

impl Look {
    pub(super) async fn take(
        config: &Config,
        selection: &Selection,
        client: &Sql,
        known: &Members,
    ) -> Result<Self> {
        let doing = "look at the members of its publication";
        let failed = |cause| from_sql(config, doing, cause);
        let row =
            bounded(config, doing, client.query_one(SEEN, &[&config.publication_name])).await?;
        let version: i32 = row.try_get(1).map_err(failed)?;
        let publication: u32 = row.try_get(2).map_err(failed)?;
        let statement = look_statement(version);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&config.publication_name, &known.seen];
        let rows = bounded(config, doing, client.query(&statement, &parameters)).await?;
        let tables: Result<Vec<Candidate>, _> = rows.iter().map(Candidate::read).collect();
        let tables = tables.map_err(failed)?;
        let existing = tables.iter().map(|table| table.oid).collect();
        let tables = captured(tables, selection);
        let before = Selection::without(&known.tables, &known.excluded)?;
        let other = publication != known.publication;
        let (held, missing) = (BTreeMap::new(), BTreeMap::new());
        let mut look = Self { held, missing, joined: Vec::new(), existing };
        for table in &tables {
            if table.made.is_none() {
                look.missing.insert(table.oid, table.table.clone());
                continue;
            }
            look.held.insert(table.oid, table.table.clone());
            look.joined.extend(table.joined(known, &before, other));
        }
        look.attached(config, client, known).await?;
        Ok(look)
    }

    /// Adds the tables that have got a selected name since: nothing of them was captured before.
    pub(super) fn renamed_into(&mut self, unselected: &BTreeSet<u32>) {
        for (oid, table) in self.held.iter().filter(|(oid, _)| unselected.contains(oid)) {
            let (table, rows_of) = (table.clone(), table.clone());
            let joined = Joined { oid: *oid, table, rows_of, made: None, readable: true };
            self.joined.retain(|known| known.oid != *oid);
            self.joined.push(joined);
        }
    }

    /// Adds the partitions that were attached.
    async fn attached(&mut self, config: &Config, client: &Sql, known: &Members) -> Result<()> {
        let doing = "look at the partitions of its tables";
        let rows = bounded(config, doing, client.query(ATTACHED, &[&known.seen])).await?;
        let mut read = || -> Result<(), tokio_postgres::Error> {
            for row in &rows {
                let ancestors: Vec<u32> = row.try_get(3)?;
                let root = ancestors.iter().find_map(|oid| Some((*oid, self.held.get(oid)?)));
                let Some((oid, table)) = root.map(|(oid, table)| (oid, table.clone())) else {
                    continue;
                };
                let rows_of =
                    TableId::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
                let made = Some(row.try_get(2)?);
                self.joined.push(Joined { oid, table, rows_of, made, readable: true });
            }
            Ok(())
        };
        read().map_err(|cause| from_sql(config, doing, cause))
    }
}

/// The selected tables, without partitions of selected ones.
fn captured(tables: Vec<Candidate>, selection: &Selection) -> Vec<Candidate> {
    let wanted = |one: &Candidate| {
        let readable = !selection.is_everything() || one.readable;
        one.logged && readable && selection.matches(&one.table)
    };
    let kept: Vec<Candidate> = tables.into_iter().filter(wanted).collect();
    let oids: BTreeSet<u32> = kept.iter().map(|one| one.oid).collect();
    let top = |one: &Candidate| !one.ancestors.iter().any(|ancestor| oids.contains(ancestor));
    kept.into_iter().filter(top).collect()
}

/// Which of the tables hold rows that were not captured, where rows are to be copied at all.
pub(super) async fn incomplete(config: &Config, joined: &[Joined]) -> Result<Vec<bool>> {
    if joined.is_empty() || !config.snapshot_mode.reads_rows() {
        return Ok(vec![false; joined.len()]);
    }
    // A session of its own: a long search must not hold up what the stream asks.
    let client = connect_sql(config).await?;
    let doing = "set a limit for searches";
    bounded(config, doing, client.batch_execute(SEARCH_LIMIT)).await?;
    let deadline = Instant::now() + SEARCHES_MAX;
    let mut found = Vec::with_capacity(joined.len());
    for one in joined {
        found.push(Instant::now() > deadline || has_earlier_rows(config, &client, one).await);
    }
    Ok(found)
}

/// Does the table hold a row from before it was a member? A table that cannot be searched is supposed to.
async fn has_earlier_rows(config: &Config, client: &Sql, joined: &Joined) -> bool {
    if !joined.readable {
        return true;
    }
    let table = quote::table(&joined.rows_of);
    // Rows hold the lower 32 bits of the number of the transaction that wrote them: what is not among
    // the numbers since the membership is older, however old.
    let older = joined.made.map_or_else(String::new, |made| {
        format!(
            " WHERE ((server.next - t.xmin::text::int8) & 4294967295) >= ((server.next - {made}) & 4294967295)"
        )
    });
    let search = format!(
        "SELECT EXISTS (SELECT FROM {table} AS t CROSS JOIN \
         (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::int8 AS next) AS server{older})"
    );
    let doing = "search a table for rows that were not captured";
    let found = bounded(config, doing, client.query_one(&search, &[])).await;
    let found =
        found.and_then(|row| row.try_get(0).map_err(|cause| from_sql(config, doing, cause)));
    found.unwrap_or_else(|error| {
        tracing::debug!(error = %error, "a table that has joined could not be searched");
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate() -> Candidate {
        Candidate {
            oid: 7,
            table: TableId::new("public", "t"),
            ancestors: Vec::new(),
            readable: true,
            logged: true,
            all_tables: false,
            made: Some(100),
            is_new: false,
            publication_made: Some(50),
            newly_generated: false,
        }
    }

    #[test]
    fn a_table_has_joined_when_its_membership_or_its_selection_is_new() {
        let known = Members { seen: "90:90:".to_owned(), ..Members::default() };
        let everything = Selection::default();
        let made = |one: Candidate, before: &Selection, other| {
            one.joined(&known, before, other).map(|joined| joined.made)
        };
        assert_eq!(made(candidate(), &everything, false), None);
        let new = || Candidate { is_new: true, ..candidate() };
        assert_eq!(made(new(), &everything, false), Some(Some(100)));
        let of_all = || Candidate { all_tables: true, ..new() };
        assert_eq!(made(of_all(), &everything, false), None, "it was altered, and held the table");
        assert_eq!(made(of_all(), &everything, true), Some(Some(100)), "another publication");
        let generated = Candidate { newly_generated: true, ..candidate() };
        assert_eq!(made(generated, &everything, false), Some(Some(50)));
        let others = Selection::parse(&["public.u".to_owned()]).unwrap();
        assert_eq!(made(candidate(), &others, false), Some(None), "nothing of it was captured");
    }

    #[test]
    fn partitions_of_selected_tables_and_what_cannot_be_captured_are_no_candidates() {
        let leaf = Candidate { oid: 8, ancestors: vec![7], ..candidate() };
        let unlogged = Candidate { oid: 9, logged: false, ..candidate() };
        let hidden = Candidate { oid: 10, readable: false, ..candidate() };
        let second = Candidate { oid: 8, ancestors: vec![7], ..candidate() };
        let oids = |tables: Vec<Candidate>, selection: &Selection| -> Vec<u32> {
            captured(tables, selection).into_iter().map(|one| one.oid).collect()
        };
        assert_eq!(oids(vec![candidate(), second], &Selection::default()), [7]);
        assert_eq!(oids(vec![leaf, unlogged, hidden], &Selection::default()), [8]);
    }
}
