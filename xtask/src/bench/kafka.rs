//! From the database's log to topics of Kafka, beside Debezium on Kafka Connect; and from a topic to a
//! sink.
#![expect(clippy::print_stdout, reason = "the output of a command")]

mod contender;
mod latency;
mod watch;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::connect::{CONFLUENT_VERSION, DEBEZIUM_VERSION};
use cdc_testkit::services::installed::KAFKA_VERSION;
use cdc_testkit::services::{Apicurio, Kafka, KafkaOptions, apicurio, connect};

use self::contender::Form;
use self::latency::Who;
use self::watch::Program;
use super::arena::Arena;
use super::contest::Contest;
use super::measure::{self, Usage};
use super::report::{Figure, Report};
use super::{subject, workload};

const PER_TRANSACTION: u64 = 1000;
const SINK: &str = "cdc, JSON topic to a file";
// A row of the workload in JSON has more.
const ROW_BYTES_MIN: u64 = 100;
/// Messages a second that the reference platform publishes for a counting sink.
const REFERENCE_RATE: f64 = 38_600.0;

/// Where everything runs.
struct Place<'a> {
    arena: &'a Arena<'a>,
    brokers: &'a str,
    registry: &'a str,
    program: &'a Program,
    rows: u64,
}

/// Each contender in turns on the same backlog, then delays one after the other.
pub(super) async fn run(
    arena: &Arena<'_>,
    with_debezium: bool,
    rounds: u32,
    rows: u64,
    seconds: u64,
) -> anyhow::Result<Report> {
    let kafka = Kafka::start(&KafkaOptions::default())?;
    let registry = Apicurio::start()?;
    let program = Program::compile()?;
    let (brokers, url) = (kafka.bootstrap(), registry.url());
    let place = Place { arena, brokers: &brokers, registry: &url, program: &program, rows };
    workload::create_table(&arena.client).await?;
    workload::mark(&arena.client).await?;
    println!("inserting {rows} rows in transactions of {PER_TRANSACTION}");
    workload::insert(&arena.client, rows, PER_TRANSACTION).await?;
    let mut contest = Contest::default();
    for round in 1..=rounds {
        for form in Form::ALL {
            let prefix = format!("cdc_{}_{round}", form.name().to_lowercase());
            contest.note(&cdc_name(form), contender::cdc(&place, form, &prefix).await?);
            debezium(&place, &mut contest, with_debezium, form, round).await;
        }
        contest.note(SINK, sink(&place, round).await?);
        println!("round {round} of {rounds} is done");
    }
    workload::unmark(&arena.client).await?;
    let figures = delays(&place, with_debezium, seconds).await?;
    let (contenders, not_run) = contest.end(rows)?;
    let mut report = Report {
        name: "kafka",
        server: arena.version().await?,
        rows,
        rounds,
        contenders,
        not_run,
        notes: notes(),
        ..Report::default()
    };
    for form in Form::ALL {
        report.compare(&cdc_name(form), &debezium_name(form), None);
        report.compare_costs(&cdc_name(form), &debezium_name(form));
    }
    if let Some(rate) = report.contender(SINK).map(|sink| sink.rows_per_second) {
        let reference = "the reference platform's published messages/s for that";
        report.figures.push(Figure::new("Kafka to a sink, messages/s", rate, None));
        report.figures.push(Figure::new(reference, REFERENCE_RATE, None));
    }
    report.figures.extend(figures);
    Ok(report)
}

async fn debezium(place: &Place<'_>, contest: &mut Contest, wanted: bool, form: Form, round: u32) {
    let name = debezium_name(form);
    if contest.is_absent(&name) {
        return;
    }
    let absent = (!wanted).then(|| "left out on request".to_owned()).or_else(connect::missing);
    if let Some(reason) = absent {
        contest.excuse(&name, &anyhow::anyhow!(reason));
        return;
    }
    let prefix = format!("debezium_{}_{round}", form.name().to_lowercase());
    match contender::debezium(place, form, &prefix).await {
        Ok(usage) => contest.note(&name, usage),
        Err(reason) => contest.excuse(&name, &reason),
    }
}

/// A topic that is filled already, to a file.
async fn sink(place: &Place<'_>, round: u32) -> anyhow::Result<Usage> {
    let client = &place.arena.client;
    let prefix = format!("cdc_sink_{round}");
    workload::slot(client, subject::SLOT).await?;
    let delivered = async {
        let files = contender::files(place, Form::Json, &prefix, "never", None)?;
        let mut filling = files.command("run");
        filling.arg("--until-current");
        measure::run(filling, place.arena.server, async || true).await?;
        let directory = tempfile::tempdir().context("create a directory")?;
        let file = directory.path().join("delivered.jsonl");
        let sink = format!("{{ sink_id: file, sink_type: file, file: {{ path: {file:?} }} }}");
        let files = contender::files(place, Form::Json, &prefix, "never", Some(&sink))?;
        let mut delivering = files.command("run");
        delivering.arg("--until-current");
        let usage = measure::run(delivering, place.arena.server, async || file.exists()).await?;
        let bytes = std::fs::metadata(&file).context("look at the delivered file")?.len();
        ensure!(
            bytes >= place.rows * ROW_BYTES_MIN,
            "the file has {bytes} bytes: rows are missing"
        );
        Ok(usage)
    };
    let usage = delivered.await;
    workload::drop_slot(client, subject::SLOT).await?;
    usage
}

async fn delays(
    place: &Place<'_>,
    with_debezium: bool,
    seconds: u64,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for who in [Who::Cdc, Who::Debezium] {
        if who == Who::Debezium && (!with_debezium || connect::missing().is_some()) {
            continue;
        }
        println!("inserting {} rows a second for {seconds} s: {who:?}", latency::RATE);
        let found = latency::run(place, who, seconds).await;
        latency::clean_up(place).await?;
        figures.extend(found?);
    }
    Ok(figures)
}

fn cdc_name(form: Form) -> String {
    format!("cdc, {}", form.name())
}

fn debezium_name(form: Form) -> String {
    format!("Debezium, {}", form.name())
}

fn notes() -> Vec<String> {
    let tuned = contender::TUNED.map(|(name, value)| format!("{name}={value}")).join(" ");
    vec![
        format!(
            "one broker of Apache Kafka {KAFKA_VERSION}, one partition; Apicurio {} as registry",
            apicurio::VERSION
        ),
        format!(
            "Debezium {DEBEZIUM_VERSION}.Final on a standalone worker of Kafka Connect, heap of \
             Java's choice, {tuned}; JSON without schemas, or Confluent's converter \
             {CONFLUENT_VERSION} for Avro; from the start of the worker"
        ),
    ]
}
