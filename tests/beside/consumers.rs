//! Programs of others read topics, and find the rows of the source in them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cdc_testkit::services::{confluent, connect};
use serde_json::{Value, json};

use super::world::World;

/// A table whose rows say what they are in every language.
pub(super) const TABLE: &str = "
    CREATE TABLE consumed (id bigint PRIMARY KEY, b bool, i int, f float8, t text, n numeric(10,2),
        d date, ts timestamp, tz timestamptz, u uuid, j jsonb, ba bytea, a int[]);
    INSERT INTO consumed VALUES
        (1, true, -7, 1.5, 'first', 12.34, '2020-02-29', '2020-02-29 12:34:56.789012',
         '2020-02-29 12:34:56.789012+02', '00000000-0000-0000-0000-00000000000a', '{\"k\": [1, null]}',
         '\\x0001ff', '{1,-2,3}'),
        (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (3, false, 2147483647, -1e300, 'gone', -0.01, '1969-12-31', '1969-12-31 23:59:59', now(), NULL,
         'null', '', '{}');";

/// What becomes of it.
pub(super) const CHANGES: [&str; 5] = [
    "INSERT INTO consumed (id, t, n) VALUES (4, E'Größe € 🎈 \\t \"quoted\"', 99999999.99)",
    "UPDATE consumed SET t = 'changed', n = 0, ba = '\\xff' WHERE id = 1",
    "DELETE FROM consumed WHERE id = 3",
    "UPDATE consumed SET id = 5 WHERE id = 4",
    "INSERT INTO consumed (id, f) VALUES (-9223372036854775808, 0.1)",
];

// In the forms that a reader gets who asks nothing of the records: days, microseconds, text.
const ROWS: &str = "
    SELECT json_build_object('id', id, 'b', b, 'i', i, 'f', f, 't', t, 'n', n::text,
        'd', d - date '1970-01-01', 'ts', (extract(epoch FROM ts) * 1000000)::bigint,
        'tz', to_char(tz AT TIME ZONE 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
        'u', u, 'j', j::text, 'ba', encode(ba, 'hex'), 'a', to_json(a))::text
    FROM consumed ORDER BY id";

/// The language of a topic's keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Avro,
    Json,
    Protobuf,
}

/// Confluent's client for Python finds the source's rows.
pub(super) async fn python(world: &World, registry: &str, prefix: &str, language: Language) {
    let name = match language {
        Language::Avro => "avro",
        Language::Json => "json",
        Language::Protobuf => "protobuf",
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("beside/consume.py");
    let mut command = confluent::python(&script).unwrap();
    command.args([&world.kafka.bootstrap(), registry, &topic(prefix), name]);
    compare(world, command, language).await;
}

/// Confluent's deserializer for Java does.
pub(super) async fn java(world: &World, registry: &str, prefix: &str) {
    let mut command = Command::new("java");
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(["-cp", &connect::class_path().unwrap()])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("beside/Consume.java"))
        .args([&world.kafka.bootstrap(), registry, &topic(prefix)]);
    compare(world, command, Language::Avro).await;
}

fn topic(prefix: &str) -> String {
    format!("{prefix}.public.consumed")
}

async fn compare(world: &World, mut command: Command, language: Language) {
    let who = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{who}:\n{said}");
    let read = String::from_utf8(output.stdout).unwrap();
    let found = rows(&read, language).unwrap_or_else(|error| panic!("{who}: {error:#}\n{read}"));
    let wanted = world.client.query(ROWS, &[]).await.unwrap();
    let mut wanted: Vec<Value> =
        wanted.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect();
    // Protobuf has no list that is null.
    let lists = wanted.iter_mut().map(|row| &mut row["a"]);
    lists.filter(|list| language == Language::Protobuf && list.is_null()).for_each(|list| {
        *list = json!([]);
    });
    assert_eq!(found, wanted, "{who}");
}

/// What is there after all records, by key.
fn rows(lines: &str, language: Language) -> anyhow::Result<Vec<Value>> {
    let mut rows = BTreeMap::new();
    let (mut created, mut tombstones) = (0, 0);
    for line in lines.lines() {
        let record: Value = serde_json::from_str(line).context("a line of JSON")?;
        let id = record["key"]["id"].as_i64().context("a key with an id")?;
        let value = &record["value"];
        if value.is_null() {
            tombstones += 1;
            ensure!(!rows.contains_key(&id), "a tombstone of a row that is there");
            continue;
        }
        match value["op"].as_str().context("an operation")? {
            "d" => drop(rows.remove(&id).context("a row that is there is deleted")?),
            op => {
                created += u32::from(op == "c");
                rows.insert(id, row(&value["after"], language));
            }
        }
    }
    ensure!((created, tombstones) == (3, 2), "{created} created, {tombstones} tombstones");
    Ok(rows.into_values().collect())
}

/// JSON has no bytes: they are base64, and decimals are such bytes.
fn row(after: &Value, language: Language) -> Value {
    let mut row = after.clone();
    if language == Language::Json {
        let bytes = |value: &Value| value.as_str().map(|text| STANDARD.decode(text).unwrap());
        row["n"] = json!(bytes(&after["n"]).map(|bytes| decimal(&bytes)));
        let hex =
            |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        row["ba"] = json!(bytes(&after["ba"]).map(hex));
    }
    row
}

/// Hundredths as big-endian two's complement.
fn decimal(bytes: &[u8]) -> String {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let start = if negative { -1 } else { 0 };
    let number = bytes.iter().fold(start, |sum: i64, byte| sum << 8 | i64::from(*byte));
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", number.unsigned_abs() / 100, number.unsigned_abs() % 100)
}

#[test]
fn decimals_of_json_are_read() {
    assert_eq!(decimal(&[0x04, 0xd2]), "12.34");
    assert_eq!(decimal(&[0xff]), "-0.01");
    assert_eq!(decimal(&[0]), "0.00");
}
