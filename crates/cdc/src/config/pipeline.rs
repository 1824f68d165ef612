//! `pipeline.yaml`: what to capture and where to send it.

use super::{
    decode::decode,
    diagnostic::{ConfigError, Diagnostic, Span},
    findings::{Findings, Place},
    interpolate::Environment,
    platform::{self, RetryOverride},
    yaml::{self, Entry, Kind, Node},
};
use crate::catalog::{self, SinkConfig, SourceConfig};
use cdc_engine::OnRejected;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// A pipeline file, checked.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The keys at the top.
    pub head: PipelineHead,
    /// Where changes come from.
    pub source: SourceConfig,
    /// Where the source's keys stand in the file.
    pub source_keys: Keys,
    /// Where changes go.
    pub sinks: Vec<SinkEntry>,
}

/// Where the keys of one block stand, for what only its connector can tell is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The block's own key.
    pub block: Span,
    /// The keys in it.
    pub keys: BTreeMap<String, Span>,
}

impl Keys {
    pub(super) fn of(entry: &Entry) -> Self {
        let keys = entry.value.entries().iter().map(|e| (e.key.clone(), e.key_span)).collect();
        Self { block: entry.key_span, keys }
    }

    /// Does the file give this key?
    #[must_use]
    pub fn gives(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// What a connector says about its settings, at the key that its words name.
    #[must_use]
    pub fn refusal(&self, error: &cdc_core::Error) -> Diagnostic {
        let named = self.keys.iter().filter(|(key, _)| error.context.contains(key.as_str()));
        let at = named.max_by_key(|(key, _)| key.len()).map_or(self.block, |(_, span)| *span);
        let mut problem = Diagnostic::new(error.code, error.context.clone()).at(at);
        problem.remedy.clone_from(&error.remedy);
        problem
    }
}

/// What to capture and where to send it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PipelineHead {
    /// Name of the pipeline: of its folder in the data directory and of its identity in every sink.
    /// Letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"))]
    pub pipeline_id: String,
    /// First part of every topic name.
    #[serde(default = "default_topic_prefix")]
    #[schemars(regex(pattern = r"^[a-zA-Z][a-zA-Z0-9._-]*$"))]
    pub topic_prefix: String,
}

fn default_topic_prefix() -> String {
    "cdc".to_owned()
}

/// The database to capture.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SourceHead {
    /// Which kind of database it is. This version has `postgres`.
    pub source_type: SourceType,
}

/// Kinds of databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceType {
    /// PostgreSQL 14 and newer.
    #[default]
    Postgres,
}

/// One place that changes go to. The settings of its type stand in a block named after the type.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkHead {
    /// Name of the sink, once in a pipeline: of its checkpoint and of its identity in metrics.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"))]
    pub sink_id: String,
    /// Which kind of sink it is; a block of the same name holds its settings.
    pub sink_type: SinkType,
    /// Deliver to it? A disabled sink keeps its checkpoint.
    #[serde(default = "default_enabled")]
    pub enabled: bool,
    /// Its own retry settings; what is left out comes from the platform file.
    #[serde(default)]
    pub retry: RetryOverride,
    /// What happens to a change that the sink refuses for good: `park` keeps it as a dead letter and
    /// goes on, `skip` drops it with a warning and goes on, `stop` stops the sink until an operator
    /// acts. Without this key it is `park`, or `stop` where `dlq.enabled` is false.
    #[serde(default)]
    pub on_error: Option<OnError>,
}

fn default_enabled() -> bool {
    true
}

/// Kinds of sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkType {
    /// An HTTP endpoint.
    Webhook,
    /// A PostgreSQL database.
    Postgres,
    /// A file of JSON lines, or standard output.
    File,
}

impl SinkType {
    /// The word in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Postgres => "postgres",
            Self::File => "file",
        }
    }
}

/// What happens to a change that a sink refuses for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It becomes a dead letter and the rest goes on.
    Park,
    /// It is dropped with a warning and the rest goes on.
    Skip,
    /// The sink stops until an operator acts.
    Stop,
}

