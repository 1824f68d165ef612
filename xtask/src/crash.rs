//! The crash test of the end-to-end suite with other numbers.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::paths::cargo;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often `cdc` is killed.
    #[arg(long, default_value_t = 500)]
    kills: u32,
    /// Repeat a run that printed this seed.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the test and shows what it prints.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let built = cargo()
        .args(["build", "--workspace", "--all-targets"])
        .status()
        .context("run cargo build")?;
    ensure!(built.success(), "the workspace does not build");
    let status = test(arguments.kills, arguments.seed).status().context("run cargo test")?;
    ensure!(status.success(), "the replica differs from its source, or the test could not end");
    Ok(())
}

/// The command that runs it.
pub(crate) fn test(kills: u32, seed: Option<u64>) -> Command {
    let mut test = cargo();
    test.args(["test", "--package", "cdc-e2e", "--test", "main", "crash::"])
        .args(["--", "--nocapture", "--test-threads=1"])
        .env("CDC_CRASH_KILLS", kills.to_string());
    if let Some(seed) = seed {
        test.env("CDC_CRASH_SEED", seed.to_string());
    }
    test
}
