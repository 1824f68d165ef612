//! `cdc snapshot`: read tables once more, beside the stream.

use super::Manner;
use crate::{
    backbone::State,
    failure::Outcome,
    output::{grouped, say, say_json, table},
    remote::{Reach, reach},
    settings::{Files, Settings},
};
use cdc_core::snapshot::SnapshotOrder;
use reqwest::Method;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["table", "pause", "resume", "cancel"]))]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// Read this table once more: schema.table, where * and ? match parts of a name
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// With --table: only rows that meet this condition, in the source's SQL
    #[arg(long = "where", value_name = "CONDITION", requires = "table")]
    condition: Option<String>,
    /// Read no rows until --resume, the first snapshot's neither; changes flow meanwhile
    #[arg(long)]
    pause: bool,
    /// Go on after --pause
    #[arg(long)]
    resume: bool,
    /// Give up the snapshots that were ordered; rows that were delivered stay
    #[arg(long)]
    cancel: bool,
}

impl Args {
    /// What is ordered; `None` when only the progress is asked for.
    fn order(&self) -> Option<SnapshotOrder> {
        let condition = self.condition.clone();
        match self {
            Self { pause: true, .. } => Some(SnapshotOrder::Pause),
            Self { resume: true, .. } => Some(SnapshotOrder::Resume),
            Self { cancel: true, .. } => Some(SnapshotOrder::Cancel),
            Self { table, .. } if table.is_empty() => None,
            Self { table, .. } => Some(SnapshotOrder::Begin { tables: table.clone(), condition }),
        }
    }
}

pub(super) async fn run(args: &Args, manner: &Manner) -> Outcome {
    let settings = args.files.load()?;
    let Some(order) = args.order() else { return progress(&settings, manner).await };
    let (tables, runs) = give(&settings, &order).await?;
    if manner.json {
        return say_json(&json!({ "tables": tables, "running": runs }));
    }
    say(told(&order, &tables, runs))
}

/// Gives an order to the source, through the process that runs the pipeline where one does, and returns
/// the tables that it is about and whether one does.
pub(super) async fn give(
    settings: &Settings,
    order: &SnapshotOrder,
) -> Outcome<(Vec<String>, bool)> {
    match reach(&settings.directory)? {
        Reach::Running(_, remote) => {
            let body = serde_json::to_value(order).ok();
            let answer = remote.call(Method::POST, &path(settings), body.as_ref()).await?;
            Ok((names(&answer), true))
        }
        Reach::Stopped(_lock) => {
            let state = State::open(settings).await?;
            let checkpoints = &*state.checkpoints;
            let tables = cdc_engine::order_snapshot(&*settings.source, checkpoints, order).await?;
            Ok((tables.iter().map(ToString::to_string).collect(), false))
        }
    }
}

fn path(settings: &Settings) -> String {
    format!("/api/v1/pipelines/{}/snapshots", settings.id())
}

fn names(answer: &Value) -> Vec<String> {
    let tables = answer.pointer("/tables").and_then(Value::as_array);
    tables.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn told(order: &SnapshotOrder, tables: &[String], runs: bool) -> String {
    let done = match order {
        SnapshotOrder::Begin { .. } | SnapshotOrder::Rows { .. } | SnapshotOrder::Compared => {
            format!("to be read once more: {}", tables.join(", "))
        }
        SnapshotOrder::Pause => "snapshots rest until cdc snapshot --resume".to_owned(),
        SnapshotOrder::Resume => "snapshots go on".to_owned(),
        SnapshotOrder::Cancel => "the snapshots that were ordered are given up".to_owned(),
    };
    match runs {
        true => format!("{done}\nwatch it with cdc snapshot and the same pipeline file"),
        false => format!("{done}\nthe pipeline does not run: it does so when it is started"),
    }
}

async fn progress(settings: &Settings, manner: &Manner) -> Outcome {
    match reach(&settings.directory)? {
        Reach::Running(_, remote) => {
            let progress = remote.get(&path(settings)).await?;
            if manner.json { say_json(&progress) } else { say(shown(&progress)) }
        }
        Reach::Stopped(_lock) if manner.json => say_json(&json!({ "running": false })),
        Reach::Stopped(_lock) => say("the pipeline does not run"),
    }
}

fn shown(progress: &Value) -> String {
    let tables = progress.pointer("/tables").and_then(Value::as_array);
    let mut rows = vec![["TABLE", "ROWS", "OF ABOUT", "STATE"].map(str::to_owned).to_vec()];
    let detail = |key: &str| progress.pointer(&format!("/details/{key}")).and_then(Value::as_str);
    let paused = detail("snapshot").is_some();
    for one in tables.into_iter().flatten() {
        let part = |key: &str| one.pointer(key).and_then(Value::as_str).unwrap_or_default();
        let count = |key: &str| one.pointer(key).and_then(Value::as_u64);
        let done = one.pointer("/done").and_then(Value::as_bool).unwrap_or(false);
        let state = match (done, paused) {
            (true, _) => "complete",
            (false, true) => "paused",
            (false, false) => "reading",
        };
        rows.push(vec![
            format!("{}.{}", part("/table/namespace"), part("/table/name")),
            grouped(count("/rows").unwrap_or(0)),
            count("/rows_estimated").map_or_else(|| "unknown".to_owned(), grouped),
            state.to_owned(),
        ]);
    }
    if rows.len() == 1 {
        return "no snapshot is under way".to_owned();
    }
    let mut text = table(&rows);
    if let Some(trouble) = detail("not_copied") {
        text.push_str(&format!("\n! {trouble}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_well() {
        let table = |name: &str, done: bool, estimated: Option<u64>| json!({ "table": { "namespace": "public", "name": name }, "rows": 1200, "rows_estimated": estimated, "done": done });
        let tables = json!([table("carts", true, Some(1200)), table("orders", false, None)]);
        assert_eq!(
            shown(&json!({ "tables": tables, "details": {} })),
            "TABLE          ROWS   OF ABOUT  STATE\n\
             public.carts   1,200  1,200     complete\n\
             public.orders  1,200  unknown   reading"
        );
        let details = json!({ "snapshot": "paused", "not_copied": "public.orders is locked" });
        let text = shown(&json!({ "tables": tables, "details": details }));
        assert!(text.contains("paused") && text.ends_with("! public.orders is locked"), "{text}");
        assert_eq!(shown(&json!({ "tables": [], "details": {} })), "no snapshot is under way");
    }
}
