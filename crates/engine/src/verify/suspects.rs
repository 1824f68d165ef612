//! Looking again at rows that differ, until they are equal or truly different.

use super::{
    Difference, Kind, Stage, TableReport, Verification,
    coverage::{Coverage, Covered},
    merge::{Held, Suspect, same},
};
use crate::error;
use cdc_core::{
    Position, Result,
    verify::{Comparison, Key, Rows},
};
use std::{collections::BTreeMap, time::Duration};

/// Keys that are looked up by one statement.
const LOOKUP_KEYS: usize = 5_000;
/// Time for the source to go on between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// What one side holds under each key.
type Holdings = BTreeMap<(i64, Key), Held>;

impl Verification<'_> {
    /// Counts and lists what is truly different among `suspects`.
    pub(super) async fn judge(
        &mut self,
        of: &Comparison,
        mut suspects: Vec<Suspect>,
        coverage: &mut Coverage,
        report: &mut TableReport,
        told: &mut (impl FnMut(Stage) + Send),
    ) -> Result<()> {
        let mut confirmed = Vec::new();
        for _ in 0..self.limits.attempts {
            if suspects.is_empty() {
                break;
            }
            told(Stage::Deciding { rows: suspects.len() });
            tokio::time::sleep(PAUSE).await;
            let looked = self.look(of, &suspects, coverage).await?;
            let (ours, theirs) = match looked {
                Covered::Yes(both) => both,
                Covered::No(behind) => {
                    report.not_compared(behind);
                    break;
                }
            };
            suspects.retain_mut(|suspect| {
                let at = (suspect.key_hash, std::mem::take(&mut suspect.key));
                let (source, replica) = (ours.get(&at).copied(), theirs.get(&at).copied());
                suspect.key = at.1;
                decide(suspect, source, replica, &mut confirmed)
            });
        }
        report.undecided = suspects.len() as u64;
        for suspect in &confirmed {
            report.count(&difference(of, suspect));
        }
        confirmed.sort_by(|a, b| by_key(&a.key, &b.key));
        confirmed.truncate(self.limits.listed_max);
        let listed = confirmed.iter().map(|suspect| difference(of, suspect)).collect();
        report.differences = self.named(of, &confirmed, listed).await?;
        report.settle();
        Ok(())
    }

    /// Reads the suspects on both sides, in a view of the replica that has all that the source's shows.
    async fn look(
        &mut self,
        of: &Comparison,
        suspects: &[Suspect],
        coverage: &mut Coverage,
    ) -> Result<Covered<(Holdings, Holdings)>> {
        let keys: Vec<(i64, Key)> =
            suspects.iter().map(|suspect| (suspect.key_hash, suspect.key.clone())).collect();
        let needed: Position = self.source.begin().await?;
        let ours = lookup(&mut *self.source, of, &keys).await?;
        // Ended before the wait, so that nobody who wants to alter the table waits with us.
        self.source.end().await?;
        let covered = coverage.begin(&*self.source, &mut *self.replica, self.log, needed).await?;
        if let Covered::No(behind) = covered {
            return Ok(Covered::No(behind));
        }
        let theirs = lookup(&mut *self.replica, of, &keys).await?;
        self.replica.end().await?;
        Ok(Covered::Yes((ours, theirs)))
    }
}

/// Proves, in the view that the suspects were scanned in, that a lookup finds them: a row that is not
/// found counts as deleted, so a lookup that finds nothing would make everything equal.
pub(super) async fn findable<R: Rows + ?Sized>(
    rows: &mut R,
    of: &Comparison,
    suspects: &[Suspect],
    held: impl Fn(&Suspect) -> Option<Held>,
) -> Result<()> {
    let here = suspects.iter().filter_map(|suspect| Some((suspect, held(suspect)?)));
    let here: BTreeMap<(i64, Key), Held> = here
        .take(LOOKUP_KEYS)
        .map(|(suspect, held)| ((suspect.key_hash, suspect.key.clone()), held))
        .collect();
    let keys: Vec<(i64, Key)> = here.keys().cloned().collect();
    if !keys.is_empty() && lookup(rows, of, &keys).await? != here {
        return Err(error::not_findable(&of.schema.table));
    }
    Ok(())
}

async fn lookup<R: Rows + ?Sized>(
    rows: &mut R,
    of: &Comparison,
    keys: &[(i64, Key)],
) -> Result<Holdings> {
    let mut holdings: BTreeMap<(i64, Key), Option<Held>> =
        keys.iter().map(|key| (key.clone(), None)).collect();
    for some in keys.chunks(LOOKUP_KEYS) {
        for seen in rows.lookup(of, some).await? {
            if let Some(held) = holdings.get_mut(&(seen.key_hash, seen.key.clone())) {
                Held::add(held, &seen);
            }
        }
    }
    Ok(holdings.into_iter().filter_map(|(key, held)| Some((key, held?))).collect())
}

/// Says whether the suspect has to be looked at again.
fn decide(
    suspect: &mut Suspect,
    source: Option<Held>,
    replica: Option<Held>,
    confirmed: &mut Vec<Suspect>,
) -> bool {
    // What the replica showed last time lies between both views of the source.
    if same(source, replica) || same(source, suspect.replica) {
        return false;
    }
    let unchanged = source == suspect.source && replica == suspect.replica;
    (suspect.source, suspect.replica) = (source, replica);
    if unchanged {
        confirmed.push(suspect.clone());
    }
    !unchanged
}

/// The order in which people look for keys: numbers by their size.
fn by_key(a: &Key, b: &Key) -> std::cmp::Ordering {
    let number = |part: &Option<String>| part.as_ref()?.parse::<i128>().ok();
    let parts = a.iter().zip(b).map(|(a, b)| number(a).cmp(&number(b)).then_with(|| a.cmp(b)));
    parts.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
}

fn difference(of: &Comparison, suspect: &Suspect) -> Difference {
    let rows = |held: Option<Held>| held.map_or(0, |held| held.rows);
    let (source, replica) = (rows(suspect.source), rows(suspect.replica));
    let kind = match source.cmp(&replica) {
        std::cmp::Ordering::Greater => Kind::Missing,
        std::cmp::Ordering::Less => Kind::Extra,
        std::cmp::Ordering::Equal => Kind::Different,
    };
    let names = of.schema.key_columns().map(|column| column.name.clone());
    Difference {
        kind,
        key: names.zip(suspect.key.iter().cloned()).collect(),
        rows: source.abs_diff(replica).max(1),
        columns: Vec::new(),
        source: None,
        replica: None,
    }
}
