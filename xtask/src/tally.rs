//! Counts the results in what `cargo test` prints.

use std::collections::BTreeSet;

/// Totals over all suites.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    ignored: u64,
    skipped: BTreeSet<String>,
    /// Tests that take long and have not ended.
    slow: BTreeSet<String>,
}

impl Tally {
    /// Takes one line of output into account.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(slow) = line.strip_suffix(" has been running for over 60 seconds") {
            self.slow.insert(slow.trim_start_matches("test ").to_owned());
        } else if let Some((test, _)) = line.split_once(" ... ") {
            self.slow.remove(test.trim_start_matches("test "));
        }
        if let Some((_, suite)) = line.split_once("skipped: ") {
            self.skipped.insert(suite.to_owned());
        } else if let Some(result) = line.strip_prefix("test result: ") {
            for part in result.split(['.', ';']) {
                self.read_count(part.trim());
            }
        }
    }

    /// The suites that could not run, each with its reason.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = &str> {
        self.skipped.iter().map(String::as_str)
    }

    /// The tests that take long and have not ended.
    pub(crate) fn slow(&self) -> impl Iterator<Item = &str> {
        self.slow.iter().map(String::as_str)
    }

    /// The line that ends every run.
    pub(crate) fn line(&self) -> String {
        let skipped = self.ignored + self.skipped.len() as u64;
        format!("{} passed, {} failed, {skipped} skipped", self.passed, self.failed)
    }

    fn read_count(&mut self, part: &str) {
        let Some((number, what)) = part.split_once(' ') else { return };
        let Ok(number) = number.parse::<u64>() else { return };
        match what {
            "passed" => self.passed += number,
            "failed" => self.failed += number,
            "ignored" => self.ignored += number,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn line_after(lines: &[&str]) -> String {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally.line()
    }

    #[test]
    fn results_of_all_suites_add_up() {
        let lines = [
            "test a::b ... ok",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 4.92s",
            "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.10s",
        ];
        assert_eq!(line_after(&lines), "7 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn a_suite_skipped_by_many_tests_counts_once() {
        let lines = [
            "skipped: source-postgres: PostgreSQL 18 is not installed",
            "test x ... skipped: source-postgres: PostgreSQL 18 is not installed",
            "skipped: e2e: PostgreSQL 18 is not installed",
        ];
        assert_eq!(line_after(&lines), "0 passed, 0 failed, 2 skipped");
    }

    #[test]
    fn a_test_that_hangs_is_known_by_name() {
        let mut tally = Tally::default();
        for name in ["a::ends", "a::hangs"] {
            tally.read(&format!("test {name} has been running for over 60 seconds"));
        }
        tally.read("test a::ends ... ok");
        assert_eq!(tally.slow().collect::<Vec<_>>(), ["a::hangs"]);
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(
            line_after(&["3 passed", "running 3 tests", ""]),
            "0 passed, 0 failed, 0 skipped"
        );
    }
}
