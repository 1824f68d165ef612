//! Counts the results in what `cargo test` prints.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

use crate::silence;

/// Begins the reason of a test that only `make test-heavy` runs.
const HEAVY: &str = "heavy: ";
/// Begins the reason of what is no test but a process that a test starts.
const CHILD: &str = "child: ";

/// Totals over all suites.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Tests that are no part of a normal run.
    pub(crate) heavy: u64,
    children: u64,
    ignored: u64,
    skipped: BTreeSet<String>,
    /// Tests that take long and have not ended.
    slow: BTreeSet<String>,
}

impl Tally {
    /// Runs a command, shows what it prints and counts it; says whether the command succeeded. A program
    /// that it starts is ended when nothing was printed for `silence_max`.
    pub(crate) fn count(
        &mut self,
        command: &mut Command,
        silence_max: Duration,
    ) -> anyhow::Result<bool> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("cargo has an output")?;
        let errors = child.stderr.take().context("cargo has an error output")?;
        let parent = child.id();
        let tally = &Mutex::new(self);
        let (says, heard) = sync_channel(1);
        std::thread::scope(|scope| {
            let also = says.clone();
            scope.spawn(move || pass_on(output, tally, &says));
            scope.spawn(move || pass_on(errors, tally, &also));
            scope.spawn(move || {
                let tell = || tell_what_hangs(&lock(tally).slow);
                silence::end_what_hangs((parent, silence_max), &heard, tell);
            });
        });
        Ok(child.wait().context("wait for cargo test")?.success())
    }

    /// Takes one line of output into account.
    fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(slow) = line.strip_suffix(" has been running for over 60 seconds") {
            self.slow.insert(slow.trim_start_matches("test ").to_owned());
        } else if let Some((test, _)) = line.split_once(" ... ") {
            self.slow.remove(test.trim_start_matches("test "));
        }
        if let Some((_, reason)) = line.split_once(" ... ignored, ") {
            self.heavy += u64::from(reason.starts_with(HEAVY));
            self.children += u64::from(reason.starts_with(CHILD));
        } else if let Some((_, suite)) = line.split_once("skipped: ") {
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

    /// The line that ends every run.
    pub(crate) fn line(&self) -> String {
        let elsewhere = self.heavy + self.children;
        let skipped = self.ignored.saturating_sub(elsewhere) + self.skipped.len() as u64;
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

fn lock<'l, 't>(tally: &'l Mutex<&'t mut Tally>) -> MutexGuard<'l, &'t mut Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell_what_hangs(slow: &BTreeSet<String>) {
    for test in slow {
        println!("hangs, and is ended: {test}");
    }
}

fn pass_on(stream: impl Read, tally: &Mutex<&mut Tally>, says: &SyncSender<()>) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
        let line = String::from_utf8_lossy(&bytes);
        print!("{line}");
        lock(tally).read(&line);
        // Full means that somebody is going to hear of it.
        says.try_send(()).ok();
        bytes.clear();
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
        assert_eq!(tally.slow.into_iter().collect::<Vec<_>>(), ["a::hangs"]);
    }

    #[test]
    fn what_another_command_or_another_test_runs_is_not_skipped() {
        let lines = [
            "test a::heavy_b ... ignored, heavy: run by make test-heavy",
            "test a::child ... ignored, child: started by the test below",
            "test a::broken ... ignored, nobody knows why",
            "test result: ok. 1 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        ];
        assert_eq!(line_after(&lines), "1 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(
            line_after(&["3 passed", "running 3 tests", ""]),
            "0 passed, 0 failed, 0 skipped"
        );
    }
}
