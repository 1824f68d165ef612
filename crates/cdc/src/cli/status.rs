//! `cdc status`: the state of the source and every sink.

use super::Manner;
use crate::{
    backbone::{State, open_kafka},
    config::show_bytes,
    failure::Outcome,
    lag,
    output::{duration, grouped, say, say_json, table},
    remote::{Reach, reach},
    settings::{Files, Settings},
    when,
};
use cdc_server::PartitionLag;
use serde_json::{Value, json};

pub(super) async fn run(files: &Files, manner: &Manner) -> Outcome {
    let settings = files.load()?;
    let id = &settings.pipeline.head.pipeline_id;
    match reach(&settings.directory)? {
        Reach::Running(holder, remote) => {
            let mut status = remote.get(&format!("/api/v1/pipelines/{id}")).await?;
            if let Some(status) = status.as_object_mut() {
                status.insert("running".to_owned(), true.into());
                status.insert("pid".to_owned(), holder.pid.into());
            }
            if manner.json { say_json(&status) } else { say(running(&status)) }
        }
        Reach::Stopped(_lock) => {
            let status = stopped_status(&settings).await?;
            if manner.json { say_json(&status) } else { say(stopped(&status)) }
        }
    }
}

/// What the state tells about a pipeline that does not run.
async fn stopped_status(settings: &Settings) -> Outcome<Value> {
    let state = State::open(settings).await?;
    let captured = state.checkpoints.load_capture().await?;
    let mut sinks = Vec::new();
    for sink in &settings.pipeline.sinks {
        let id = &sink.head.sink_id;
        let checkpoint = state.checkpoints.load(&format!("sink/{id}")).await?;
        let position = checkpoint.partitions.values().map(|place| place.position).max();
        sinks.push(json!({
            "sink_id": id,
            "sink_type": sink.head.sink_type.name(),
            "status": "stopped",
            "position": position.map(|position| position.to_string()),
            "dead_letters": state.dead_letters.count(Some(id)).await?,
        }));
    }
    Ok(json!({
        "pipeline_id": settings.pipeline.head.pipeline_id,
        "running": false,
        "source": {
            "state": "stopped",
            "position": captured.map(|progress| progress.position.to_string()),
        },
        "sinks": sinks,
        "consumer_lag": consumer_lag(settings).await?,
    }))
}

/// How far every sink is behind in every partition, where somebody else keeps the log.
async fn consumer_lag(settings: &Settings) -> Outcome<Vec<PartitionLag>> {
    let Some(kafka) = settings.platform.kafka() else { return Ok(Vec::new()) };
    let cluster = open_kafka(settings, &kafka).await?;
    Ok(lag::of_kafka(&cluster, settings).await?)
}

fn stopped(status: &Value) -> String {
    let mut rows =
        vec![["SINK", "TYPE", "DEAD LETTERS", "COMMITTED UP TO"].map(str::to_owned).to_vec()];
    for sink in list(status, "/sinks") {
        rows.push(vec![
            text(sink, "/sink_id"),
            text(sink, "/sink_type"),
            grouped(number(sink, "/dead_letters")),
            sink.pointer("/position")
                .and_then(Value::as_str)
                .unwrap_or("kept by the sink")
                .to_owned(),
        ]);
    }
    let position = status.pointer("/source/position").and_then(Value::as_str);
    let captured = match position {
        Some(position) => format!("captured up to {position}"),
        None => "nothing captured yet".to_owned(),
    };
    let here = if list(status, "/consumer_lag").is_empty() { "" } else { " on this machine" };
    let mut out = format!(
        "pipeline {} does not run{here}; {captured}\n\n{}",
        text(status, "/pipeline_id"),
        table(&rows)
    );
    out.push_str(&partitions(status));
    out
}

/// A table of partitions; empty for a log of one, whose lag the sinks tell.
fn partitions(status: &Value) -> String {
    let pipeline = text(status, "/pipeline_id");
    let mut rows =
        vec![["SINK", "TOPIC", "PARTITION", "NEXT OFFSET", "LAG"].map(str::to_owned).to_vec()];
    for lag in list(status, "/consumer_lag") {
        if text(lag, "/topic") == pipeline {
            return String::new();
        }
        rows.push(vec![
            text(lag, "/sink_id"),
            text(lag, "/topic"),
            number(lag, "/partition").to_string(),
            number(lag, "/offset").to_string(),
            grouped(number(lag, "/lag")),
        ]);
    }
    if rows.len() == 1 { String::new() } else { format!("\n\n{}", table(&rows)) }
}

fn running(status: &Value) -> String {
    let age = when::now_ms().saturating_sub(number(status, "/started_at_ms"));
    let ready = status.pointer("/ready").and_then(Value::as_bool).unwrap_or(false);
    let mut out = format!(
        "pipeline {} is {} (process {}, running for {}, epoch {})\n",
        text(status, "/pipeline_id"),
        if ready { "ready" } else { "not ready" },
        number(status, "/pid"),
        duration(age),
        number(status, "/epoch"),
    );
    out.push_str(&source(status));
    if let Some(paused) = status.pointer("/capture_paused").and_then(Value::as_str) {
        out.push_str(&format!("         ! paused: {paused}\n"));
    }
    out.push_str(&format!("log      {} records", grouped(number(status, "/transport/end_offset"))));
    match status.pointer("/transport/paused").and_then(Value::as_str) {
        Some(paused) => out.push_str(&format!(", paused: {paused}\n\n")),
        None => out.push_str("\n\n"),
    }
    out.push_str(&sinks(status));
    out.push_str(&partitions(status));
    out
}

