//! Tables that join or leave the publication while nobody looks: the stream brings the changes of a table
//! that has joined, but not the rows that it had, and is silent about one that has left.
//!
//! What is known is a snapshot of the server, as `pg_current_snapshot()` prints it: a membership made by a
//! transaction which that snapshot does not see is new. So a restart needs no list of tables.

use crate::{
    config::Config,
    connection::{SharedSql, Sql, bounded, connect_sql},
    error::from_sql,
    quote,
    schema::Selection,
};
use cdc_core::{Result, TableId, status::SourceStatus};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tokio_postgres::Row;

/// The publication is looked at this often, where a look takes no time.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// No more than one part in so many of the time goes into looking.
const LOOK_PART_MAX: u32 = 20;
/// A search for a row that was not captured is given up after this, and one is supposed to exist.
const SEARCH_LIMIT: &str = "SET statement_timeout TO '5s'";
/// So are all searches of one look together.
const SEARCHES_MAX: Duration = Duration::from_secs(15);
/// A warning names so many tables; more are counted.
const NAMED_MAX: usize = 5;
/// Schemas can be published from here on.
const SCHEMAS_SINCE: i32 = 150_000;

const SEEN: &str =
    "SELECT pg_current_snapshot()::text, current_setting('server_version_num')::int4,
       coalesce((SELECT oid FROM pg_publication WHERE pubname = $1), 0)";

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
                              AND a.attgenerated = 's' AND NOT a.attisdropped), false)
         FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN server
         LEFT JOIN pub AS p ON true
         LEFT JOIN LATERAL
           (SELECT found.made FROM
              (SELECT p.made WHERE p.puballtables
               UNION ALL SELECT r.xmin FROM pg_publication_rel AS r
               WHERE r.prpubid = p.oid AND r.prrelid = c.oid {schemas}) AS found (made)
            ORDER BY age(found.made) DESC LIMIT 1) AS member ON true
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
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

/// What a pipeline knows of the members of its publication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Memberships that this snapshot of the server sees are known.
    seen: String,
    /// The number of the publication.
    publication: u32,
    /// The patterns by which tables were selected, and those of tables that were left out.
    tables: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    excluded: Vec<String>,
    /// Tables that had rows when they joined, which were not copied.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    uncopied: BTreeSet<TableId>,
}

impl Members {
    /// Everything is known as it is now.
    pub(crate) async fn now(config: &Config, client: &Sql) -> Result<Self> {
        let doing = "look at its publications";
        let row =
            bounded(config, doing, client.query_one(SEEN, &[&config.publication_name])).await?;
        let read = || -> Result<Self, tokio_postgres::Error> {
            Ok(Self {
                seen: row.try_get(0)?,
                publication: row.try_get(2)?,
                tables: config.tables.clone(),
                excluded: config.tables_excluded.clone(),
                uncopied: BTreeSet::new(),
            })
        };
        read().map_err(|cause| from_sql(config, doing, cause))
    }
}

/// What is known, shared by those who find out, remember and tell.
#[derive(Clone, Default)]
pub(crate) struct Membership {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    known: Option<Members>,
    /// Captured tables that the publication does not hold.
    missing: BTreeSet<TableId>,
    /// Captured tables that it held at the last look.
    held: BTreeMap<u32, TableId>,
}

impl Membership {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with what is remembered.
    pub(crate) fn remember(&self, known: Option<Members>) {
        self.state().known = known;
    }

    /// What has to be remembered.
    pub(crate) fn known(&self) -> Option<Members> {
        self.state().known.clone()
    }

    /// All rows of a table have been copied.
    pub(super) fn copied(&self, table: &TableId) {
        if let Some(known) = self.state().known.as_mut() {
            known.uncopied.remove(table);
        }
    }

    /// What an operator should see.
    pub(super) fn warning(&self, config: &Config) -> Option<String> {
        let state = self.state();
        let uncopied = state.known.as_ref().map(|known| &known.uncopied);
        let uncopied = uncopied.filter(|tables| !tables.is_empty()).map(|tables| {
            let one = tables.first().map(TableId::to_string).unwrap_or_default();
            format!(
                "rows of {} from before joining publication {} were not copied: cdc snapshot PIPELINE --table {one}",
                names(tables),
                config.publication_name
            )
        });
        let missing = (!state.missing.is_empty()).then(|| {
            format!(
                "changes of {} are not captured, because publication {} does not hold it: {}",
                names(&state.missing),
                config.publication_name,
                add_statement(config, &state.missing)
            )
        });
        let both: Vec<String> = missing.into_iter().chain(uncopied).collect();
        (!both.is_empty()).then(|| both.join("; "))
    }

    /// Looks at the publication, and notes what has joined and left it.
    pub(crate) async fn look(
        &self,
        config: &Config,
        selection: &Selection,
        client: &Sql,
    ) -> Result<()> {
        let now = Members::now(config, client).await?;
        let known = self.known().unwrap_or_else(|| now.clone());
        let found = Look::take(config, selection, client, &known).await?;
        let mut uncopied = BTreeSet::new();
        let incomplete = incomplete(config, &found.joined).await?;
        for (joined, earlier) in found.joined.iter().zip(incomplete) {
            let (table, publication) = (&joined.table, &config.publication_name);
            if !earlier {
                tracing::info!(%table, %publication, "table joined the publication");
                continue;
            }
            let remedy = format!("cdc snapshot PIPELINE --table {table}");
            tracing::warn!(
                %table, %publication, remedy,
                "table joined the publication, and its earlier rows were not copied"
            );
            uncopied.insert(table.clone());
        }
        let mut state = self.state();
        for (table, exists) in left(&state.held, &found) {
            let publication = &config.publication_name;
            match exists {
                true => {
                    tracing::warn!(%table, %publication, "table left the publication: its changes are not captured any more")
                }
                false => {
                    tracing::warn!(%table, "captured table was dropped; destinations keep its rows")
                }
            }
        }
        for table in found.missing.difference(&state.missing) {
            let remedy = add_statement(config, &found.missing);
            tracing::warn!(%table, remedy, "table is not in the publication: its changes are not captured");
        }
        let kept = state.known.take().unwrap_or_default().uncopied;
        let exists = |table: &TableId| {
            found.missing.contains(table) || found.held.values().any(|held| held == table)
        };
        uncopied.extend(kept.into_iter().filter(exists));
        *state = State {
            known: Some(Members { uncopied, ..now }),
            missing: found.missing,
            held: found.held,
        };
        Ok(())
    }
}

