//! Tables that join or leave the publication while nobody looks: the stream brings the changes of a table
//! that has joined, but not the rows that it had, and is silent about one that has left.
//!
//! What is known is a snapshot of the server, as `pg_current_snapshot()` prints it: a membership made by a
//! transaction which that snapshot does not see is new. So a restart needs no list of tables.

mod look;

use crate::{
    config::Config,
    connection::{SharedSql, Sql, bounded},
    error::from_sql,
    quote,
    schema::Selection,
};
use cdc_core::{Result, TableId, status::SourceStatus};
use look::{Look, incomplete};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};

/// The publication is looked at this often, where a look takes no time.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// No more than one part in so many of the time goes into looking.
const LOOK_PART_MAX: u32 = 20;
/// A warning names so many tables; more are counted.
const NAMED_MAX: usize = 20;

const SEEN: &str =
    "SELECT pg_current_snapshot()::text, current_setting('server_version_num')::int4,
       coalesce((SELECT oid FROM pg_publication WHERE pubname = $1), 0)";

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
    /// Tables that had rows when they joined, which were not copied, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    uncopied: BTreeMap<u32, TableId>,
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
                uncopied: BTreeMap::new(),
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
    /// Selected tables that the publication does not hold, by number.
    missing: BTreeMap<u32, TableId>,
    /// Those that it held at the last look.
    held: BTreeMap<u32, TableId>,
    /// Numbers of all tables at the last look; none before the first.
    existing: BTreeSet<u32>,
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

    /// Tables that were there at the last look, and not selected.
    fn unselected(&self) -> BTreeSet<u32> {
        let state = self.state();
        let selected = |oid: &&u32| state.held.contains_key(oid) || state.missing.contains_key(oid);
        state.existing.iter().filter(|oid| !selected(oid)).copied().collect()
    }

    /// All rows of a table have been copied.
    pub(super) fn copied(&self, table: &TableId) {
        if let Some(known) = self.state().known.as_mut() {
            known.uncopied.retain(|_, uncopied| uncopied != table);
        }
    }

    /// Do destinations lack rows that a table had before it joined?
    pub(crate) fn is_uncopied(&self, oid: u32) -> bool {
        self.state().known.as_ref().is_some_and(|known| known.uncopied.contains_key(&oid))
    }

    /// What an operator should see.
    pub(super) fn warning(&self, config: &Config) -> Option<String> {
        let state = self.state();
        let uncopied = state.known.as_ref().map(|known| &known.uncopied);
        let uncopied = uncopied.filter(|tables| !tables.is_empty()).map(|tables| {
            format!(
                "rows of {} from before joining publication {} were not copied: {}",
                names(tables.values()),
                config.publication_name,
                copy_command(tables.values())
            )
        });
        let missing = (!state.missing.is_empty()).then(|| {
            format!(
                "changes of {} are not captured, because publication {} does not hold it: {}",
                names(state.missing.values()),
                config.publication_name,
                add_statement(config, state.missing.values())
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
        let mut found = Look::take(config, selection, client, &known).await?;
        found.renamed_into(&self.unselected());
        let incomplete = incomplete(config, &found.joined).await?;
        let judged = found.joined.iter().zip(incomplete);
        let uncopied = judged.filter(|(_, incomplete)| *incomplete);
        let mut uncopied: BTreeMap<u32, TableId> =
            uncopied.map(|(joined, _)| (joined.oid, joined.table.clone())).collect();
        let mut state = self.state();
        tell(config, &state, &found, &uncopied);
        for (oid, table) in state.known.take().unwrap_or_default().uncopied {
            let renamed = found.held.get(&oid).or_else(|| found.missing.get(&oid)).cloned();
            if found.existing.contains(&oid) {
                uncopied.insert(oid, renamed.unwrap_or(table));
            }
        }
        let Look { held, missing, existing, .. } = found;
        *state = State { known: Some(Members { uncopied, ..now }), missing, held, existing };
        Ok(())
    }
}

/// Logs what is new.
fn tell(config: &Config, before: &State, found: &Look, uncopied: &BTreeMap<u32, TableId>) {
    let publication = &config.publication_name;
    if !uncopied.is_empty() {
        tracing::warn!(
            tables = names(uncopied.values()),
            %publication,
            remedy = copy_command(uncopied.values()),
            "tables joined the publication, and their earlier rows were not copied"
        );
    }
    for joined in found.joined.iter().filter(|joined| !uncopied.contains_key(&joined.oid)) {
        tracing::info!(table = %joined.table, %publication, "table joined the publication");
    }
    let gone = before.held.iter().filter(|(oid, _)| !found.held.contains_key(oid));
    let (left, dropped): (Vec<_>, Vec<_>) = gone.partition(|(oid, _)| found.existing.contains(oid));
    if !left.is_empty() {
        tracing::warn!(
            tables = names(left.into_iter().map(|(_, table)| table)),
            %publication,
            "tables left the publication or the selection: their changes are not captured any more"
        );
    }
    if !dropped.is_empty() {
        tracing::warn!(
            tables = names(dropped.into_iter().map(|(_, table)| table)),
            "captured tables were dropped; destinations keep their rows"
        );
    }
    let missing = || {
        let new = found.missing.iter().filter(|(oid, _)| !before.missing.contains_key(oid));
        new.map(|(_, table)| table)
    };
    if missing().next().is_some() {
        tracing::warn!(
            tables = names(missing()),
            remedy = add_statement(config, missing()),
            "tables are not in the publication: their changes are not captured"
        );
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

fn names<'a>(tables: impl Iterator<Item = &'a TableId>) -> String {
    let mut names: Vec<String> = tables.map(TableId::to_string).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more tables", names.join(", ")),
    }
}

fn copy_command<'a>(mut tables: impl Iterator<Item = &'a TableId>) -> String {
    let table = tables.next().map(TableId::to_string).unwrap_or_default();
    format!("cdc snapshot PIPELINE --table {table}")
}

fn add_statement<'a>(config: &Config, tables: impl Iterator<Item = &'a TableId>) -> String {
    let named: Vec<String> = tables.take(NAMED_MAX).map(quote::table).collect();
    format!(
        "start the pipeline anew, or: ALTER PUBLICATION {} ADD TABLE {};",
        quote::identifier(&config.publication_name),
        named.join(", ")
    )
}
