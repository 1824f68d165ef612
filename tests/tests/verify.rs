use std::sync::Arc;

use cdc_testkit::services::{Options, Postgres};
use serde_json::{Value, json};

use crate::compare;
use crate::load::{self, Load};
use crate::process::eventually;
use crate::scene::{Scene, any_server};

/// A server that nobody else puts under load.
fn own_server() -> Arc<Postgres> {
    let major = Postgres::available()[0];
    Arc::new(Postgres::start(Options { major, ..Options::default() }).unwrap())
}

/// The report of one table.
fn of<'v>(report: &'v Value, table: &str) -> &'v Value {
    let tables = report["sinks"][0]["tables"].as_array().unwrap();
    tables
        .iter()
        .find(|found| found["table"] == table)
        .unwrap_or_else(|| panic!("{table} is not in {report}"))
}

/// Kind, key and columns of each difference, in an order of their own.
fn differences(report: &Value, table: &str) -> Vec<(String, String, String)> {
    let found = of(report, table)["differences"].as_array().unwrap();
    assert!(!found.is_empty(), "nothing differs in {}", of(report, table));
    let text = |value: &Value| value.to_string().replace('"', "");
    let mut found: Vec<(String, String, String)> =
        found.iter().map(|d| (text(&d["kind"]), text(&d["key"]), text(&d["columns"]))).collect();
    found.sort();
    found
}

fn expected(rows: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    rows.iter()
        .map(|(kind, key, columns)| ((*kind).into(), (*key).into(), (*columns).into()))
        .collect()
}

#[tokio::test]
async fn no_difference_is_seen_while_a_load_runs() {
    const RUNS: usize = 10;
    if any_server().is_none() {
        return;
    }
    let server = own_server();
    let scene = Scene::on(&server).await.with_replica(&server);
    load::create(&scene.source).await;
    let mut running = scene.start();
    running.follows().await;
    let load = Load::start(&server, &scene.source_database, 7);
    for run in 0..RUNS {
        let ended = scene.cdc(&["verify", "--json"]).await;
        assert_eq!(ended.code, Some(0), "run {run}: {}", ended.said());
        let report = ended.json();
        assert_eq!(report["verdict"], "equal", "{report}");
        assert_eq!(report["sinks"][0]["tables"].as_array().unwrap().len(), load::tables().len());
    }
    assert!(load.stop().await > 100, "there was hardly any load");
    compare::eventually_equal(&scene.source, &scene.target, &load::tables()).await;
    running.stop().await.exits_with(0);
}

const TABLES: &str = "
    CREATE TABLE couples (a int, b text, v text, n int, PRIMARY KEY (b, a));
    CREATE TABLE names (name text PRIMARY KEY, v text);
    CREATE TABLE bare (v text, n int);
    ALTER TABLE bare REPLICA IDENTITY FULL;
    CREATE TABLE whole (id bigint PRIMARY KEY, v text);
    INSERT INTO couples SELECT n % 10, 'k' || n / 10, 'v' || n, n FROM generate_series(1, 3000) AS n;
    INSERT INTO names SELECT 'Zoë ' || n, 'v' || n FROM generate_series(1, 500) AS n;
    INSERT INTO names VALUES ('Łódź, \"ul.\"', 'x'), ('東京', 'x'), ('', 'empty');
    INSERT INTO bare SELECT 'same', 1 FROM generate_series(1, 20);
    INSERT INTO bare SELECT 'v' || n, n FROM generate_series(1, 300) AS n;
    INSERT INTO whole SELECT n, 'v' FROM generate_series(1, 100) AS n;";

const NAMES: [&str; 4] = ["public.couples", "public.names", "public.bare", "public.whole"];

