//! `cdc completions`: for the shell.

use crate::{failure::Outcome, output::say};
use clap_complete::Shell;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> Outcome {
    let mut out = Vec::new();
    clap_complete::generate(args.shell, &mut command, "cdc", &mut out);
    say(String::from_utf8_lossy(&out).trim_end())
}
