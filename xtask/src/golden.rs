//! Records what Debezium makes of one workload, and what our source reads of it, for the tests of the
//! formats: `crates/codec/tests/golden`.
#![expect(clippy::print_stdout, reason = "the output of a command")]

mod scenes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::Postgres;
use cdc_testkit::services::postgres::Options;
use serde_json::{Value, json};

use self::scenes::{SCENES, Scene};
use crate::paths;
use crate::services::debezium::Engine;

const PROGRAM: &str = include_str!("golden/Record.java");
const PUBLICATION: &str = "golden";
const CHILD: &str = "golden::records_what_the_source_reads";

/// Records everything anew.
///
/// # Errors
/// When a server, the engine or Java cannot be had, or a scene does not come to its end.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run() -> anyhow::Result<()> {
    let engine = Engine::install()?;
    let target = paths::workspace().join("crates/codec/tests/golden");
    let server = Postgres::start(Options { tls: false, ..Options::default() })?;
    let database = server.create_database("golden").await?;
    let client = server.connect(&database).await?;
    client.batch_execute(&std::fs::read_to_string(target.join("setup.sql"))?).await?;
    let publication = format!("CREATE PUBLICATION {PUBLICATION} FOR ALL TABLES");
    client.batch_execute(&publication).await?;
    for scene in SCENES {
        let sql = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')";
        client.execute(sql, &[&scene.slot()]).await?;
    }
    capture_ours(&server, &database, &target)?;
    let work = tempfile::Builder::new().prefix("cdc-golden-").tempdir()?;
    record(&engine, &server, &database, work.path())?;
    for scene in SCENES {
        let lines = compact(&std::fs::read_to_string(work.path().join(scene.name))?)?;
        std::fs::write(target.join(format!("{}.jsonl", scene.name)), lines)?;
        println!("recorded {}", scene.name);
    }
    Ok(())
}

/// Our source runs in a test of its own crate, which also runs the workload.
fn capture_ours(server: &Postgres, database: &str, target: &Path) -> anyhow::Result<()> {
    let status = paths::cargo()
        .args(["test", "-p", "cdc-source-postgres", "--test", "main", "--"])
        .args(["--ignored", "--exact", CHILD])
        .env("CDC_GOLDEN_PORT", server.port().to_string())
        .env("CDC_GOLDEN_PASSWORD", server.password())
        .env("CDC_GOLDEN_DATABASE", database)
        .env("CDC_GOLDEN_DIRECTORY", target)
        .status()
        .context("run cargo test")?;
    ensure!(status.success(), "our source did not read the workload");
    Ok(())
}

/// One process for all scenes, one after the other.
fn record(engine: &Engine, server: &Postgres, database: &str, work: &Path) -> anyhow::Result<()> {
    let source = work.join("Record.java");
    std::fs::write(&source, PROGRAM)?;
    let class_path = engine.class_path();
    let compiled = Command::new("javac")
        .args(["-cp", &class_path, "-d"])
        .args([work, &source])
        .output()
        .context("run javac")?;
    ensure!(compiled.status.success(), "javac: {}", String::from_utf8_lossy(&compiled.stderr));
    let mut arguments: Vec<PathBuf> = Vec::new();
    for scene in SCENES {
        let settings = work.join(format!("{}.properties", scene.name));
        std::fs::write(&settings, properties(scene, server, database))?;
        arguments.extend([settings, work.join(scene.name)]);
    }
    let done = Command::new("java")
        .args(["-Xmx384m", "-XX:+UseSerialGC", "-cp"])
        .arg(format!("{}:{class_path}", work.display()))
        .arg("Record")
        .args(arguments)
        .current_dir(work)
        .output()
        .context("run java")?;
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "a scene did not come to its end:\n{said}");
    Ok(())
}

fn properties(scene: &Scene, server: &Postgres, database: &str) -> String {
    let port = server.port().to_string();
    let slot = scene.slot();
    let common = [
        ("name", "golden"),
        ("connector.class", "io.debezium.connector.postgresql.PostgresConnector"),
        ("plugin.name", "pgoutput"),
        ("database.hostname", server.host()),
        ("database.port", &port),
        ("database.user", server.superuser()),
        ("database.password", server.password()),
        ("database.dbname", database),
        ("slot.name", &slot),
        ("publication.name", PUBLICATION),
        ("publication.autocreate.mode", "disabled"),
        ("snapshot.mode", "no_data"),
        ("skipped.operations", "none"),
        ("offset.storage", "org.apache.kafka.connect.storage.MemoryOffsetBackingStore"),
        ("offset.flush.interval.ms", "0"),
        ("topic.prefix", scene.prefix),
    ];
    let lines = common.iter().chain(scene.settings);
    lines.map(|(key, value)| format!("{key}={value}\n")).collect()
}

/// Each schema once, where it is first needed, and without what no test looks at: the rows that fill
/// table `large`, and all heartbeats but one.
fn compact(records: &str) -> anyhow::Result<String> {
    let mut out = String::new();
    let mut schemas = BTreeMap::new();
    let mut beats = 0;
    for line in records.lines() {
        let mut record: Value = serde_json::from_str(line)?;
        let topic = record.get("topic").and_then(Value::as_str).unwrap_or_default().to_owned();
        beats += usize::from(topic.starts_with("__debezium-heartbeat"));
        let fills = topic.ends_with(".large") && line.contains("tttttttt");
        if fills || topic.starts_with("__debezium-heartbeat") && beats > 1 {
            continue;
        }
        share_schemas(&mut record, &mut schemas, &mut out);
        out += &format!("{record}\n");
    }
    Ok(out)
}

fn share_schemas(json: &mut Value, schemas: &mut BTreeMap<String, usize>, out: &mut String) {
    let Some(object) = json.as_object_mut() else { return };
    if let (Some(schema), true) = (object.get("schema"), object.contains_key("payload")) {
        let text = schema.to_string();
        let next = schemas.len();
        let number = *schemas.entry(text.clone()).or_insert(next);
        if number == next {
            *out += &format!("{{\"schema\":{number},\"is\":{text}}}\n");
        }
        object.insert("schema".to_owned(), json!(number));
        return;
    }
    for name in ["key", "value", "headers", "data"] {
        if let Some(part) = object.get_mut(name) {
            share_schemas(part, schemas, out);
        }
    }
    let headers = object.iter_mut().filter(|(name, _)| name.starts_with("__"));
    for (_, header) in headers {
        share_schemas(header, schemas, out);
    }
}