impl From<OnError> for OnRejected {
    fn from(on_error: OnError) -> Self {
        match on_error {
            OnError::Park => Self::Park,
            OnError::Skip => Self::Skip,
            OnError::Stop => Self::Stop,
        }
    }
}

/// One sink of the file.
#[derive(Clone, Debug)]
pub struct SinkEntry {
    /// Its keys that every sink has.
    pub head: SinkHead,
    /// The settings of its type.
    pub config: SinkConfig,
    /// Where these settings stand in the file.
    pub keys: Keys,
}

/// Reads a pipeline file. Never panics, whatever the text.
pub fn parse_pipeline(text: &str, env: &Environment<'_>) -> Result<Pipeline, ConfigError> {
    let mut problems = Vec::new();
    let root = match yaml::parse(text, env, &mut problems) {
        Ok(root) => root,
        Err(problem) => {
            problems.push(problem);
            return Err(ConfigError::new("pipeline.yaml", text, problems));
        }
    };
    let findings = Findings::default();
    let pipeline = pipeline(&root, &findings);
    problems.extend(findings.into_problems());
    match pipeline {
        Some(pipeline) if problems.is_empty() => Ok(pipeline),
        _ => Err(ConfigError::new("pipeline.yaml", text, problems)),
    }
}

fn pipeline(root: &Node, findings: &Findings) -> Option<Pipeline> {
    let place = Place::default();
    for entry in root.entries().iter().filter(|e| platform::KEYS.contains(&e.key.as_str())) {
        let message = format!("`{}` belongs into the platform file", entry.key);
        findings.add(Diagnostic::new("CDC-0107", message).at(entry.key_span).with_remedy(
            "move it into platform.yaml and give that with --platform-config platform.yaml",
        ));
    }
    let handled: Vec<&str> = platform::KEYS.into_iter().chain(["source", "sinks"]).collect();
    let head: Option<PipelineHead> = decode(root, &place, &handled, findings);
    if let Some(head) = &head {
        check_head(head, root, findings);
    }
    let source = source(root, findings);
    let sinks = sinks(root, findings);
    let source_keys = root.get("source").map(Keys::of).unwrap_or_default();
    Some(Pipeline { head: head?, source: source?, source_keys, sinks: sinks? })
}

fn check_head(head: &PipelineHead, root: &Node, findings: &Findings) {
    let at = |key| root.get(key).map(|entry| entry.value.span);
    if !is_identifier(&head.pipeline_id) {
        findings.add(bad_identifier("pipeline_id", at("pipeline_id")));
    }
    let prefix = &head.topic_prefix;
    if !prefix.starts_with(|c: char| c.is_ascii_alphabetic()) || !is_identifier(prefix) {
        let mut problem = Diagnostic::new(
            "CDC-0104",
            "`topic_prefix` must begin with a letter and hold only letters, digits, `.`, `_` and `-`",
        );
        problem.span = at("topic_prefix");
        findings.add(problem.with_remedy("for example: topic_prefix: shop"));
    }
}

fn is_identifier(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn bad_identifier(path: &str, span: Option<Span>) -> Diagnostic {
    let message = format!(
        "`{path}` must begin with a letter or digit and hold at most 128 letters, digits, `.`, `_` and `-`"
    );
    let mut problem = Diagnostic::new("CDC-0104", message);
    problem.span = span;
    problem.with_remedy("for example: shop-orders")
}

fn missing(key: &str, path: &str, span: Option<Span>) -> Diagnostic {
    let place = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
    let mut problem = Diagnostic::new("CDC-0105", format!("the key `{key}` is missing{place}"));
    problem.span = span;
    problem
}

fn source(root: &Node, findings: &Findings) -> Option<SourceConfig> {
    let Some(entry) = root.get("source") else {
        findings.add(missing("source", "", None).with_remedy(
            "say what to capture: source: { host: localhost, database: shop, tables: [public.orders] }",
        ));
        return None;
    };
    let place = Place::default().child(entry);
    let kind = match entry.value.get("source_type") {
        Some(kind) => kind_of(kind, &place, &catalog::SOURCES, findings)?,
        None => "postgres",
    };
    catalog::decode_source(kind, &entry.value, &place, findings)
}

/// Reads the value of `source_type` or `sink_type`, and says what this version has.
fn kind_of(
    entry: &Entry,
    place: &Place,
    kinds: &catalog::Kinds,
    findings: &Findings,
) -> Option<&'static str> {
    let name: String = decode(&entry.value, &place.child(entry), &[], findings)?;
    if let Some(kind) = kinds.available.iter().find(|kind| **kind == name) {
        return Some(kind);
    }
    let planned = kinds.planned.contains(&name.as_str());
    let problem = if planned {
        catalog::not_in_this_version(&entry.key, &name, kinds.available)
    } else {
        catalog::unknown_kind(&entry.key, &name, kinds.available)
    };
    findings.add(problem.at(entry.value.span));
    None
}

