//! Every type, from one server through the log into another one: whatever the way of a value, copied,
//! inserted, updated, as a key or found by its whole row, both servers print it alike.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cdc_testkit::postgres_types::{EXTENSIONS, READ_AS_TEXT, SETUP, matrix};
use cdc_testkit::services::{Postgres, skip};
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::scene::Scene;

const SCHEMA: &str = "\"odd \"\"types\"\"\"";

/// Values that Debezium's envelope counts in microseconds, and 64 bits cannot: the sink refuses them.
const TOO_LONG_FOR_EVENTS: &[(&str, usize)] = &[("timestamp", 1), ("interval", 4)];

/// PostgreSQL rounds this up to a year that it prints and no longer reads.
const UNREADABLE: (&str, &str) = ("timestamp(3)", "'294276-12-31 23:59:59.999999'");

/// One type and what was made of it in the source.
struct Case {
    name: String,
    /// How many rows each of its tables began with.
    rows: usize,
    /// Can it be the key of a table?
    key: bool,
}

fn table(kind: char, index: usize) -> String {
    format!("{SCHEMA}.{kind}{index}")
}

/// The settings under which values print, whatever the server's own are.
const SETTINGS: &str = "SET DateStyle = ISO; SET IntervalStyle = postgres; SET TimeZone = 'UTC';
    SET extra_float_digits = 1; SET bytea_output = hex; SET search_path = ''";

/// Runs a query and joins each of its rows.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await;
    let messages = messages.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            let fields = (0..row.len()).map(|field| row.get(field).unwrap_or("∅"));
            Some(fields.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    let mut rows: Vec<String> = messages.into_iter().filter_map(row).collect();
    rows.sort();
    rows
}

/// Makes three tables of one type: rows with a key, rows without one, and the type as the key.
async fn make(client: &Client, index: usize, name: &str, literals: &[&str]) -> Case {
    let (m, f, k) = (table('m', index), table('f', index), table('k', index));
    let mut sql = format!(
        "CREATE TABLE {m} (n int PRIMARY KEY, note text, v {name}); INSERT INTO {m} (n) VALUES (0);
         CREATE TABLE {f} (n int, v {name}); ALTER TABLE {f} REPLICA IDENTITY FULL;"
    );
    for (n, literal) in (1..).zip(literals) {
        write!(sql, "INSERT INTO {m} VALUES ({n}, 'old', {literal});").unwrap();
    }
    write!(sql, "INSERT INTO {f} SELECT n, v FROM {m};").unwrap();
    client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
    let create = format!("CREATE TABLE {k} (v {name} PRIMARY KEY, n int)");
    // Arrays of what has no order are found out by their first comparison.
    let compare = format!("{create}; SELECT FROM {m} WHERE v <= v");
    let key = client.batch_execute(&compare).await.is_ok();
    for n in 1..=literals.len() {
        if key {
            // Values that are too long for an index stay out.
            let insert = format!("INSERT INTO {k} SELECT v, n FROM {m} WHERE n = {n}");
            drop(client.batch_execute(&insert).await);
        }
    }
    Case { name: name.to_owned(), rows: literals.len() + 1, key }
}

/// Sends every value again, by each way that a change can take.
async fn change(client: &Client, index: usize, case: &Case) {
    let (m, f, k) = (table('m', index), table('f', index), table('k', index));
    let mut sql = format!(
        "INSERT INTO {m} SELECT n + 1000, note, v FROM {m};
         INSERT INTO {m} SELECT n + 1000, note FROM {m} WHERE n >= 1000;
         UPDATE {m} AS t SET v = o.v FROM {m} AS o WHERE t.n >= 2000 AND o.n = t.n - 2000;
         UPDATE {m} SET note = 'new' WHERE n < 1000;
         INSERT INTO {f} SELECT n + 1000, v FROM {f};
         UPDATE {f} SET n = n + 10000 WHERE n % 3 = 0;
         UPDATE {f} SET v = (SELECT o.v FROM {m} AS o WHERE o.n = 1) WHERE n % 3 = 1;
         DELETE FROM {f} WHERE n % 3 = 2;"
    );
    if case.key {
        write!(
            sql,
            "UPDATE {k} SET n = n + 100; DELETE FROM {k} WHERE n % 3 = 0;
             INSERT INTO {k} SELECT v, n FROM {m} WHERE n % 3 = 1 AND n < 1000 ON CONFLICT (v) DO
             UPDATE SET n = {k}.n + 1;"
        )
        .unwrap();
    }
    let name = &case.name;
    client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
}