const DAMAGE: &str = "
    DELETE FROM couples WHERE b = 'k7' AND a = 3;
    UPDATE couples SET v = 'secret', n = 0 WHERE b = 'k0' AND a = 5;
    UPDATE couples SET v = NULL WHERE b = 'k1' AND a = 1;
    INSERT INTO couples VALUES (-1, 'k', 'v', 1);
    DELETE FROM names WHERE name = '東京';
    UPDATE names SET v = 'secret' WHERE name = 'Łódź, \"ul.\"';
    INSERT INTO names VALUES ('zoë 1', 'v1');
    UPDATE names SET v = 'EMPTY' WHERE name = '';
    DELETE FROM bare WHERE ctid = (SELECT ctid FROM bare WHERE v = 'same' LIMIT 1);
    INSERT INTO bare VALUES ('secret', 1), ('secret', 1);";

#[tokio::test]
async fn every_difference_is_found_by_its_key() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(TABLES).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &NAMES).await;
    let equal = scene.cdc(&["verify"]).await.exits_with(0);
    equal.mentions(&["sink replica: equal", "public.couples", "3,000"]);
    scene.target.batch_execute(DAMAGE).await.unwrap();
    let ended = scene.cdc(&["verify", "--json"]).await.exits_with(3);
    assert!(!ended.said().contains("secret"), "a value was shown: {}", ended.said());
    let report = ended.json();
    assert_eq!(report["verdict"], "different", "{report}");
    assert_eq!(
        differences(&report, "public.couples"),
        expected(&[
            ("different", "{b:k0,a:5}", "[v,n]"),
            ("different", "{b:k1,a:1}", "[v]"),
            ("extra", "{b:k,a:-1}", "[]"),
            ("missing", "{b:k7,a:3}", "[]"),
        ])
    );
    assert_eq!(
        differences(&report, "public.names"),
        expected(&[
            ("different", "{name:}", "[v]"),
            ("different", "{name:Łódź, \\ul.\\}", "[v]"),
            ("extra", "{name:zoë 1}", "[]"),
            ("missing", "{name:東京}", "[]"),
        ])
    );
    let bare = of(&report, "public.bare");
    assert_eq!((&bare["missing"], &bare["extra"]), (&json!(1), &json!(2)), "{bare}");
    assert_eq!(of(&report, "public.whole")["verdict"], "equal", "{report}");
    let shown = scene.cdc(&["verify", "--table", "names", "--show-values"]).await.exits_with(3);
    let shown = shown.mentions(&["v=secret", "name=東京", "different: name=\"\" in v"]);
    assert!(!shown.said().contains("couples"), "{}", shown.said());
    // Whoever repairs the replica by hand sees it equal again.
    scene.target.batch_execute("DELETE FROM names WHERE name = 'zoë 1'").await.unwrap();
    scene
        .source
        .batch_execute("UPDATE names SET v = v || '!'; DELETE FROM names WHERE name = '東京'")
        .await
        .unwrap();
    scene.cdc(&["verify", "--table", "public.names"]).await.exits_with(0);
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn differences_are_found_while_other_rows_change() {
    if any_server().is_none() {
        return;
    }
    let server = own_server();
    let scene = Scene::on(&server).await.with_replica(&server);
    load::create(&scene.source).await;
    scene.source.batch_execute(TABLES).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &NAMES).await;
    let load = Load::start(&server, &scene.source_database, 11);
    scene.target.batch_execute(DAMAGE).await.unwrap();
    let report = scene.cdc(&["verify", "--json"]).await.exits_with(3).json();
    for (table, found) in [("public.couples", 4), ("public.names", 4), ("public.bare", 2)] {
        assert_eq!(differences(&report, table).len(), found, "{table}: {report}");
    }
    assert_eq!(of(&report, "other.texts")["verdict"], "equal", "{report}");
    load.stop().await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_stopped_sink_is_said_to_be_behind_and_not_different() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(TABLES).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    // What is equal can be proved at any time.
    scene.cdc(&["verify"]).await.exits_with(0);
    scene.source.batch_execute("UPDATE couples SET n = n + 1; DELETE FROM bare").await.unwrap();
    let ended = scene.cdc(&["verify", "--json", "--wait-seconds", "1"]).await.exits_with(4);
    let report = ended.json();
    assert_eq!(report["verdict"], "not_compared", "{report}");
    for table in ["public.couples", "public.bare"] {
        let table = of(&report, table);
        assert_eq!((&table["verdict"], &table["different"]), (&json!("not_compared"), &json!(0)));
        let reason = table["reason"].as_str().unwrap();
        assert!(reason.contains("bytes behind") && reason.contains("does not run"), "{reason}");
    }
    assert_eq!(of(&report, "public.names")["verdict"], "equal", "{report}");
    let mut running = scene.start();
    running.follows().await;
    scene.cdc(&["verify"]).await.exits_with(0);
    running.stop().await.exits_with(0);
}

