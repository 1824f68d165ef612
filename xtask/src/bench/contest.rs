//! Programs that take turns, and what became of each.

use std::collections::BTreeMap;

use super::measure::{Usage, median};
use super::report::{Contender, NotRun};

/// The runs of all contenders, in the order of their first turn.
#[derive(Default)]
pub(super) struct Contest {
    runs: Vec<(String, Vec<Usage>)>,
    absent: BTreeMap<String, String>,
}

impl Contest {
    /// Notes one run.
    pub(super) fn note(&mut self, name: &str, usage: Usage) {
        match self.runs.iter_mut().find(|(other, _)| other == name) {
            Some((_, runs)) => runs.push(usage),
            None => self.runs.push((name.to_owned(), vec![usage])),
        }
    }

    /// Notes why a contender has no figures.
    pub(super) fn excuse(&mut self, name: &str, reason: &anyhow::Error) {
        self.absent.entry(name.to_owned()).or_insert_with(|| format!("{reason:#}"));
    }

    /// Whether a contender has dropped out.
    pub(super) fn is_absent(&self, name: &str) -> bool {
        self.absent.contains_key(name)
    }

    /// The median run of each contender, and those without one. Who failed once has no figures: the
    /// other runs would be chosen by their success.
    pub(super) fn end(self, rows: u64) -> anyhow::Result<(Vec<Contender>, Vec<NotRun>)> {
        let mut contenders = Vec::new();
        for (name, runs) in self.runs {
            if !self.absent.contains_key(&name) {
                contenders.push(Contender::new(name, rows, median(runs)?));
            }
        }
        let not_run = |(name, reason)| NotRun { name, reason };
        Ok((contenders, self.absent.into_iter().map(not_run).collect()))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::{Contest, Usage};

    fn usage(seconds: f64) -> Usage {
        Usage {
            seconds,
            cpu_seconds: 0.0,
            server_cpu_seconds: 0.0,
            memory_bytes_peak: 0,
            first_seconds: None,
        }
    }

    #[test]
    fn each_contender_has_the_median_of_its_own_runs() {
        let mut contest = Contest::default();
        for seconds in [3.0, 1.0, 2.0] {
            contest.note("b", usage(seconds));
            contest.note("a", usage(seconds * 10.0));
        }
        let (contenders, not_run) = contest.end(100).unwrap();
        let found: Vec<_> = contenders.iter().map(|c| (c.name.as_str(), c.seconds)).collect();
        assert_eq!(found, [("b", 2.0), ("a", 20.0)]);
        assert!(not_run.is_empty());
    }

    #[test]
    fn who_failed_once_has_a_reason_and_no_figures() {
        let mut contest = Contest::default();
        contest.note("a", usage(1.0));
        contest.excuse("a", &anyhow!("first"));
        contest.excuse("a", &anyhow!("second"));
        assert!(contest.is_absent("a"));
        let (contenders, not_run) = contest.end(100).unwrap();
        assert!(contenders.is_empty());
        let reasons: Vec<_> = not_run.iter().map(|absent| absent.reason.as_str()).collect();
        assert_eq!(reasons, ["first"]);
    }
}