/// Looks for as long as it is polled, and tells people what it sees.
pub(super) async fn watch(
    config: Config,
    selection: Arc<Selection>,
    sql: Arc<SharedSql>,
    status: watch::Sender<SourceStatus>,
    members: Membership,
) {
    let mut told = None;
    let mut pause = LOOK_INTERVAL;
    loop {
        let warning = members.warning(&config);
        if warning != told {
            status.send_modify(|status| {
                if status.warning.is_none() || status.warning == told {
                    status.warning.clone_from(&warning);
                }
            });
            told = warning;
        }
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        let looked = async { members.look(&config, &selection, &*sql.get().await?).await };
        if let Err(error) = looked.await {
            tracing::debug!(error = %error, "the publication could not be looked at");
        }
        pause = LOOK_INTERVAL.max(begun.elapsed() * LOOK_PART_MAX);
    }
}

/// A table that has become a member, or a partition of one.
struct Joined {
    /// The captured table.
    table: TableId,
    /// Whose rows were not captured before.
    rows_of: TableId,
    /// The transaction that made it a member; `None` where all that it has now was not captured.
    made: Option<i64>,
    readable: bool,
}

/// The publication, and which tables should be in it.
struct Look {
    held: BTreeMap<u32, TableId>,
    missing: BTreeSet<TableId>,
    joined: Vec<Joined>,
}

/// One selected table.
struct Candidate {
    oid: u32,
    table: TableId,
    ancestors: Vec<u32>,
    readable: bool,
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
        })
    }

    /// What was not captured before `known`; `None` when all was.
    fn joined(&self, known: &Members, before: &Selection, other: bool) -> Option<Joined> {
        let joined = |made| Joined {
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
    async fn take(
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
        let tables = captured(tables.map_err(failed)?, selection);
        let before = Selection::without(&known.tables, &known.excluded)?;
        let other = publication != known.publication;
        let mut look = Self { held: BTreeMap::new(), missing: BTreeSet::new(), joined: Vec::new() };
        for table in &tables {
            if table.made.is_none() {
                look.missing.insert(table.table.clone());
                continue;
            }
            look.held.insert(table.oid, table.table.clone());
            look.joined.extend(table.joined(known, &before, other));
        }
        look.attached(config, client, known).await?;
        Ok(look)
    }

    /// Adds the partitions that were attached.
    async fn attached(&mut self, config: &Config, client: &Sql, known: &Members) -> Result<()> {
        let doing = "look at the partitions of its tables";
        let rows = bounded(config, doing, client.query(ATTACHED, &[&known.seen])).await?;
        let mut read = || -> Result<(), tokio_postgres::Error> {
            for row in &rows {
                let ancestors: Vec<u32> = row.try_get(3)?;
                let root = ancestors.iter().find_map(|ancestor| self.held.get(ancestor));
                let Some(table) = root.cloned() else { continue };
                let rows_of =
                    TableId::new(row.try_get::<_, String>(0)?, row.try_get::<_, String>(1)?);
                let made = Some(row.try_get(2)?);
                self.joined.push(Joined { table, rows_of, made, readable: true });
            }
            Ok(())
        };
        read().map_err(|cause| from_sql(config, doing, cause))
    }
}

/// The selected tables, without partitions of selected ones.
fn captured(tables: Vec<Candidate>, selection: &Selection) -> Vec<Candidate> {
    let wanted = |one: &Candidate| {
        selection.matches(&one.table) && (!selection.is_everything() || one.readable)
    };
    let kept: Vec<Candidate> = tables.into_iter().filter(wanted).collect();
    let oids: BTreeSet<u32> = kept.iter().map(|one| one.oid).collect();
    let top = |one: &Candidate| !one.ancestors.iter().any(|ancestor| oids.contains(ancestor));
    kept.into_iter().filter(top).collect()
}

/// Which of the tables hold rows that were not captured, where rows are to be copied at all.
async fn incomplete(config: &Config, joined: &[Joined]) -> Result<Vec<bool>> {
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

/// The tables that were held and are not any more, and whether they exist.
fn left<'a>(
    held: &'a BTreeMap<u32, TableId>,
    found: &'a Look,
) -> impl Iterator<Item = (&'a TableId, bool)> {
    let gone = held.iter().filter(|(oid, _)| !found.held.contains_key(oid));
    gone.map(|(_, table)| (table, found.missing.contains(table)))
}

fn names(tables: &BTreeSet<TableId>) -> String {
    let named: Vec<String> = tables.iter().take(NAMED_MAX).map(TableId::to_string).collect();
    match tables.len().saturating_sub(NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more tables", named.join(", ")),
    }
}

fn add_statement(config: &Config, tables: &BTreeSet<TableId>) -> String {
    let named: Vec<String> = tables.iter().take(NAMED_MAX).map(quote::table).collect();
    format!(
        "start the pipeline anew, or: ALTER PUBLICATION {} ADD TABLE {};",
        quote::identifier(&config.publication_name),
        named.join(", ")
    )
}