const EVERY_TYPE: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TYPE point3 AS (x float8, label text);
    CREATE DOMAIN cents AS numeric(12,2) CHECK (VALUE >= 0);
    CREATE TABLE every (
        id numeric PRIMARY KEY, n numeric, f4 real, f8 float8, at timestamptz, local timestamp,
        tz timetz, took interval, j json, jb jsonb, b bytea, m mood, ms mood[], texts text[],
        grid int[][], c char(8), price money, price2 cents, p point3, r int4range, ip inet,
        u uuid, x xml, bits bit varying, kind regtype, made int GENERATED ALWAYS AS (1 + 1) STORED);
    INSERT INTO every VALUES
        (1.0, 1.00, 'NaN', '-Infinity', '2024-02-29 12:00+05:30', 'infinity', '12:00:00.5-03',
         '1 mon -2 days 03:00', '{\"b\":1,  \"a\":[1.0]}', '{\"b\":1.00, \"a\":null}', '\\x00ff', 'happy',
         '{sad,NULL}', ARRAY['a,\"b', NULL, ''], '{{1,2},{3,NULL}}', 'ab', 12.34, 1.5, '(0.1,\"x y\")',
         '[1,5)', '10.0.0.1/8', md5('x')::uuid, '<a>ü</a>', '101', 'int4'),
        (1.5, 'NaN', 1e-30, 0.1::float8 + 0.2, '-infinity', '0044-03-15 BC', '24:00+00', '-00:00:01',
         'null', '\"\\u20ac\"', '', 'sad', '{}', '{}', '{}', '', -1, 0, NULL, 'empty', '::1', NULL,
         NULL, '', NULL),
        (2, NULL, '-0', '-0', NULL, NULL, NULL, NULL, NULL, 'null', NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, '(,)', NULL, NULL, NULL, NULL, NULL, NULL);";

