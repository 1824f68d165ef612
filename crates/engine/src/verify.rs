//! Proves that replica tables equal their sources, while changes flow.
//!
//! ```text
//!   hashes of key ranges, both sides ──equal──▶ done
//!        │ the ranges that differ
//!        ▼
//!   hashes of rows, both sides, once the replica has passed the source's view ──▶ suspects
//!        │
//!        ▼
//!   look again ──▶ equal: it was lag   ·   unchanged and still different: a difference
//! ```
//!
//! A row differs when the source shows one version of it in two views, the replica shows something
//! else in a view between them that has everything the first one shows, and shows the same again
//! behind the second. Whatever was on its way in between would have changed a version.

mod coverage;
mod merge;
mod names;
mod report;
mod suspects;

pub use coverage::{LogState, LogView};
pub use report::{Difference, Kind, Progress, Report, Stage, TableReport, Verdict};

use self::{
    coverage::{Coverage, Covered},
    merge::Found,
};
use cdc_core::{
    Error, Result, TableSchema,
    verify::{Comparison, Digest, Kept, Method, ReplicaRows, SourceRows, SourceTable},
};
use std::{collections::BTreeMap, time::Duration};

/// Rows that one range should hold.
const ROWS_A_RANGE: u64 = 2_000;
const RANGES_MIN: u64 = 16;
const RANGES_MAX: u64 = 16_384;
/// Ranges of a table whose size nobody knows.
const RANGES_UNKNOWN: u32 = 256;

/// Limits of a verification; all of them are options of the command.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the replica may take to catch up with a view of the source.
    pub wait: Duration,
    /// How often a row that differs is looked at again.
    pub attempts: u32,
    /// How many differences of a table are listed; all are counted.
    pub listed_max: usize,
    /// Shall values be listed?
    pub values: bool,
}

/// The two sides and the log between them.
pub struct Verification<'a> {
    /// Reads the source.
    pub source: Box<dyn SourceRows>,
    /// Reads the replica.
    pub replica: Box<dyn ReplicaRows>,
    /// Tells how far the log has got.
    pub log: &'a dyn LogView,
    /// What it may take.
    pub limits: Limits,
}

