//! `cdc deploy` and `cdc undeploy`: what the source needs on its server.

use super::Manner;
use crate::{
    failure::Outcome,
    output::{say, say_json},
    settings::Files,
    when,
};
use serde_json::json;

pub(super) async fn deploy(files: &Files, manner: &Manner) -> Outcome {
    let settings = files.load()?;
    let done = settings.source.provision().await?;
    tell(manner, done, "everything was there already")
}

pub(super) async fn undeploy(files: &Files, manner: &Manner) -> Outcome {
    let settings = files.load()?;
    let existed = settings.directory.root().exists();
    // Held to the end, so that nobody starts the pipeline on what is being removed.
    let lock = settings.directory.lock(when::now_ms())?;
    let mut done = settings.source.retire().await?;
    let root = settings.directory.root().display().to_string();
    settings.directory.remove(lock)?;
    if existed {
        done.push(format!("deleted {root}: the log, the checkpoints and the dead letters"));
    }
    tell(manner, done, "there was nothing to remove")
}

fn tell(manner: &Manner, done: Vec<String>, nothing: &str) -> Outcome {
    if manner.json {
        return say_json(&json!({ "done": done }));
    }
    if done.is_empty() {
        return say(nothing);
    }
    say(done.join("\n"))
}
