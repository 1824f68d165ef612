//! Everything that has to hold before a change is merged.
#![expect(clippy::print_stdout, reason = "the output of a command")]
#![expect(clippy::disallowed_methods, reason = "measures real time outside any runtime")]

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cdc_testkit::services;

use crate::paths::cargo;
use crate::tally::Tally;
use crate::tidy;

/// A test that says nothing for so long is not going to end by itself.
const SILENCE_MAX: Duration = Duration::from_secs(10 * 60);

/// Runs every check, then prints the totals; ends the process with 1 when anything failed.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut failures: Vec<String> = Vec::new();
    let mut step = |name: &str, run: &mut dyn FnMut() -> anyhow::Result<bool>| {
        println!("==> {name}");
        let started = Instant::now();
        let problem = match run() {
            Ok(true) => None,
            Ok(false) => Some(name.to_owned()),
            Err(error) => Some(format!("{name}: {error:#}")),
        };
        let word = if problem.is_none() { "ok" } else { "FAILED" };
        println!("==> {name}: {word} in {:.1} s", started.elapsed().as_secs_f64());
        failures.extend(problem);
    };
    step("format", &mut || passes(cargo().args(["fmt", "--all", "--check"])));
    step("tidy", &mut || Ok(tidy::report(&tidy::findings()?)));
    step("lints", &mut || {
        passes(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    });
    // The binary and all tests in one build, so that nothing is compiled for two feature sets.
    step("build", &mut || passes(cargo().args(["build", "--workspace", "--all-targets"])));
    let mut tally = Tally::default();
    step("tests", &mut || {
        tally.count(cargo().args(["test", "--workspace", "--no-fail-fast"]), SILENCE_MAX)
    });
    step("documentation", &mut || {
        passes(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    });
    failures.extend(wrongly_skipped(&tally, &services::missing()));
    for failure in &failures {
        println!("failed: {failure}");
    }
    for suite in tally.skipped() {
        println!("could not run here: {suite}");
    }
    if tally.heavy > 0 {
        println!("left to make test-heavy: {} tests", tally.heavy);
    }
    // A step that fails without a failed test must not look like success in the totals.
    let test_steps = u64::from(tally.failed > 0);
    tally.failed += (failures.len() as u64).saturating_sub(test_steps);
    println!("{}", tally.line());
    std::process::exit(i32::from(tally.failed > 0));
}

fn passes(command: &mut Command) -> anyhow::Result<bool> {
    Ok(command.status().context("run cargo")?.success())
}

/// The suites that were skipped although nothing they ask for is missing.
fn wrongly_skipped(tally: &Tally, missing: &[String]) -> Vec<String> {
    tally
        .skipped()
        .filter(|suite| !missing.iter().any(|reason| suite.contains(reason.as_str())))
        .map(|suite| format!("skipped although it can run here: {suite}"))
        .collect()
}