fn sinks(root: &Node, findings: &Findings) -> Option<Vec<SinkEntry>> {
    const REMEDY: &str =
        "say where changes go: sinks: [{sink_id: out, sink_type: file, file: {path: out.jsonl}}]";
    let Some(entry) = root.get("sinks") else {
        findings.add(missing("sinks", "", None).with_remedy(REMEDY));
        return None;
    };
    let items = match &entry.value.kind {
        Kind::Sequence(items) if !items.is_empty() => items,
        Kind::Sequence(_) | Kind::Scalar(_) | Kind::Mapping(_) => {
            let problem =
                Diagnostic::new("CDC-0104", "`sinks` must be a list of at least one sink");
            findings.add(problem.at(entry.key_span).with_remedy(REMEDY));
            return None;
        }
    };
    let place = Place::default().child(entry);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut sinks = Vec::with_capacity(items.len());
    for (index, node) in items.iter().enumerate() {
        let sink = sink(node, &place.item(index, node), findings);
        let Some(sink) = sink else { continue };
        if !seen.insert(sink.head.sink_id.clone()) {
            let message = format!("two sinks are called `{}`", sink.head.sink_id);
            let at = node.get("sink_id").map_or(node.span, |entry| entry.value.span);
            let remedy = "give each sink a sink_id of its own: checkpoints are kept by it";
            findings.add(Diagnostic::new("CDC-0109", message).at(at).with_remedy(remedy));
        }
        sinks.push(sink);
    }
    (sinks.len() == items.len()).then_some(sinks)
}

fn sink(node: &Node, place: &Place, findings: &Findings) -> Option<SinkEntry> {
    let kind = match node.get("sink_type") {
        Some(entry) => Some(kind_of(entry, place, &catalog::SINKS, findings)?),
        None => None,
    };
    let blocks: Vec<&str> =
        catalog::SINKS.available.iter().chain(catalog::SINKS.planned).copied().collect();
    let head: Option<SinkHead> = decode(node, place, &blocks, findings);
    if let Some(head) = &head
        && !is_identifier(&head.sink_id)
    {
        let at = node.get("sink_id").map(|entry| entry.value.span);
        findings.add(bad_identifier(&format!("{}.sink_id", place.path), at));
    }
    let kind = kind?;
    for entry in node.entries() {
        if blocks.contains(&entry.key.as_str()) && entry.key != kind {
            let message = format!(
                "`{}` has the block `{}`, but its sink_type is {kind}",
                place.path, entry.key
            );
            let remedy = format!("remove the block, or set sink_type: {}", entry.key);
            findings
                .add(Diagnostic::new("CDC-0109", message).at(entry.key_span).with_remedy(remedy));
        }
    }
    let config = match node.get(kind) {
        Some(block) => catalog::decode_sink(kind, &block.value, &place.child(block), findings),
        None => {
            let at = node.get("sink_type").map_or(node.span, |entry| entry.value.span);
            let remedy = format!("add a block `{kind}:` beside sink_type");
            findings.add(missing(kind, &place.path, Some(at)).with_remedy(remedy));
            None
        }
    };
    let keys = node.get(kind).map(Keys::of).unwrap_or_default();
    Some(SinkEntry { head: head?, config: config?, keys })
}
