//! The figures of one benchmark, as a table and as JSON.

use std::fmt;

use serde::Serialize;

use super::measure::Usage;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) name: &'static str,
    pub(super) server: String,
    pub(super) rows: u64,
    pub(super) rounds: u32,
    pub(super) contenders: Vec<Contender>,
    pub(super) figures: Vec<Figure>,
}

/// The median run of one program.
#[derive(Debug, Serialize)]
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) rows_per_second: f64,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) memory_megabytes_peak: f64,
    pub(super) first_event_seconds: Option<f64>,
}

/// One number with the target that it has to reach.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) target: Option<Target>,
}

/// What a figure has to reach.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Contender {
    pub(super) fn new(name: &'static str, rows: u64, usage: Usage) -> Self {
        Self {
            name,
            rows_per_second: as_float(rows) / usage.seconds,
            seconds: usage.seconds,
            cpu_seconds: usage.cpu_seconds,
            memory_megabytes_peak: as_float(usage.memory_bytes_peak) / 1e6,
            first_event_seconds: usage.first_seconds,
        }
    }
}

impl Figure {
    pub(super) fn new(name: &'static str, value: f64, target: Option<Target>) -> Self {
        Self { name, value, target }
    }
}

impl Target {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, server, rows, rounds, .. } = self;
        writeln!(f, "\n{name}: {rows} rows, PostgreSQL {server}, median of {rounds}\n")?;
        if !self.contenders.is_empty() {
            writeln!(
                f,
                "  {:<26} {:>10} {:>9} {:>9} {:>11} {:>13}",
                "", "rows/s", "seconds", "cpu s", "peak MB", "first event s"
            )?;
        }
        for contender in &self.contenders {
            let first = contender.first_event_seconds.map(|first| format!("{first:.2}"));
            writeln!(
                f,
                "  {:<26} {:>10.0} {:>9.2} {:>9.2} {:>11.1} {:>13}",
                contender.name,
                contender.rows_per_second,
                contender.seconds,
                contender.cpu_seconds,
                contender.memory_megabytes_peak,
                first.unwrap_or_default()
            )?;
        }
        writeln!(f)?;
        for figure in &self.figures {
            write!(f, "  {:<40} {:>9.2}", figure.name, figure.value)?;
            if let Some(target) = figure.target {
                let verdict = if target.is_met_by(figure.value) { "reached" } else { "MISSED" };
                write!(f, "   {target}: {verdict}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below what a float holds exactly")]
fn as_float(number: u64) -> f64 {
    number as f64
}