#[tokio::test]
async fn every_type_is_equal_when_it_is_and_different_when_it_is_not() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    let database = &scene.target_database;
    let settings = format!(
        "ALTER DATABASE {database} SET timezone = 'Asia/Kolkata';
         ALTER DATABASE {database} SET datestyle = 'German';
         ALTER DATABASE {database} SET bytea_output = 'escape';
         ALTER DATABASE {database} SET extra_float_digits = -5;
         ALTER DATABASE {database} SET intervalstyle = 'iso_8601'"
    );
    for setting in settings.split(';') {
        scene.target.batch_execute(setting).await.unwrap();
    }
    scene.target.batch_execute("CREATE TYPE point3 AS (x float8, label text)").await.unwrap();
    scene.source.batch_execute(EVERY_TYPE).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    scene.cdc(&["verify"]).await.exits_with(0).mentions(&["public.every  3"]);
    let damages = [
        ("n", "1.0", "1.0"),
        ("f4", "0", "2"),
        ("f8", "0.3", "1.5"),
        ("at", "'2024-02-29 12:00+05'", "1.0"),
        ("local", "'2024-01-01'", "1.0"),
        ("tz", "'12:00:00.5-02'", "1.0"),
        ("took", "'1 mon -2 days 03:01'", "1.0"),
        ("j", "'{\"b\":1, \"a\":[1.0]}'", "1.0"),
        ("jb", "'{\"b\":1.0, \"a\":null}'", "1.0"),
        ("b", "'\\x00fe'", "1.0"),
        ("m", "'sad'", "1.0"),
        ("ms", "'{sad}'", "1.0"),
        ("texts", "ARRAY['a,\"b', '', NULL]", "1.0"),
        ("grid", "'{1,2,3,NULL}'", "1.0"),
        ("c", "'AB'", "1.0"),
        ("price", "12.35", "1.0"),
        ("price2", "1.51", "1.0"),
        ("p", "'(0.2,\"x y\")'", "1.0"),
        ("r", "'[1,6)'", "1.0"),
        ("ip", "'10.0.0.1'", "1.0"),
        ("u", "NULL", "1.0"),
        ("x", "'<a>u</a>'", "1.0"),
        ("bits", "'100'", "1.0"),
        ("kind", "'int8'", "1.0"),
    ];
    for (column, value, id) in damages {
        let sql = format!("UPDATE every SET {column} = {value} WHERE id = {id}");
        scene.target.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    let report = scene.cdc(&["verify", "--json"]).await.exits_with(3).json();
    let found = of(&report, "public.every");
    assert_eq!(found["different"], 3, "{report}");
    let mut columns: Vec<&str> = found["differences"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|difference| difference["columns"].as_array().unwrap())
        .map(|column| column.as_str().unwrap())
        .collect();
    columns.sort_unstable();
    let mut damaged: Vec<&str> = damages.iter().map(|(column, ..)| *column).collect();
    damaged.sort_unstable();
    assert_eq!(columns, damaged, "{report}");
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn converted_filtered_and_partial_tables_are_compared_as_they_are_replicated() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene
        .source
        .batch_execute(
            "CREATE TABLE adopted (id int PRIMARY KEY, n numeric, at timestamptz, t varchar(20), s smallint);
             INSERT INTO adopted VALUES (1, 1.0, '2024-01-01 00:00:00.123456Z', 'x', 7), (2, 2.345, NULL, NULL, NULL);
             CREATE TABLE filtered (id int PRIMARY KEY, open bool, secret text, k1 int);
             INSERT INTO filtered SELECT n, n % 2 = 0, 's', n FROM generate_series(1, 100) AS n;
             CREATE DOMAIN number AS bigint;
             CREATE TABLE domains (a number, b text, v text, PRIMARY KEY (a, b));
             INSERT INTO domains SELECT n, 'b', 'v' FROM generate_series(1, 50) AS n;
             CREATE PUBLICATION cdc_shop FOR TABLE adopted, domains, filtered (id, open) WHERE (id > 10)
               WITH (publish_via_partition_root = true)",
        )
        .await
        .unwrap();
    scene
        .target
        .batch_execute(
            "CREATE TABLE adopted (note text, id bigint PRIMARY KEY, n numeric(12,2),
                                   at timestamptz(0), t text, s int)",
        )
        .await
        .unwrap();
    let mut running = scene.start();
    running.follows().await;
    scene.cdc(&["verify"]).await.exits_with(0).mentions(&["public.filtered  90"]);
    scene
        .target
        .batch_execute(
            "UPDATE adopted SET n = 1.01 WHERE id = 1; DELETE FROM filtered WHERE id = 20;
             UPDATE domains SET v = '' WHERE a = 7",
        )
        .await
        .unwrap();
    let report = scene.cdc(&["verify", "--json"]).await.exits_with(3).json();
    assert_eq!(differences(&report, "public.adopted"), expected(&[("different", "{id:1}", "[n]")]));
    assert_eq!(
        differences(&report, "public.domains"),
        expected(&[("different", "{a:7,b:b}", "[v]")])
    );
    assert_eq!(differences(&report, "public.filtered"), expected(&[("missing", "{id:20}", "[]")]));
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn what_cannot_be_compared_is_said() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server).with_file();
    scene.source.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    scene.cdc(&["verify", "--sink", "file"]).await.exits_with(2).mentions(&["CDC-0130", "file"]);
    scene.cdc(&["verify", "--sink", "none"]).await.exits_with(2).mentions(&["CDC-0130", "none"]);
    scene.cdc(&["verify", "--table", "x"]).await.exits_with(2).mentions(&["CDC-0131"]);
    scene.cdc(&["verify"]).await.exits_with(4).mentions(&["not compared", "cdc_shop"]);
    let mut running = scene.start();
    running.follows().await;
    scene.source.batch_execute("INSERT INTO t VALUES (1, 'x')").await.unwrap();
    compare::eventually_equal(&scene.source, &scene.target, &["public.t"]).await;
    scene.cdc(&["verify"]).await.exits_with(0);
    scene.source.batch_execute("ALTER TABLE t ADD n int").await.unwrap();
    scene.cdc(&["verify"]).await.exits_with(4).mentions(&["no column n"]);
    scene.target.batch_execute("DROP TABLE t").await.unwrap();
    let ended = scene.cdc(&["verify"]).await.exits_with(4);
    ended.mentions(&["the replica has no table public.t"]);
    running.stop().await.exits_with(0);
}

