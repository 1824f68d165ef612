//! What a verification has found; the JSON is part of the command-line contract.

use cdc_core::TableId;
use serde::Serialize;

/// How far a verification is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The table at hand.
    pub table: &'a TableId,
    /// Tables that are done.
    pub done: usize,
    /// All tables.
    pub total: usize,
    /// What is done with it.
    pub stage: Stage,
}

/// What is done with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// All rows are hashed.
    Hashing,
    /// Some ranges differ, and their rows are compared.
    Narrowing {
        /// How many.
        ranges: usize,
    },
    /// Some rows differ, and are looked at again.
    Deciding {
        /// How many.
        rows: usize,
    },
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// One entry a table, in the order of their names.
    pub tables: Vec<TableReport>,
}

impl Report {
    /// All tables together.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.tables.iter().map(|table| table.verdict);
        verdicts.max().unwrap_or(Verdict::Equal)
    }
}

/// What is known about a table or all of them; the worst comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every row is in the replica as it is in the source, and no other.
    Equal,
    /// That could not be found out.
    NotCompared,
    /// Some rows are not.
    Different,
}

/// What was found in one table.
#[derive(Clone, Debug, Serialize)]
pub struct TableReport {
    /// Which table of the source.
    #[serde(serialize_with = "as_text")]
    pub table: TableId,
    /// What is known.
    pub verdict: Verdict,
    /// Are its changes not captured at present?
    #[serde(skip)]
    pub left_out: bool,
    /// Why no more is known.
    pub reason: Option<String>,
    /// Rows in the source.
    pub rows: u64,
    /// Ranges that were hashed.
    pub ranges: usize,
    /// Rows of the source that the replica does not have.
    pub missing: u64,
    /// Rows of the replica that the source does not have.
    pub extra: u64,
    /// Rows that both have, with other values.
    pub different: u64,
    /// Rows that changed whenever they were looked at.
    pub undecided: u64,
    /// Are there more differences than could be counted?
    pub truncated: bool,
    /// The first of them.
    pub differences: Vec<Difference>,
}

/// One row that is not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// How.
    pub kind: Kind,
    /// Names and values of the key; empty in a table without a key.
    #[serde(serialize_with = "as_object")]
    pub key: Vec<(String, Option<String>)>,
    /// How many rows; more than one only without a key.
    pub rows: u64,
    /// Names of the columns that differ.
    pub columns: Vec<String>,
    /// The beginning of each value in the source, where values were asked for.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_object")]
    pub source: Option<Vec<(String, Option<String>)>>,
    /// The same in the replica.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_optional_object")]
    pub replica: Option<Vec<(String, Option<String>)>>,
}

/// How a row is not the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The replica does not have it.
    Missing,
    /// Only the replica has it.
    Extra,
    /// Other values.
    Different,
}

impl TableReport {
    pub(super) fn new(table: TableId) -> Self {
        Self {
            table,
            verdict: Verdict::Equal,
            left_out: false,
            reason: None,
            rows: 0,
            ranges: 0,
            missing: 0,
            extra: 0,
            different: 0,
            undecided: 0,
            truncated: false,
            differences: Vec::new(),
        }
    }

    /// Differences that were counted.
    #[must_use]
    pub fn found(&self) -> u64 {
        self.missing + self.extra + self.different
    }

    pub(super) fn not_compared(&mut self, reason: String) {
        self.verdict = Verdict::NotCompared;
        self.reason = Some(reason);
    }

    pub(super) fn count(&mut self, difference: &Difference) {
        match difference.kind {
            Kind::Missing => self.missing += difference.rows,
            Kind::Extra => self.extra += difference.rows,
            Kind::Different => self.different += difference.rows,
        }
    }

    /// Draws the verdict from the counts.
    pub(super) fn settle(&mut self) {
        if self.found() > 0 {
            self.verdict = Verdict::Different;
        } else if self.verdict == Verdict::NotCompared {
            // Why is known already.
        } else if self.undecided > 0 {
            let rows = self.undecided;
            self.not_compared(format!(
                "could not be compared: {rows} rows changed whenever they were looked at; try again, or raise --attempts"
            ));
        } else if self.truncated {
            self.not_compared(
                "could not be compared: too many rows changed at once; try again".to_owned(),
            );
        }
    }
}

fn as_text<S: serde::Serializer>(table: &TableId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(table)
}

type Named = (String, Option<String>);

fn as_object<S: serde::Serializer>(named: &[Named], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(named.iter().map(|(name, value)| (name, value)))
}

fn as_optional_object<S: serde::Serializer>(
    named: &Option<Vec<Named>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    as_object(named.as_deref().unwrap_or_default(), serializer)
}
