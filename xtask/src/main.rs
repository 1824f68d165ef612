//! The project's own commands: `cargo xtask help` lists them.
#![expect(clippy::print_stderr, reason = "the output of a command")]

mod bench;
mod ci;
mod crash;
mod demo;
mod golden;
mod heavy;
mod paths;
mod services;
mod silence;
mod tally;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Commands for working on cdc")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install the servers and tools that the tests need; does nothing when they are there.
    Services,
    /// Check and test everything; the last line has the totals.
    Ci,
    /// Check what the compiler does not: dependency arrows, names, sizes, error pages.
    Tidy,
    /// Kill `cdc` again and again under load and compare the replica with its source.
    Crash(crash::Arguments),
    /// Run the tests of large sizes and long loads, then kill `cdc` five hundred times.
    Heavy(heavy::Arguments),
    /// Replicate a live shop to three places while `cdc` gets killed.
    Demo(demo::Arguments),
    /// Record anew what Debezium makes of the workload that the tests of the formats compare with.
    Golden,
    /// Measure against PostgreSQL's own tools and Debezium; how cost grows; what idleness costs.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Services => services::install(),
        Command::Ci => ci::run(),
        Command::Tidy => tidy::run(),
        Command::Crash(arguments) => crash::run(&arguments),
        Command::Heavy(arguments) => heavy::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Golden => golden::run(),
        Command::Bench(arguments) => bench::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
