//! What the source reads of the workload by which the formats are compared with Debezium.

use crate::harness::Pipeline;
use bytes::BytesMut;
use cdc_codec::row;
use cdc_core::{Operation, SchemaId, Secret};
use cdc_source_postgres::{Config, SnapshotMode};
use serde_json::json;
use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

fn setting(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the parent process says where its server is")]
    std::env::var(name).unwrap()
}

#[tokio::test]
#[ignore = "child: run by cargo xtask golden, with a server of its own"]
async fn records_what_the_source_reads() {
    let directory = PathBuf::from(setting("CDC_GOLDEN_DIRECTORY"));
    let (database, password) = (setting("CDC_GOLDEN_DATABASE"), setting("CDC_GOLDEN_PASSWORD"));
    let config = Config {
        host: "127.0.0.1".to_owned(),
        port: setting("CDC_GOLDEN_PORT").parse().unwrap(),
        username: "postgres".to_owned(),
        password: Secret::new(&password),
        slot_name: "golden_cdc".to_owned(),
        publication_name: "golden_cdc".to_owned(),
        snapshot_mode: SnapshotMode::Never,
        ..Config::new(&database)
    };
    let (client, connection) = tokio_postgres::Config::new()
        .host(&config.host)
        .port(config.port)
        .user(&config.username)
        .password(password)
        .dbname(&database)
        .connect(tokio_postgres::NoTls)
        .await
        .unwrap();
    #[expect(clippy::disallowed_methods, reason = "ends by itself when the client is dropped")]
    tokio::spawn(connection);
    let mut pipeline = Pipeline::provisioned(config).await;
    let workload = std::fs::read_to_string(directory.join("workload.sql")).unwrap();
    for statement in workload.split_inclusive(";\n") {
        client.batch_execute(statement).await.unwrap();
    }
    let mut running = pipeline.start().await;
    running.until_current().await;
    running.stop().await.unwrap();
    std::fs::write(directory.join("changes.jsonl"), lines(&pipeline)).unwrap();
}

/// Schemas with their numbers, and changes in the log's row format; without the row that fills table
/// `large`, which is of no use to anyone.
fn lines(pipeline: &Pipeline) -> String {
    let mut numbers = BTreeMap::new();
    let mut out = String::new();
    for change in &pipeline.changes {
        if change.schema.table.name == "large" && change.operation == Operation::Insert {
            continue;
        }
        let schema = serde_json::to_value(&*change.schema).unwrap();
        let next = u32::try_from(numbers.len()).unwrap();
        let number = *numbers.entry(schema.to_string()).or_insert(next);
        if number == next {
            writeln!(out, "{}", json!({"schema": number, "is": schema})).unwrap();
        }
        let mut record = BytesMut::new();
        row::encode_change(SchemaId(number), change, &mut record);
        let hex = record.iter().fold(String::new(), |mut hex, octet| {
            write!(hex, "{octet:02x}").unwrap();
            hex
        });
        writeln!(out, "{}", json!({"position": change.position, "change": hex})).unwrap();
    }
    out
}
