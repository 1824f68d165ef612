//! `cdc config`: schemas and the reference of the configuration files.

use crate::{
    config::{pipeline_schema, platform_schema, reference},
    failure::Outcome,
    output::say,
};
use clap::{Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the JSON Schema of a file, for an editor
    Schema {
        /// Which file
        #[arg(value_enum)]
        file: File,
    },
    /// Print docs/configuration.md
    #[command(hide = true)]
    Reference,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum File {
    /// What to capture and where to send it
    Pipeline,
    /// On what infrastructure to run
    Platform,
}

pub(super) fn run(command: Command) -> Outcome {
    let text = match command {
        Command::Schema { file } => {
            let schema = match file {
                File::Pipeline => pipeline_schema(),
                File::Platform => platform_schema(),
            };
            serde_json::to_string_pretty(&schema).unwrap_or_default()
        }
        Command::Reference => reference(),
    };
    say(text.trim_end())
}
