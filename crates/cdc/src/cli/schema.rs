//! `cdc schema`: schemas in a registry or in files, and which changes of them are safe.

mod compared;
mod operand;

use super::Manner;
use crate::{
    failure::Outcome,
    output::{say, say_json, table},
};
use cdc_registry::{SchemaType, client::Found};
use operand::Source;
use serde_json::{Value, json};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the subjects of a registry with their latest versions
    List(Source),
    /// Print a schema
    Show {
        /// A subject, SUBJECT@VERSION, or a file
        schema: String,
        #[command(flatten)]
        source: Source,
    },
    /// Show what is different in two schemas
    Diff(compared::Args),
    /// Say whether a schema may follow another one, and where it may not
    Check(compared::CheckArgs),
    /// Say how to get from one schema to another: which steps are safe, and who is upgraded first
    Plan(compared::Args),
}

pub(super) async fn run(command: Command, manner: &Manner) -> Outcome {
    match command {
        Command::List(source) => list(&source, manner).await,
        Command::Show { schema, source } => show(&schema, &source, manner).await,
        Command::Diff(args) => compared::diff(&args, manner).await,
        Command::Check(args) => compared::check(&args, manner).await,
        Command::Plan(args) => compared::plan(&args, manner).await,
    }
}

async fn list(source: &Source, manner: &Manner) -> Outcome {
    let client = source.client()?;
    let mut found: Vec<(Found, String)> = Vec::new();
    for subject in client.subjects().await? {
        let latest = client.version(&subject, "latest").await?;
        let level = client.level(Some(&subject)).await?;
        found.push((latest, level.name().to_owned()));
    }
    if manner.json {
        let subjects = found.iter().map(|(found, level)| {
            json!({
                "subject": found.subject, "version": found.version, "id": found.id,
                "type": found.named.schema_type.name(), "compatibility": level,
            })
        });
        return say_json(&json!({ "subjects": subjects.collect::<Vec<_>>() }));
    }
    let head = ["SUBJECT", "VERSION", "ID", "TYPE", "LEVEL"].map(str::to_owned).to_vec();
    let rows = found.into_iter().map(|(found, level)| {
        let kind = found.named.schema_type.name().to_owned();
        vec![found.subject, found.version.to_string(), found.id.to_string(), kind, level]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    say(table(&rows))
}

async fn show(schema: &str, source: &Source, manner: &Manner) -> Outcome {
    let loaded = source.load(schema).await?;
    if manner.json {
        return say_json(&json!({
            "name": loaded.name, "type": loaded.schema.schema_type().name(),
            "schema": loaded.schema.canonical(),
        }));
    }
    let text = loaded.schema.canonical();
    match loaded.schema.schema_type() {
        SchemaType::Protobuf => say(text.trim_end()),
        SchemaType::Avro | SchemaType::Json => {
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            say(serde_json::to_string_pretty(&value).unwrap_or(text))
        }
    }
}
