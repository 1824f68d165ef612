//! `cdc check`: would it work? Nothing is changed.

use super::Manner;
use crate::{
    backbone::{TELL_TRUNCATES, offset_table, registry_of, scope_of, without_truncates},
    directory::Probe,
    failure::{Failure, Outcome},
    output::{say, say_json},
    registry::Registry,
    settings::{Files, Settings},
};
use cdc_core::{Finding, catalog::CapturedTable, finding::Level, naming};
use cdc_server::Server;
use serde_json::json;
use std::net::SocketAddr;

/// One part of the pipeline and what was found there.
struct Section {
    name: String,
    findings: Vec<Finding>,
}

pub(super) async fn run(files: &Files, manner: &Manner) -> Outcome {
    let settings = files.load()?;
    let mut sections =
        vec![Section { name: "this machine".to_owned(), findings: here(&settings).await }];
    let (findings, tables) = settings.source.check().await;
    sections.push(Section { name: format!("source ({})", settings.source.kind()), findings });
    sections.extend(kafka(&settings, &tables).await);
    sections.extend(sinks(&settings, &tables).await);
    let worst = sections.iter().flat_map(|s| &s.findings).map(|f| f.level).max();
    let good = worst.is_none_or(|level| level < Level::Error);
    if manner.json {
        let parts = sections.iter().map(|s| json!({ "part": s.name, "findings": s.findings }));
        say_json(&json!({ "ok": good, "parts": parts.collect::<Vec<_>>() }))?;
    } else {
        for section in &sections {
            say(shown(section))?;
        }
        say(summary(&sections))?;
    }
    if good { Ok(()) } else { Err(Failure::Told) }
}

async fn sinks(settings: &Settings, tables: &[CapturedTable]) -> Vec<Section> {
    let mut sections = Vec::new();
    for sink in &settings.sinks {
        let context = settings.sink_context(&sink.sink_id);
        let findings = sink.connector.check(&context, tables).await;
        let name = format!("sink {} ({})", sink.sink_id, sink.connector.kind());
        sections.push(Section { name, findings });
    }
    sections
}

/// The cluster and the registry beside it, where they are the log.
async fn kafka(settings: &Settings, tables: &[CapturedTable]) -> Vec<Section> {
    let Some(kafka) = settings.platform.kafka() else { return Vec::new() };
    let prefix = &settings.pipeline.head.topic_prefix;
    let mut topics: Vec<String> =
        tables.iter().map(|table| naming::topic(prefix, &table.table)).collect();
    topics.dedup();
    let scope = scope_of(settings);
    let mut findings = cdc_transport_kafka::check(&kafka.cluster, &scope, &topics).await;
    findings.extend(without_truncates(settings).into_iter().map(|sink_id| {
        Finding::warning(format!("truncates do not reach sink {sink_id}"), TELL_TRUNCATES)
    }));
    let mut sections = vec![Section { name: "Kafka".to_owned(), findings }];
    if let Some(table) = offset_table(settings, &kafka) {
        let findings = table.check().await;
        sections.push(Section { name: "storage of offsets".to_owned(), findings });
    }
    let registry = match registry_of(settings, &kafka) {
        Ok(Some(Registry::Elsewhere(client))) => registry(&client).await,
        Ok(Some(Registry::Own(_)) | None) => return sections,
        Err(failure) => vec![of_failure(&failure)],
    };
    sections.push(Section { name: "schema registry".to_owned(), findings: registry });
    sections
}

async fn registry(client: &cdc_registry::client::Client) -> Vec<Finding> {
    let (subjects, level) = match (client.subjects().await, client.level(None).await) {
        (Ok(subjects), Ok(level)) => (subjects.len(), level),
        (Err(error), _) | (_, Err(error)) => return vec![of_failure(&error.into())],
    };
    vec![Finding::ok(format!("the registry answers: {subjects} subjects, level {level}"))]
}

/// The data directory and the port.
async fn here(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = settings.directory.root().display().to_string();
    let running = match settings.directory.probe() {
        Ok(Probe::Taken(holder)) => {
            let pid = holder.map_or("another process".to_owned(), |h| format!("process {}", h.pid));
            findings.push(if settings.directory.is_shared() {
                Finding::ok(format!(
                    "the pipeline runs here already ({pid}); another one shares its work"
                ))
            } else {
                Finding::warning(
                    format!("the pipeline runs already ({pid})"),
                    "look at it with cdc status, or stop it before you start another one",
                )
            });
            true
        }
        Ok(Probe::Free) => {
            findings.push(Finding::ok(format!("the data directory {root} can be used")));
            false
        }
        Err(failure) => {
            findings.push(of_failure(&failure));
            false
        }
    };
    let rest = &settings.platform.file.rest;
    if rest.health_enabled && !running {
        let at = SocketAddr::new(rest.health_address, rest.health_port);
        findings.push(match Server::bind(at).await {
            Ok(_) => Finding::ok(format!("health and metrics can be served on {at}")),
            Err(error) => of_failure(&error.into()),
        });
    }
    findings
}

fn of_failure(failure: &Failure) -> Finding {
    match failure {
        Failure::Usage(error) | Failure::Failed(error) => {
            Finding::error(error.context.clone(), error.remedy.clone().unwrap_or_default())
        }
        Failure::Config(_)
        | Failure::Told
        | Failure::Differs
        | Failure::NotCompared
        | Failure::OutputClosed => Finding::error(failure.to_string(), "see above"),
    }
}

fn shown(section: &Section) -> String {
    let mut out = section.name.clone();
    for finding in &section.findings {
        let sign = match finding.level {
            Level::Ok => '✓',
            Level::Warning => '!',
            Level::Error => '✗',
        };
        out.push_str(&format!("\n  {sign} {}", finding.what));
        if let Some(remedy) = &finding.remedy {
            for line in remedy.lines() {
                out.push_str(&format!("\n      {line}"));
            }
        }
    }
    out
}

fn summary(sections: &[Section]) -> String {
    let count = |level| {
        sections.iter().flat_map(|section| &section.findings).filter(|f| f.level == level).count()
    };
    match (count(Level::Error), count(Level::Warning)) {
        (0, 0) => "ready to run".to_owned(),
        (0, 1) => "ready to run, with 1 warning".to_owned(),
        (0, warnings) => format!("ready to run, with {warnings} warnings"),
        (1, _) => "not ready to run: 1 error".to_owned(),
        (errors, _) => format!("not ready to run: {errors} errors"),
    }
}
