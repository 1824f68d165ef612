//! `cdc validate`: are the files right?

use super::Manner;
use crate::{
    failure::Outcome,
    output::{say, say_json},
    settings::Files,
};
use serde_json::json;

pub(super) fn run(files: &Files, manner: &Manner) -> Outcome {
    let settings = files.load()?;
    let pipeline = &settings.pipeline;
    let sinks = pipeline.sinks.iter().map(|sink| &sink.head);
    if manner.json {
        let sinks = sinks.map(|sink| {
            json!({ "sink_id": sink.sink_id, "sink_type": sink.sink_type.name(), "enabled": sink.enabled })
        });
        return say_json(&json!({
            "valid": true,
            "pipeline_id": pipeline.head.pipeline_id,
            "source_type": pipeline.source.kind(),
            "sinks": sinks.collect::<Vec<_>>(),
            "notices": settings.platform.notices,
        }));
    }
    let names: Vec<String> = sinks
        .map(|sink| {
            let off = if sink.enabled { "" } else { ", disabled" };
            format!("{} ({}{off})", sink.sink_id, sink.sink_type.name())
        })
        .collect();
    say(format!(
        "{} is valid: pipeline {}, source {}, sinks {}",
        files.pipeline.display(),
        pipeline.head.pipeline_id,
        pipeline.source.kind(),
        names.join(", ")
    ))?;
    for notice in &settings.platform.notices {
        say(format!("note: {notice}"))?;
    }
    Ok(())
}