/// What of a type's tables differs between the two databases.
async fn differences(scene: &Scene, index: usize, case: &Case) -> Option<String> {
    for kind in ['m', 'f', 'k'] {
        if kind == 'k' && !case.key {
            continue;
        }
        let table = table(kind, index);
        let found = scene.target.query_one("SELECT to_regclass($1) IS NOT NULL", &[&table]).await;
        if !found.unwrap().get::<_, bool>(0) {
            return Some(format!("{}: {table} is not there", case.name));
        }
        let note = if kind == 'm' { "note" } else { "''" };
        let sql = format!("SELECT n, {note}, v FROM {table}");
        let (source, target) = (rows(&scene.source, &sql).await, rows(&scene.target, &sql).await);
        if source != target {
            let only = |these: &[String], those: &[String]| -> Vec<String> {
                let missing = these.iter().filter(|row| !those.contains(row));
                missing.take(3).map(|row| row.chars().take(120).collect()).collect()
            };
            let (missing, extra) = (only(&source, &target), only(&target, &source));
            return Some(format!(
                "{} in {table}: {} rows here, {} there\n  only here: {missing:?}\n  only there: {extra:?}",
                case.name,
                source.len(),
                target.len()
            ));
        }
    }
    None
}

/// The values of each row of the tables with a key, as the file sink wrote them at first and at last.
fn written(scene: &Scene) -> BTreeMap<(String, i64), Vec<Value>> {
    let mut out: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    let text = std::fs::read_to_string(scene.file()).unwrap();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let value = &line["value"];
        let (table, after) = (value["source"]["table"].as_str().unwrap(), &value["after"]);
        if table.starts_with('m') && after.is_object() && after["note"] != "new" {
            let n = after["n"].as_i64().unwrap();
            out.entry((table.to_owned(), n)).or_default().push(after["v"].clone());
        }
    }
    out
}

/// Copied, inserted and updated values are written alike by the file sink.
fn unequal_events(scene: &Scene, cases: &[(usize, Case)]) -> Vec<String> {
    let written = written(scene);
    let mut out = Vec::new();
    for (index, case) in cases {
        let mut missing = 0;
        for n in 0..i64::try_from(case.rows).unwrap() {
            let at = |n| written.get(&(format!("m{index}"), n)).and_then(|values| values.last());
            let (copied, inserted, updated) = (at(n), at(n + 1000), at(n + 2000));
            if copied.is_none() && inserted.is_none() {
                missing += 1;
            } else if copied != inserted || copied != updated {
                out.push(format!("{} {n}: {copied:?} {inserted:?} {updated:?}", case.name));
            }
        }
        let known = TOO_LONG_FOR_EVENTS.iter().find(|(name, _)| *name == case.name);
        if missing > 0 && known.is_none_or(|(_, values)| *values != missing) {
            out.push(format!("{}: {missing} values are in no event", case.name));
        }
    }
    out
}

/// What sinks refused and should not have.
async fn refused(scene: &Scene) -> Vec<String> {
    let list = scene.cdc(&["dead-letters list", "--json"]).await.json();
    let letters = list["dead_letters"].as_array().unwrap().iter();
    let wrong = letters.filter(|letter| {
        let error = letter["error"].as_str().unwrap_or_default();
        // Changes behind a refused one of their table wait without an error of their own.
        let too_long = letter["sink_id"] == "file" && error.contains("not fit 64 bits");
        !error.is_empty() && !too_long
    });
    wrong.map(|letter| format!("{} {}", letter["table"], letter["error"])).collect()
}

/// Which extensions a server can make.
async fn extensions(client: &Client, major: u16) -> Vec<&'static str> {
    let sql = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = $1)";
    let mut out = Vec::new();
    for (extension, ..) in EXTENSIONS {
        if out.contains(extension) {
            continue;
        }
        if client.query_one(sql, &[extension]).await.unwrap().get(0) {
            out.push(*extension);
        } else {
            eprintln!("PostgreSQL {major} has no extension {extension}: its types are left out");
        }
    }
    out
}

