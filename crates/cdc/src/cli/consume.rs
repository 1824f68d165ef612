//! `cdc consume`: changes as they arrive in the log.

mod kafka;

use super::Manner;
use crate::{
    failure::{Failure, Outcome},
    output::{is_terminal, say},
    schemas::Schemas,
    settings::{Files, Settings},
    tables::Filter,
};
use cdc_codec::debezium::Encoder;
use cdc_core::{
    Change, Offset, Operation, Transport as _,
    clock::{Clock as _, SystemClock},
    naming,
};
use cdc_transport_embedded::{EmbeddedTransport, Log};

/// Bytes of the log that are read at a time.
const READ_BYTES: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    files: Files,
    /// Begin with the oldest change of the log instead of the next one to arrive
    #[arg(long)]
    from_beginning: bool,
    /// Only these tables: schema.table, where * and ? match parts of a name
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,
    /// End after so many changes
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// End at the end of the log instead of waiting for more
    #[arg(long)]
    no_follow: bool,
}

pub(super) async fn run(args: &Args, manner: &Manner) -> Outcome {
    let settings = args.files.load()?;
    if let Some(kafka) = settings.platform.kafka() {
        let printer = Printer::new(&settings, manner.json || !is_terminal());
        return tokio::select! { biased;
            ended = Box::pin(kafka::follow(args, &settings, &kafka, printer)) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
    }
    if !settings.directory.log().exists() {
        let context = format!("there is no log in {} yet", settings.directory.root().display());
        let remedy = "start the pipeline with cdc run, or name its data directory: --data-dir DIR";
        return Err(Failure::new("CDC-0124", context, remedy));
    }
    let log = Log::open_read_only(settings.directory.log(), settings.id()).await?;
    let printer = Printer::new(&settings, manner.json || !is_terminal());
    tokio::select! { biased;
        ended = follow(args, &settings, &log, printer) => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn follow(
    args: &Args,
    settings: &Settings,
    log: &EmbeddedTransport,
    mut printer: Printer,
) -> Outcome {
    let filter = Filter::new(&args.table);
    let end = log.end(log.partition()).await?;
    let from = if args.from_beginning { log.start() } else { end };
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut reader = log.read(log.partition(), from).await?;
    let mut schemas = Schemas::new(settings);
    let mut next = from;
    while left > 0 && !(args.no_follow && next >= end) {
        let batch = reader.next(READ_BYTES).await?;
        for record in &batch.records {
            let Some(change) = schemas.decode(record).await? else { continue };
            if filter.takes(&change.schema.table) {
                printer.print(0, record.offset, &change)?;
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
        next = batch.next;
    }
    Ok(())
}

/// Prints changes as JSON lines or for people.
struct Printer {
    json: bool,
    prefix: String,
    encoder: Encoder,
    line: Vec<u8>,
}

impl Printer {
    fn new(settings: &Settings, json: bool) -> Self {
        let prefix = settings.pipeline.head.topic_prefix.clone();
        let encoder = Encoder::new(&prefix).with_database(settings.pipeline.source.database());
        Self { json, prefix, encoder, line: Vec::new() }
    }

    fn print(&mut self, partition: u32, offset: Offset, change: &Change) -> Outcome {
        let topic = naming::topic(&self.prefix, &change.schema.table);
        let text = if self.json {
            self.json(partition, offset, &topic, change)?
        } else {
            self.readable(change)?
        };
        say(text)
    }

    /// The same line that the file sink writes.
    fn json(
        &mut self,
        partition: u32,
        offset: Offset,
        topic: &str,
        change: &Change,
    ) -> Outcome<String> {
        let key = self.key(change)?;
        self.line.clear();
        self.encoder.value(change, SystemClock.now(), &mut self.line)?;
        let value = String::from_utf8_lossy(&self.line);
        let topic = serde_json::Value::from(topic);
        let position = change.position;
        Ok(format!(
            "{{\"topic\":{topic},\"partition\":{partition},\"offset\":{offset},\"position\":\"{position}\",\"key\":{key},\"value\":{value}}}"
        ))
    }

    fn key(&mut self, change: &Change) -> Outcome<String> {
        self.line.clear();
        let has_key = self.encoder.key(change, &mut self.line)?;
        Ok(if has_key {
            String::from_utf8_lossy(&self.line).into_owned()
        } else {
            "null".to_owned()
        })
    }

    fn readable(&mut self, change: &Change) -> Outcome<String> {
        self.line.clear();
        self.encoder.value(change, SystemClock.now(), &mut self.line)?;
        let value: serde_json::Value = serde_json::from_slice(&self.line).unwrap_or_default();
        let row =
            |name: &str| value.get(name).filter(|row| !row.is_null()).map(ToString::to_string);
        let rows = match (row("before"), row("after")) {
            (Some(before), Some(after)) => format!("{before} → {after}"),
            (before, after) => before.or(after).unwrap_or_default(),
        };
        let word = match change.operation {
            Operation::Snapshot => "snapshot",
            Operation::Insert => "insert",
            Operation::Update => "update",
            Operation::Delete => "delete",
            Operation::Truncate => "truncate",
            Operation::Message => "message",
        };
        Ok(format!("{}  {word:<8}  {}  {rows}", change.position, change.schema.table))
    }
}