async fn is_proved_and_refuted(scene: &Scene) {
    scene
        .source
        .batch_execute(
            "CREATE TABLE words (word text PRIMARY KEY, f float8, at timestamptz, n numeric(9,3));
             INSERT INTO words SELECT 'größe ' || n, n / 7.0, timestamptz '2024-01-01Z' + n * interval '1 s', n
               FROM generate_series(1, 3000) AS n;
             CREATE TABLE bare (v text); ALTER TABLE bare REPLICA IDENTITY FULL;
             INSERT INTO bare SELECT 'ä' FROM generate_series(1, 5)",
        )
        .await
        .unwrap();
    let mut running = scene.start();
    running.follows().await;
    scene.cdc(&["verify"]).await.exits_with(0).mentions(&["public.words  3,000"]);
    let damage = "UPDATE words SET word = 'grösse 1' WHERE word = 'größe 1'; DELETE FROM bare
                   WHERE ctid = (SELECT ctid FROM bare LIMIT 1)";
    scene.target.batch_execute(damage).await.unwrap();
    let report = scene.cdc(&["verify", "--json"]).await.exits_with(3).json();
    assert_eq!(
        differences(&report, "public.words"),
        expected(&[("extra", "{word:grösse 1}", "[]"), ("missing", "{word:größe 1}", "[]")])
    );
    assert_eq!(of(&report, "public.bare")["missing"], 1, "{report}");
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn servers_of_different_versions_are_compared() {
    let Some(target) = any_server() else { return };
    let newest = Postgres::available().last().copied().unwrap();
    let source = Postgres::shared(newest).unwrap();
    let scene = Scene::between(source, target).await.with_replica(target);
    is_proved_and_refuted(&scene).await;
}

async fn is_compared_with_a_target_in(encoding: &str) {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await;
    let other = format!("{}_{}", scene.target_database, encoding.to_lowercase());
    let create =
        format!("CREATE DATABASE {other} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
    scene.target.batch_execute(&create).await.unwrap();
    scene.target = server.connect(&other).await.unwrap();
    scene.target_database = other;
    is_proved_and_refuted(&scene.with_replica(server)).await;
}

#[tokio::test]
async fn databases_of_different_encodings_are_compared() {
    is_compared_with_a_target_in("LATIN1").await;
    is_compared_with_a_target_in("SQL_ASCII").await;
}

/// A row that never rests cannot be compared; it must not be called a difference, nor hide one.
#[tokio::test]
async fn a_row_that_never_rests_is_undecided() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene
        .source
        .batch_execute(
            "CREATE TABLE counters (id int PRIMARY KEY, n bigint);
             INSERT INTO counters SELECT n, 0 FROM generate_series(1, 100) AS n",
        )
        .await
        .unwrap();
    let mut running = scene.start();
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &["public.counters"]).await;
    let writer = server.connect(&scene.source_database).await.unwrap();
    let counting = tokio::spawn(async move {
        loop {
            writer.batch_execute("UPDATE counters SET n = n + 1 WHERE id = 1").await.unwrap();
        }
    });
    let report = scene.cdc(&["verify", "--json", "--attempts", "3"]).await.exits_with(4).json();
    let counters = of(&report, "public.counters");
    assert_eq!((&counters["undecided"], &counters["different"]), (&json!(1), &json!(0)));
    scene.target.batch_execute("DELETE FROM counters WHERE id = 2").await.unwrap();
    let report = scene.cdc(&["verify", "--json", "--attempts", "3"]).await.exits_with(3).json();
    assert_eq!(differences(&report, "public.counters"), expected(&[("missing", "{id:2}", "[]")]));
    counting.abort();
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_table_whose_changes_are_set_aside_differs_and_says_why() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    let table =
        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'x'), (2, 'x')";
    scene.source.batch_execute(table).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &["public.t"]).await;
    scene.target.batch_execute("ALTER TABLE t ADD CHECK (v <> 'bad')").await.unwrap();
    scene.source.batch_execute("UPDATE t SET v = 'bad' WHERE id = 2").await.unwrap();
    eventually("the change is set aside", async || {
        scene.cdc(&["status"]).await.said().contains("parked tables: public.t")
    })
    .await;
    let ended = scene.cdc(&["verify"]).await.exits_with(3);
    ended.mentions(&["different: id=2 in v", "its changes are set aside"]);
    scene.target.batch_execute("ALTER TABLE t DROP CONSTRAINT t_v_check").await.unwrap();
    scene.cdc(&["dead-letters retry", "--all"]).await.exits_with(0);
    eventually("the change is delivered", async || scene.cdc(&["verify"]).await.code == Some(0))
        .await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn rows_that_differ_are_repaired_and_those_that_are_gone_arrive_as_deletes() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server).with_file();
    let tables = TABLES.replace(
        "CREATE TABLE bare (v text, n int)",
        "CREATE TABLE bare (v text, n int, i serial PRIMARY KEY)",
    );
    scene.source.batch_execute(&tables).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &NAMES).await;
    let damage = "
        DELETE FROM couples WHERE n % 3 = 0;
        INSERT INTO couples SELECT -n, 'extra', 'v', n FROM generate_series(1, 700) AS n;
        UPDATE names SET v = 'other' WHERE name = 'Łódź, \"ul.\"';
        INSERT INTO names VALUES ('it''s not there', 'v'), ('\\', 'v');
        DELETE FROM whole WHERE id = 50;
        INSERT INTO bare VALUES ('extra', 1, 100000)";
    scene.target.batch_execute(damage).await.unwrap();
    let load = "UPDATE couples SET n = n + 1 WHERE a = 4; UPDATE whole SET id = 1000 WHERE id = 50";
    scene.source.batch_execute(load).await.unwrap();
    scene.cdc(&["verify"]).await.exits_with(3);
    let told = std::fs::read_to_string(scene.file()).unwrap().len();
    let ended = scene.cdc(&["verify", "--repair", "--json"]).await.exits_with(0);
    assert_eq!(ended.json()["verdict"], "equal", "{}", ended.said());
    compare::eventually_equal(&scene.source, &scene.target, &NAMES).await;
    // What was never in the source is told to every sink, and nothing else is deleted or emptied.
    let text = std::fs::read_to_string(scene.file()).unwrap().split_off(told);
    let with = |op: &str| text.lines().filter(|line| line.contains(op)).count();
    assert_eq!([with(r#""op":"d""#), with(r#""op":"t""#)], [700 + 2 + 1, 0], "{text}");
    scene.cdc(&["verify", "--repair"]).await.exits_with(0).mentions(&["sink replica: equal"]);
    scene.cdc(&["snapshot", "--pause"]).await.exits_with(0);
    scene.target.batch_execute("DELETE FROM whole WHERE id < 10").await.unwrap();
    let ended = scene.cdc(&["verify", "--repair", "--wait-seconds", "2"]).await.exits_with(1);
    assert!(ended.said().contains("CDC-0132"), "{}", ended.said());
    // What was ordered outlives the process.
    running.stop().await.exits_with(0);
    scene.cdc(&["snapshot", "--resume"]).await.exits_with(0);
    scene.run_until_current().await.exits_with(0);
    compare::eventually_equal(&scene.source, &scene.target, &NAMES).await;
}
