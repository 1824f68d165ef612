//! `cdc dead-letters`: changes that a sink refused.

use super::Manner;
use crate::{
    backbone::State,
    failure::{Failure, Outcome},
    output::{say, say_json, table},
    remote::{Reach, Remote, reach},
    settings::Files,
    when,
};
use cdc_core::dead_letter::DeadLetterStore;
use cdc_server::{LetterPage, Selection};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List them: where they are, why they were refused, never their rows
    List {
        #[command(flatten)]
        files: Files,
        /// Only those of this sink
        #[arg(long, value_name = "ID")]
        sink_id: Option<String>,
        /// Begin after this number
        #[arg(long, default_value_t = 0, value_name = "NUMBER")]
        after: u64,
        /// Show at most so many
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Show one with its change
    Show {
        #[command(flatten)]
        files: Files,
        /// Its number
        number: u64,
    },
    /// Deliver them again; the running pipeline does it, or the next one to run
    Retry(Selected),
    /// Give them up for good
    Discard(Selected),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["numbers", "all"]))]
pub(super) struct Selected {
    #[command(flatten)]
    files: Files,
    /// Their numbers
    #[arg(conflicts_with = "all")]
    numbers: Vec<u64>,
    /// All of them
    #[arg(long)]
    all: bool,
    /// With --all: only those of this sink
    #[arg(long, value_name = "ID", requires = "all")]
    sink_id: Option<String>,
}

pub(super) async fn run(command: Command, manner: &Manner) -> Outcome {
    match command {
        Command::List { files, sink_id, after, limit } => {
            let page = Letters::of(&files).await?.list(sink_id.as_deref(), after, limit).await?;
            if manner.json { say_json(&page) } else { say(shown(&page)) }
        }
        Command::Show { files, number } => {
            let letter = Letters::of(&files).await?.show(number).await?;
            let text = serde_json::to_string_pretty(&letter).unwrap_or_default();
            if manner.json { say_json(&letter) } else { say(text) }
        }
        Command::Retry(selected) => {
            let count = selected.letters().await?.retry(&selected.selection()).await?;
            tell(manner, "retry_requested", count, "to be delivered again")
        }
        Command::Discard(selected) => {
            let count = selected.letters().await?.discard(&selected.selection()).await?;
            tell(manner, "discarded", count, "discarded")
        }
    }
}

impl Selected {
    async fn letters(&self) -> Outcome<Letters> {
        Letters::of(&self.files).await
    }

    fn selection(&self) -> Selection {
        Selection { ids: self.numbers.clone(), all: self.all, sink_id: self.sink_id.clone() }
    }
}

fn tell(manner: &Manner, key: &str, count: u64, done: &str) -> Outcome {
    if manner.json {
        return say_json(&json!({ key: count }));
    }
    let letters = if count == 1 { "dead letter" } else { "dead letters" };
    say(format!("{count} {letters} {done}"))
}

/// The dead letters of a pipeline, wherever they can be had.
enum Letters {
    Running(Remote, String),
    Stopped(
        Arc<dyn DeadLetterStore>,
        #[expect(dead_code, reason = "held, not used")] Option<crate::directory::Lock>,
    ),
}

impl Letters {
    async fn of(files: &Files) -> Outcome<Self> {
        let settings = files.load()?;
        let id = &settings.pipeline.head.pipeline_id;
        Ok(match reach(&settings.directory)? {
            Reach::Running(_, remote) => {
                Self::Running(remote, format!("/api/v1/pipelines/{id}/dead-letters"))
            }
            Reach::Stopped(lock) => Self::Stopped(State::open(&settings).await?.dead_letters, lock),
        })
    }

    async fn list(&self, sink_id: Option<&str>, after: u64, limit: usize) -> Outcome<LetterPage> {
        match self {
            Self::Running(remote, path) => {
                // A sink's id needs no escaping in a URL: the configuration sees to that.
                let filter = sink_id.map(|id| format!("&sink_id={id}")).unwrap_or_default();
                let page =
                    remote.get(&format!("{path}?after={after}&limit={limit}{filter}")).await?;
                serde_json::from_value(page).map_err(|_| not_understood())
            }
            Self::Stopped(store, _) => Ok(cdc_server::list(&**store, sink_id, after, limit).await?),
        }
    }

    async fn show(&self, number: u64) -> Outcome<Value> {
        match self {
            Self::Running(remote, path) => remote.get(&format!("{path}/{number}")).await,
            Self::Stopped(store, _) => Ok(cdc_server::show(&**store, number).await?),
        }
    }

    async fn retry(&self, selection: &Selection) -> Outcome<u64> {
        match self {
            Self::Running(remote, path) => {
                let body = serde_json::to_value(selection).ok();
                let path = format!("{path}/retry");
                let answer = remote.call(Method::POST, &path, body.as_ref()).await?;
                counted(&answer, "retry_requested")
            }
            Self::Stopped(store, _) => Ok(cdc_server::retry(&**store, selection).await? as u64),
        }
    }

    async fn discard(&self, selection: &Selection) -> Outcome<u64> {
        match self {
            Self::Running(remote, path) => {
                let body = serde_json::to_value(selection).ok();
                let answer = remote.call(Method::DELETE, path, body.as_ref()).await?;
                counted(&answer, "discarded")
            }
            Self::Stopped(store, _) => Ok(cdc_server::discard(&**store, selection).await? as u64),
        }
    }
}

fn counted(answer: &Value, key: &str) -> Outcome<u64> {
    answer.get(key).and_then(Value::as_u64).ok_or_else(not_understood)
}

fn not_understood() -> Failure {
    let remedy = "run the same version of cdc as the pipeline";
    Failure::new("CDC-0123", "the running pipeline gave an answer that is not understood", remedy)
}

fn shown(page: &LetterPage) -> String {
    if page.dead_letters.is_empty() {
        return "no dead letters".to_owned();
    }
    let header = ["NO", "SINK", "TABLE", "POSITION", "SINCE (UTC)", "RETRIES", "ERROR"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for letter in &page.dead_letters {
        let info = &letter.info;
        let reason = match (info.error_code.as_str(), info.error.as_str()) {
            ("", _) => "held back: an earlier change of the table is a dead letter".to_owned(),
            (code, error) if error.starts_with(code) => error.to_owned(),
            (code, error) => format!("{code}: {error}"),
        };
        let again = if info.retry_requested { "(to be delivered again) " } else { "" };
        rows.push(vec![
            letter.id.to_string(),
            info.sink_id.clone(),
            info.table.clone(),
            info.position.to_string(),
            when::utc(info.parked_at_ms),
            info.retries.to_string(),
            format!("{again}{}", reason.replace('\n', " ")),
        ]);
    }
    let mut text = table(&rows);
    if let Some(next) = page.next {
        text.push_str(&format!("\nthere are more: --after {next}"));
    }
    text
}
