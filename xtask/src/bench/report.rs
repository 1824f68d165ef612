//! The figures of one benchmark, as a table and as JSON.

use std::fmt;

use serde::Serialize;

use super::line::Growth;
use super::measure::Usage;

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) name: &'static str,
    pub(super) server: String,
    pub(super) rows: u64,
    pub(super) rounds: u32,
    pub(super) contenders: Vec<Contender>,
    pub(super) not_run: Vec<NotRun>,
    pub(super) growth: Vec<Growth>,
    pub(super) figures: Vec<Figure>,
    /// What a reader has to know about versions and settings.
    pub(super) notes: Vec<String>,
}

/// The median run of one program.
#[derive(Debug, Serialize)]
pub(super) struct Contender {
    pub(super) name: String,
    pub(super) rows_per_second: f64,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) server_cpu_seconds: f64,
    pub(super) memory_megabytes_peak: f64,
    pub(super) first_event_seconds: Option<f64>,
}

/// A program that should have been measured.
#[derive(Debug, Serialize)]
pub(super) struct NotRun {
    pub(super) name: String,
    pub(super) reason: String,
}

/// One number with the target that it has to reach.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
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

impl Report {
    /// The contender of this name.
    pub(super) fn contender(&self, name: &str) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.name == name)
    }

    /// Adds the rate of one contender as a multiple of another's, when both ran.
    pub(super) fn compare(&mut self, name: &str, rival: &str, target: Option<Target>) {
        let rates = self.contender(name).zip(self.contender(rival));
        let ratio = rates.map(|(ours, theirs)| ours.rows_per_second / theirs.rows_per_second);
        self.figures.extend(ratio.map(|r| Figure::new(format!("{name} / {rival}"), r, target)));
    }

    /// Adds how many times the time from the first event on, the processor and the memory of one
    /// contender the rival takes, when both ran.
    pub(super) fn compare_costs(&mut self, name: &str, rival: &str) {
        let Some((ours, theirs)) = self.contender(name).zip(self.contender(rival)) else { return };
        let from_first_event =
            theirs.seconds_from_first_event().zip(ours.seconds_from_first_event());
        let ratios = [
            ("time from the first event on", from_first_event),
            ("processor time", Some((theirs.cpu_seconds, ours.cpu_seconds))),
            ("peak memory", Some((theirs.memory_megabytes_peak, ours.memory_megabytes_peak))),
        ];
        let figures = ratios.into_iter().filter_map(|(what, pair)| {
            let (theirs, ours) = pair?;
            Some(Figure::new(format!("  {what}: its / that of cdc"), theirs / ours, None))
        });
        self.figures.extend(figures.collect::<Vec<_>>());
    }
}

impl Contender {
    pub(super) fn new(name: String, rows: u64, usage: Usage) -> Self {
        Self {
            name,
            rows_per_second: as_float(rows) / usage.seconds,
            seconds: usage.seconds,
            cpu_seconds: usage.cpu_seconds,
            server_cpu_seconds: usage.server_cpu_seconds,
            memory_megabytes_peak: as_float(usage.memory_bytes_peak) / 1e6,
            first_event_seconds: usage.first_seconds,
        }
    }

    fn seconds_from_first_event(&self) -> Option<f64> {
        self.first_event_seconds.map(|first| self.seconds - first)
    }
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, value: f64, target: Option<Target>) -> Self {
        Self { name: name.into(), value, target }
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

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.first_event_seconds.map(|first| format!("{first:.2}"));
        write!(
            f,
            "{:<30} {:>10.0} {:>9.2} {:>9.2} {:>12.2} {:>9.1} {:>13}",
            self.name,
            self.rows_per_second,
            self.seconds,
            self.cpu_seconds,
            self.server_cpu_seconds,
            self.memory_megabytes_peak,
            first.unwrap_or_default()
        )
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<56} {:>9.2}", self.name, self.value)?;
        if let Some(target) = self.target {
            let verdict = if target.is_met_by(self.value) { "reached" } else { "MISSED" };
            write!(f, "   {target}: {verdict}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, server, rows, rounds, .. } = self;
        write!(f, "\n{name}: ")?;
        if *rows > 0 {
            write!(f, "{rows} rows, ")?;
        }
        writeln!(f, "PostgreSQL {server}, median of {rounds}\n")?;
        if !self.contenders.is_empty() {
            let heads = ["rows/s", "seconds", "cpu s", "server cpu s", "peak MB", "first event s"];
            let [rate, seconds, cpu, server, peak, first] = heads;
            writeln!(
                f,
                "  {:<30} {rate:>10} {seconds:>9} {cpu:>9} {server:>12} {peak:>9} {first:>13}",
                ""
            )?;
        }
        self.contenders.iter().try_for_each(|contender| writeln!(f, "  {contender}"))?;
        for NotRun { name, reason } in &self.not_run {
            writeln!(f, "  {name}: not run: {reason}")?;
        }
        self.growth.iter().try_for_each(|growth| writeln!(f, "{growth}"))?;
        writeln!(f)?;
        self.figures.iter().try_for_each(|figure| writeln!(f, "  {figure}"))?;
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

/// A count, for ratios.
#[expect(clippy::cast_precision_loss, reason = "counts far below what a float holds exactly")]
pub(super) fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::{Contender, Figure, NotRun, Report, Target, Usage};

    fn contender(name: &str, seconds: f64, first_seconds: f64) -> Contender {
        let usage = Usage {
            seconds,
            cpu_seconds: 1.0,
            server_cpu_seconds: 2.0,
            memory_bytes_peak: 32_000_000,
            first_seconds: Some(first_seconds),
        };
        Contender::new(name.to_owned(), 1000, usage)
    }

    #[test]
    fn rates_are_compared_whole_and_from_the_first_event_on() {
        let contenders = vec![contender("cdc", 2.0, 1.0), contender("other", 10.0, 5.0)];
        let mut report = Report { contenders, ..Report::default() };
        report.compare("cdc", "other", Some(Target::AtLeast(6.0)));
        report.compare_costs("cdc", "other");
        report.compare("cdc", "absent", None);
        let text = report.to_string();
        let values: Vec<f64> = report.figures.iter().map(|figure| figure.value).collect();
        assert_eq!(values, [5.0, 5.0, 1.0, 1.0]);
        assert!(text.contains("at least 6: MISSED"), "{text}");
    }

    #[test]
    fn who_did_not_run_is_in_the_table_and_in_the_json() {
        let not_run = vec![NotRun { name: "other".to_owned(), reason: "it is missing".to_owned() }];
        let figures = vec![Figure::new("x", f64::INFINITY, None)];
        let report = Report { name: "stream", not_run, figures, ..Report::default() };
        assert!(report.to_string().contains("  other: not run: it is missing\n"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["not_run"][0]["reason"], "it is missing");
        assert!(json["figures"][0]["value"].is_null());
    }
}
