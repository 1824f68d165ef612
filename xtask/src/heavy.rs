//! Tests of sizes and loads for which a normal run has no time.
#![expect(clippy::print_stdout, reason = "the output of a command")]

use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::crash;
use crate::paths::cargo;
use crate::tally::Tally;

/// Begins the name of every such test.
const PREFIX: &str = "heavy_";
/// The name under which the crash test is run alone.
const CRASH: &str = "crash";
const KILLS: u32 = 500;
/// The longest of them says nothing for some minutes.
const SILENCE_MAX: Duration = Duration::from_secs(60 * 60);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run this test alone: `resume` or `heavy_resume`; `crash` for the kills.
    name: Option<String>,
}

/// Runs the tests one after the other, then the kills; ends the process with 1 when anything failed.
///
/// Sizes shrink with `CDC_HEAVY_PERCENT`, and `CDC_HEAVY_SEED` repeats a run that printed it.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let name = arguments.name.as_deref();
    let built = cargo()
        .args(["build", "--workspace", "--all-targets"])
        .status()
        .context("run cargo build")?;
    ensure!(built.success(), "the workspace does not build");
    let mut tally = Tally::default();
    let mut good = true;
    if name != Some(CRASH) {
        good &= tally.count(
            cargo()
                .args(["test", "--workspace", "--tests", "--no-fail-fast", &filter(name)])
                .args(["--", "--ignored", "--nocapture", "--test-threads=1"]),
            SILENCE_MAX,
        )?;
        ensure!(tally.passed + tally.failed > 0, "no test is named {}", filter(name));
    }
    if name.is_none_or(|name| name == CRASH) {
        good &= tally.count(&mut crash::test(KILLS, None), SILENCE_MAX)?;
    }
    for suite in tally.skipped() {
        println!("could not run here: {suite}");
    }
    // A run that fails without a failed test must not look like success in the totals.
    tally.failed = tally.failed.max(u64::from(!good));
    println!("{}", tally.line());
    std::process::exit(i32::from(tally.failed > 0));
}

fn filter(name: Option<&str>) -> String {
    let name = name.unwrap_or_default();
    format!("{PREFIX}{}", name.strip_prefix(PREFIX).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_test_is_found_with_and_without_its_prefix() {
        assert_eq!(filter(None), "heavy_");
        assert_eq!(filter(Some("resume")), "heavy_resume");
        assert_eq!(filter(Some("heavy_resume")), "heavy_resume");
    }
}