impl Verification<'_> {
    /// Compares the tables that `wanted` names, one after the other. Fails only where nothing can be
    /// compared at all: what is wrong with one table stands in its report.
    pub async fn run(
        &mut self,
        wanted: impl Fn(&cdc_core::TableId) -> bool,
        mut progress: impl FnMut(Progress<'_>) + Send,
    ) -> Result<Report> {
        let method = self.method().await?;
        let mut tables = self.source.tables().await?;
        tables.retain(|table| wanted(&table.schema.table));
        let mut coverage = Coverage::new(self.limits.wait);
        let mut report = Report::default();
        let total = tables.len();
        for (done, table) in tables.iter().enumerate() {
            let mut told = |stage| {
                progress(Progress { table: &table.schema.table, done, total, stage });
            };
            let mut outcome = TableReport::new(table.schema.table.clone());
            let compared = self.table(table, method, &mut coverage, &mut outcome, &mut told).await;
            if let Err(failure) = compared {
                self.recover(&failure).await?;
                outcome.not_compared(reason(&failure));
            }
            report.tables.push(outcome);
        }
        Ok(report)
    }

    /// The quickest hash that both sides agree on.
    async fn method(&mut self) -> Result<Method> {
        for method in [Method::Native, Method::Portable] {
            let ours = self.source.probe(method).await?;
            if ours.is_some() && ours == self.replica.probe(method).await? {
                return Ok(method);
            }
        }
        Err(crate::error::no_common_hash())
    }

    /// Ends views that a failure left open; where even that fails, the failure is everybody's.
    async fn recover(&mut self, failure: &Error) -> Result<()> {
        let ended = self.source.end().await.and(self.replica.end().await);
        ended.map_err(|_| {
            Error::new(failure.code, failure.origin, failure.retry, failure.context.clone())
                .with_remedy(failure.remedy.clone().unwrap_or_default())
        })
    }

    async fn table(
        &mut self,
        table: &SourceTable,
        method: Method,
        coverage: &mut Coverage,
        report: &mut TableReport,
        told: &mut (impl FnMut(Stage) + Send),
    ) -> Result<()> {
        if let Some(why) = &table.left_out {
            report.left_out = true;
            report.not_compared(why.clone());
            return Ok(());
        }
        let kept_as = match self.kept(&table.schema, coverage).await? {
            Covered::Yes(Kept::As(kept_as)) => kept_as,
            Covered::Yes(Kept::Not(why)) | Covered::No(why) => {
                report.not_compared(why);
                return Ok(());
            }
        };
        let ranges = ranges(table.rows_estimated);
        let schema = std::sync::Arc::clone(&table.schema);
        let of = Comparison { schema, kept_as, method, ranges };
        told(Stage::Hashing);
        let suspected = self.differing_ranges(&of, report).await?;
        if suspected.is_empty() {
            return Ok(());
        }
        told(Stage::Narrowing { ranges: suspected.len() });
        let found = match self.differing_rows(&of, &suspected, coverage).await? {
            Covered::Yes(found) => found,
            Covered::No(behind) => {
                report.not_compared(behind);
                return Ok(());
            }
        };
        report.truncated = found.truncated;
        self.judge(&of, found.suspects, coverage, report, told).await
    }

    /// How the replica keeps a table; what it has not made or altered yet is waited for.
    async fn kept(
        &mut self,
        schema: &TableSchema,
        coverage: &mut Coverage,
    ) -> Result<Covered<Kept>> {
        if let Kept::As(kept_as) = self.replica.kept(schema).await? {
            return Ok(Covered::Yes(Kept::As(kept_as)));
        }
        let needed = self.source.begin().await?;
        self.source.end().await?;
        let covered = coverage.begin(&*self.source, &mut *self.replica, self.log, needed).await?;
        if let Covered::No(behind) = covered {
            return Ok(Covered::No(behind));
        }
        self.replica.end().await?;
        Ok(Covered::Yes(self.replica.kept(schema).await?))
    }

    /// Hashes all ranges on both sides and returns those that are not the same.
    async fn differing_ranges(
        &mut self,
        of: &Comparison,
        report: &mut TableReport,
    ) -> Result<Vec<u32>> {
        self.source.begin().await?;
        self.replica.begin().await?;
        let (ours, theirs) =
            tokio::join!(biased; self.source.digests(of), self.replica.digests(of));
        let (ours, theirs) = (ours?, theirs?);
        self.source.end().await?;
        self.replica.end().await?;
        report.rows = ours.iter().map(|digest| digest.rows).sum();
        let by_range = |digests: &[Digest]| -> BTreeMap<u32, Digest> {
            digests.iter().map(|digest| (digest.range, *digest)).collect()
        };
        let (ours, theirs) = (by_range(&ours), by_range(&theirs));
        let all: std::collections::BTreeSet<u32> =
            ours.keys().chain(theirs.keys()).copied().collect();
        report.ranges = all.len();
        let differ = |range: &u32| ours.get(range) != theirs.get(range);
        Ok(all.into_iter().filter(differ).collect())
    }

    /// Reads the rows of some ranges on both sides and returns the keys that are not the same.
    async fn differing_rows(
        &mut self,
        of: &Comparison,
        ranges: &[u32],
        coverage: &mut Coverage,
    ) -> Result<Covered<Found>> {
        let needed = self.source.begin().await?;
        let covered = coverage.begin(&*self.source, &mut *self.replica, self.log, needed).await?;
        if let Covered::No(behind) = covered {
            self.source.end().await?;
            return Ok(Covered::No(behind));
        }
        let (ours, theirs) =
            tokio::join!(biased; self.source.scan(of, ranges), self.replica.scan(of, ranges));
        ours.and(theirs)?;
        let found = merge::differing(&mut *self.source, &mut *self.replica).await?;
        suspects::findable(&mut *self.source, of, &found.suspects, |suspect| suspect.source)
            .await?;
        suspects::findable(&mut *self.replica, of, &found.suspects, |suspect| suspect.replica)
            .await?;
        self.source.end().await?;
        self.replica.end().await?;
        Ok(Covered::Yes(found))
    }
}

fn ranges(rows_estimated: Option<u64>) -> u32 {
    let Some(rows) = rows_estimated else { return RANGES_UNKNOWN };
    let ranges = (rows / ROWS_A_RANGE).clamp(RANGES_MIN, RANGES_MAX).next_power_of_two();
    u32::try_from(ranges).unwrap_or(RANGES_UNKNOWN)
}

/// A failure on one line, with what helps.
fn reason(failure: &Error) -> String {
    let text = failure.chain();
    match &failure.remedy {
        Some(remedy) => format!("{text}; {remedy}"),
        None => text,
    }
}