async fn every_type_stays_what_it_is(major: u16, as_text: bool) {
    if let Some(reason) = Postgres::is_missing(major) {
        return skip(&format!("e2e-types-{major}"), &reason).unwrap();
    }
    let server = Postgres::shared(major).unwrap();
    let scene = Scene::on(server).await.with_replica(server).with_file();
    scene.source.batch_execute(SETUP).await.unwrap();
    if as_text {
        // Types that the target has already, as after restoring the source's schema there.
        scene.target.batch_execute(SETUP).await.unwrap();
    }
    let extensions = extensions(&scene.source, major).await;
    for extension in extensions.iter().filter(|_| as_text) {
        let create = format!("CREATE EXTENSION {extension} SCHEMA public");
        scene.source.batch_execute(&create).await.unwrap();
        scene.target.batch_execute(&create).await.unwrap();
    }
    let mut cases = Vec::new();
    for (name, literals) in matrix(major) {
        if as_text || !READ_AS_TEXT.contains(&name) {
            let readable = |literal: &&str| (name, *literal) != UNREADABLE;
            cases.push((name, literals.into_iter().filter(readable).collect()));
        }
    }
    for (extension, name, literals) in EXTENSIONS {
        if as_text && extensions.contains(extension) {
            cases.push((name, literals.to_vec()));
        }
    }
    let mut made = Vec::new();
    for (index, (name, literals)) in cases.into_iter().enumerate() {
        made.push((index, make(&scene.source, index, name, &literals).await));
    }
    scene.run_until_current().await.exits_with(0);
    for (index, case) in &made {
        change(&scene.source, *index, case).await;
    }
    scene.run_until_current().await.exits_with(0);
    for client in [&scene.source, &scene.target] {
        client.batch_execute(SETTINGS).await.unwrap();
    }
    let mut wrong = Vec::new();
    for (index, case) in &made {
        wrong.extend(differences(&scene, *index, case).await);
    }
    wrong.extend(unequal_events(&scene, &made));
    wrong.extend(refused(&scene).await);
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_stays_what_it_is_from_15() {
    every_type_stays_what_it_is(15, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_stays_what_it_is_from_15_in_text_form() {
    every_type_stays_what_it_is(15, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_stays_what_it_is_from_17() {
    every_type_stays_what_it_is(17, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_stays_what_it_is_from_18() {
    every_type_stays_what_it_is(18, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_stays_what_it_is_from_18_in_text_form() {
    every_type_stays_what_it_is(18, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_tens_of_megabytes_stay_what_they_are() {
    let Some(server) = crate::scene::any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    // Random, so that they stay long: 32 MB of text, 24 MB of bytes, 10 MB of JSON, an array of 16 MB.
    let fill = "
        INSERT INTO t SELECT $N, string_agg(md5(i::text || '$N'), '') FROM generate_series(1, 1000000) i;
        UPDATE t SET b = decode(left(a, 24000000), 'hex') || decode(left(a, 24000000), 'hex'),
                     j = jsonb_build_object('k', left(a, 10000000)) WHERE id = $N;
        INSERT INTO l SELECT $N, array_agg(md5(i::text)), array_agg(i / 7.0)
          FROM generate_series(1, 500000) i;";
    let tables = "CREATE TABLE t (id int PRIMARY KEY, a text, b bytea, j jsonb, n int);
                  CREATE TABLE l (id int PRIMARY KEY, words text[], numbers numeric[])";
    scene.source.batch_execute(tables).await.unwrap();
    scene.source.batch_execute(&fill.replace("$N", "1")).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    scene.source.batch_execute(&fill.replace("$N", "2")).await.unwrap();
    scene.source.batch_execute("UPDATE t SET n = 7").await.unwrap();
    scene.run_until_current().await.exits_with(0);
    for sql in [
        "SELECT id, n, length(a), md5(a), md5(b), md5(j::text) FROM t",
        "SELECT id, md5(words::text), md5(numbers::text) FROM l",
    ] {
        assert_eq!(rows(&scene.source, sql).await, rows(&scene.target, sql).await);
    }
}