fn source(status: &Value) -> String {
    let mut facts = vec![text(status, "/source/state")];
    if !status.pointer("/source/connected").and_then(Value::as_bool).unwrap_or(false) {
        facts.push("not connected".to_owned());
    }
    let position = text(status, "/source/position_text");
    if !position.is_empty() {
        facts.push(format!("at {position}"));
    }
    let mut bytes = |pointer: &str, words: &str| {
        if let Some(bytes) = status.pointer(pointer).and_then(Value::as_u64) {
            facts.push(format!("{} {words}", show_bytes(bytes)));
        }
    };
    bytes("/source/lag_bytes", "behind");
    bytes("/source/retained_bytes", "kept by the slot");
    bytes("/source/slot/safe_wal_bytes", "more until it may be lost");
    if let Some(lag) = status.pointer("/source/lag_ms").and_then(Value::as_u64) {
        facts.push(format!("{} from commit to arrival", duration(lag)));
    }
    let mut out = format!("source   {}\n", facts.join(", "));
    out.push_str(&snapshot(status));
    let details = status.pointer("/source/details").and_then(Value::as_object);
    let details: Vec<String> = details
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{} {}", key.replace('_', " "), value.as_str().unwrap_or("")))
        .collect();
    if !details.is_empty() {
        out.push_str(&format!("         {}\n", details.join(", ")));
    }
    if let Some(warning) = status.pointer("/source/warning").and_then(Value::as_str) {
        out.push_str(&format!("         ! {warning}\n"));
    }
    if status.pointer("/source/comparison_due").and_then(Value::as_bool) == Some(true) {
        out.push_str("         ! replicas are being compared: rows were read once more, and some may be gone\n");
    }
    if let Some(problem) = status.pointer("/source_error").filter(|p| !p.is_null()) {
        out.push_str(&problem_lines(problem, "         "));
    }
    out
}

fn snapshot(status: &Value) -> String {
    let tables = list(status, "/source/snapshot");
    let done = |table: &&Value| table.pointer("/done").and_then(Value::as_bool).unwrap_or(false);
    let open: Vec<&Value> = tables.iter().filter(|table| !done(table)).collect();
    if open.is_empty() {
        return String::new();
    }
    let rows: u64 = tables.iter().map(|table| number(table, "/rows")).sum();
    let finished = tables.len() - open.len();
    format!("         snapshot: {finished} of {} tables, {} rows\n", tables.len(), grouped(rows))
}

fn sinks(status: &Value) -> String {
    let header = ["SINK", "TYPE", "STATE", "LAG", "BEHIND", "DELIVERED", "DEAD LETTERS"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    let mut notes = String::new();
    for sink in list(status, "/sinks") {
        let id = text(sink, "/sink_id");
        rows.push(vec![
            id.clone(),
            text(sink, "/sink_type"),
            text(sink, "/status"),
            grouped(number(sink, "/lag_records")),
            duration(number(sink, "/lag_ms")),
            grouped(number(sink, "/delivered")),
            grouped(number(sink, "/dead_letters")),
        ]);
        let parked: Vec<&str> =
            list(sink, "/parked_tables").iter().filter_map(Value::as_str).collect();
        let problem = sink.pointer("/error").filter(|problem| !problem.is_null());
        if problem.is_some() || !parked.is_empty() {
            notes.push_str(&format!("\nsink {id}\n"));
        }
        if let Some(problem) = problem {
            notes.push_str(&problem_lines(problem, "  "));
        }
        if !parked.is_empty() {
            notes.push_str(&format!("  parked tables: {}\n", parked.join(", ")));
        }
    }
    format!("{}\n{notes}", table(&rows)).trim_end().to_owned()
}

fn problem_lines(problem: &Value, indent: &str) -> String {
    let mut out = format!("{indent}{}: {}\n", text(problem, "/code"), text(problem, "/message"));
    if let Some(remedy) = problem.pointer("/remedy").and_then(Value::as_str) {
        out.push_str(&format!("{indent}help: {remedy}\n"));
    }
    out
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_pipeline_reads_well() {
        let status = json!({
            "pipeline_id": "shop", "pid": 7, "epoch": 2, "started_at_ms": when::now_ms(), "ready": false,
            "source": {
                "state": "running", "connected": true, "position_text": "0/16B3748",
                "lag_bytes": 0, "lag_ms": 12, "retained_bytes": 16_777_216, "snapshot": [],
                "details": {"slot_name": "cdc_slot"}, "warning": "the slot is unreserved",
            },
            "source_error": null,
            "transport": {"end_offset": 12345, "paused": null},
            "sinks": [
                {"sink_id": "copy", "sink_type": "postgres", "status": "running", "lag_records": 0,
                 "lag_ms": 0, "delivered": 93, "dead_letters": 0, "parked_tables": [], "error": null},
                {"sink_id": "hook", "sink_type": "webhook", "status": "retrying", "lag_records": 1200,
                 "lag_ms": 61000, "delivered": 10, "dead_letters": 1, "parked_tables": ["public.t"],
                 "error": {"code": "CDC-3101", "message": "no answer", "remedy": "start it"}},
            ],
        });
        let text = running(&status);
        let (head, rest) = text.split_once('\n').expect("lines");
        assert!(head.starts_with("pipeline shop is not ready (process 7, running for"), "{head}");
        assert_eq!(
            rest,
            "source   running, at 0/16B3748, 0 B behind, 16 MiB kept by the slot, 12 ms from commit to arrival
         slot name cdc_slot
         ! the slot is unreserved
log      12,345 records

SINK  TYPE      STATE     LAG    BEHIND     DELIVERED  DEAD LETTERS
copy  postgres  running   0      0 ms       93         0
hook  webhook   retrying  1,200  1 min 1 s  10         1

sink hook
  CDC-3101: no answer
  help: start it
  parked tables: public.t"
        );
    }
}
