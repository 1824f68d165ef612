//! Everything that has to hold before a change is merged.
#![expect(clippy::print_stdout, reason = "the output of a command")]
#![expect(clippy::disallowed_methods, reason = "measures real time outside any runtime")]

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use cdc_testkit::services;

use crate::paths::cargo;
use crate::silence;
use crate::tally::Tally;
use crate::tidy;

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
    let tally = Mutex::new(Tally::default());
    step("tests", &mut || counted(cargo().args(["test", "--workspace", "--no-fail-fast"]), &tally));
    step("documentation", &mut || {
        passes(cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
    });
    let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.extend(wrongly_skipped(&tally, &services::missing()));
    for failure in &failures {
        println!("failed: {failure}");
    }
    for suite in tally.skipped() {
        println!("could not run here: {suite}");
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

fn counted(command: &mut Command, tally: &Mutex<Tally>) -> anyhow::Result<bool> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("cargo has an output")?;
    let errors = child.stderr.take().context("cargo has an error output")?;
    let cargo = child.id();
    let (says, heard) = sync_channel(1);
    std::thread::scope(|scope| {
        let also = says.clone();
        scope.spawn(move || pass_on(output, tally, &says));
        scope.spawn(move || pass_on(errors, tally, &also));
        scope.spawn(move || silence::end_what_hangs(cargo, &heard, || tell_what_hangs(tally)));
    });
    Ok(child.wait().context("wait for cargo test")?.success())
}

fn tell_what_hangs(tally: &Mutex<Tally>) {
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    for test in tally.slow() {
        println!("hangs, and is ended: {test}");
    }
}

fn pass_on(stream: impl Read, tally: &Mutex<Tally>, says: &SyncSender<()>) {
    let mut reader = BufReader::new(stream);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
        let line = String::from_utf8_lossy(&bytes);
        print!("{line}");
        tally.lock().unwrap_or_else(PoisonError::into_inner).read(&line);
        // Full means that somebody is going to hear of it.
        says.try_send(()).ok();
        bytes.clear();
    }
}

/// The suites that were skipped although nothing they ask for is missing.
fn wrongly_skipped(tally: &Tally, missing: &[String]) -> Vec<String> {
    tally
        .skipped()
        .filter(|suite| !missing.iter().any(|reason| suite.contains(reason.as_str())))
        .map(|suite| format!("skipped although it can run here: {suite}"))
        .collect()
}
