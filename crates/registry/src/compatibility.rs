//! Which changes of a schema a registry lets pass.

use crate::{
    avro, json, protobuf,
    schema::{Invalid, Schema},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What must go on working when a schema changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Nothing is checked.
    None,
    /// Readers with the new schema read data of the latest one.
    #[default]
    Backward,
    /// Readers with the new schema read data of every earlier one.
    BackwardTransitive,
    /// Readers with the latest schema read data of the new one.
    Forward,
    /// Readers with any earlier schema read data of the new one.
    ForwardTransitive,
    /// Both ways, with the latest schema.
    Full,
    /// Both ways, with every earlier schema.
    FullTransitive,
}

impl Level {
    /// All levels, the most permissive first.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
    ];

    /// The name that requests and answers use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// Must the new schema read old data?
    #[must_use]
    pub fn backward(self) -> bool {
        !matches!(self, Self::None | Self::Forward | Self::ForwardTransitive)
    }

    /// Must old schemas read new data?
    #[must_use]
    pub fn forward(self) -> bool {
        !matches!(self, Self::None | Self::Backward | Self::BackwardTransitive)
    }

    /// Is every earlier schema looked at, and not the latest alone?
    #[must_use]
    pub fn transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Invalid::new(format!("{text:?} is none of {}", names())))
    }
}

/// One thing that keeps a schema from reading what another one wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is, in capitals, as Confluent's registry calls it where that has a name for it.
    pub kind: &'static str,
    /// Where, as a path into the schema's text.
    pub path: String,
    /// Where, by the names of fields; empty for the whole.
    pub place: String,
    /// What is wrong, in words.
    pub message: String,
}

/// All of them.
pub(crate) type Findings = Vec<Finding>;

/// Which of two schemas reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The new schema reads old data.
    Backward,
    /// The old schema reads new data.
    Forward,
}

/// A broken promise of a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// Which way is barred.
    pub direction: Direction,
    /// Which of the earlier schemas, counted as they were given.
    pub earlier: usize,
    /// Why.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What keeps `reader` from reading what was written with `writer`; empty when nothing does.
#[must_use]
pub fn reads(reader: &Schema, writer: &Schema) -> Vec<Finding> {
    match (reader, writer) {
        (Schema::Avro(reader), Schema::Avro(writer)) => avro::reads(reader, writer),
        (Schema::Json(reader), Schema::Json(writer)) => json::reads(reader, writer),
        (Schema::Protobuf(reader), Schema::Protobuf(writer)) => protobuf::reads(reader, writer),
        (reader, writer) => vec![Finding {
            kind: "SCHEMA_TYPE_CHANGED",
            path: "/".to_owned(),
            place: String::new(),
            message: format!("{} is not {}", writer.schema_type(), reader.schema_type()),
        }],
    }
}

/// Everything by which `new` breaks what `level` promises; `earlier` has the oldest schema first.
#[must_use]
pub fn check(level: Level, new: &Schema, earlier: &[&Schema]) -> Vec<Breach> {
    let from = if level.transitive() { 0 } else { earlier.len().saturating_sub(1) };
    let mut breaches = Vec::new();
    // The newest first: it is what people compare with.
    for (index, old) in earlier.iter().enumerate().skip(from).rev() {
        let mut add = |direction, findings: Findings| {
            breaches.extend(findings.into_iter().map(|finding| Breach {
                direction,
                earlier: index,
                finding,
            }));
        };
        if level.backward() {
            add(Direction::Backward, reads(new, old));
        }
        if level.forward() {
            add(Direction::Forward, reads(old, new));
        }
    }
    breaches
}
