//! The commands.

mod check;
mod completions;
mod configuration;
mod consume;
mod dead_letters;
mod explain;
mod health;
mod offsets;
mod provision;
mod run;
mod schema;
mod snapshot;
mod status;
mod validate;
mod verify;

use crate::{
    failure::{Failure, Outcome},
    settings::{Files, PlatformArgs},
    telemetry::{self, LogFormat},
    terminal::Stderr,
};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::{io::Write as _, process::ExitCode};

/// Captures every committed change of a database and delivers it to every place that needs it.
#[derive(Debug, Parser)]
#[command(name = "cdc", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t, env = "CDC_LOG_FORMAT")]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or a list of target=level
    #[arg(long, global = true, value_name = "LEVEL", env = "RUST_LOG")]
    log_level: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration files without connecting to anything
    Validate(Files),
    /// Look at the source, every sink and this machine, and say what would not work
    Check(Files),
    /// Create what the source needs on its server (slot, publication), and the topics on Kafka
    Deploy(Files),
    /// Remove what deploy created, and the pipeline's log and state; topics on Kafka only with --topics
    Undeploy(provision::UndeployArgs),
    /// Run the pipeline until it is stopped
    Run(run::Args),
    /// Show the state of the source and every sink
    Status(Files),
    /// Read tables once more while changes flow, or see how far snapshots are
    Snapshot(snapshot::Args),
    /// Prove that replicas equal their source, while changes flow
    Verify(verify::Args),
    /// Ask a running pipeline whether it is ready
    Health(PlatformArgs),
    /// Show changes as they arrive in the log
    Consume(consume::Args),
    /// List, show, deliver again or give up changes that a sink refused
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Show and restore the offsets of sinks, in Kafka and where they are stored beside it
    #[command(subcommand)]
    Offsets(offsets::Command),
    /// Look at schemas in a registry or in files, and see which changes of them are safe
    #[command(subcommand)]
    Schema(schema::Command),
    /// Explain an error code: cause and remedy
    Explain(explain::Args),
    /// JSON Schemas of the configuration files, for editors
    #[command(subcommand)]
    Config(configuration::Command),
    /// Print completions for a shell
    Completions(completions::Args),
}

/// How a command talks.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// JSON instead of text?
    pub(crate) json: bool,
    /// Standard error.
    pub(crate) stderr: Stderr,
}

/// Does what the command line asks for. Says how the process shall exit.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be told to somebody who does not listen.
            let _told = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut manner = Manner { json: cli.json, stderr: Stderr::new() };
    // Answers are not to be mixed with log lines unless something is wrong.
    let default = if matches!(cli.command, Command::Run(_)) { "info" } else { "error" };
    telemetry::start(cli.log_format, cli.log_level.as_deref(), default, &manner.stderr);
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider is installed already");
    }
    match run(cli.command, &manner) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let text = match failure.to_json() {
                Some(json) if manner.json => format!("{json}\n"),
                Some(_) | None => failure.to_string(),
            };
            let _told = manner.stderr.write_all(text.as_bytes());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(command: Command, manner: &Manner) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        let remedy = "raise the limits of this user: ulimit -u, ulimit -n";
        Failure::file("CDC-0111", "threads cannot be started", remedy, error)
    })?;
    runtime.block_on(async {
        match command {
            Command::Validate(files) => validate::run(&files, manner),
            Command::Check(files) => Box::pin(check::run(&files, manner)).await,
            Command::Deploy(files) => Box::pin(provision::deploy(&files, manner)).await,
            Command::Undeploy(args) => Box::pin(provision::undeploy(&args, manner)).await,
            Command::Run(args) => Box::pin(run::run(&args, manner)).await,
            Command::Status(files) => Box::pin(status::run(&files, manner)).await,
            Command::Snapshot(args) => Box::pin(snapshot::run(&args, manner)).await,
            Command::Verify(args) => Box::pin(verify::run(&args, manner)).await,
            Command::Health(platform) => Box::pin(health::run(&platform, manner)).await,
            Command::Consume(args) => Box::pin(consume::run(&args, manner)).await,
            Command::DeadLetters(command) => Box::pin(dead_letters::run(command, manner)).await,
            Command::Offsets(command) => Box::pin(offsets::run(command, manner)).await,
            Command::Schema(command) => Box::pin(schema::run(command, manner)).await,
            Command::Explain(args) => explain::run(&args, manner),
            Command::Config(command) => configuration::run(command),
            Command::Completions(args) => completions::run(&args, Cli::command()),
        }
    })
}
