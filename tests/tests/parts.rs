//! Columns, rows and tables that are left out, on every way that rows take.

use cdc_testkit::services::Postgres;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::process::eventually;
use crate::scene::{Scene, any_server};

/// The oldest and the newest server that publish parts of tables.
const MAJORS: [u16; 2] = [15, 18];

fn servers() -> impl Iterator<Item = &'static Postgres> {
    MAJORS.into_iter().filter_map(|major| Postgres::shared_or_skip("parts", major).unwrap())
}

const TABLES: &str = "
    CREATE TABLE people (id bigint PRIMARY KEY, country text NOT NULL, name text, secret text);
    CREATE UNIQUE INDEX people_identity ON people (id, country);
    ALTER TABLE people REPLICA IDENTITY USING INDEX people_identity;
    CREATE TABLE \"Odd.Name\" (\"Id\" int PRIMARY KEY, \"a \"\"b\" text, secret text);
    CREATE TABLE bare (n int, v text);
    ALTER TABLE bare REPLICA IDENTITY FULL;
    CREATE TABLE whole (id bigint PRIMARY KEY, v text);
    CREATE TABLE audit_1 (id bigint PRIMARY KEY, secret text);
    INSERT INTO people SELECT n, CASE n % 2 WHEN 0 THEN 'de' ELSE 'fr' END, 'n' || n, 'SECRET' FROM generate_series(1, 200) AS n;
    INSERT INTO \"Odd.Name\" SELECT n, 'v' || n, 'SECRET' FROM generate_series(1, 50) AS n;
    INSERT INTO bare SELECT n, CASE WHEN n > 10 THEN 'v' ELSE 'SECRET' END FROM generate_series(1, 30) AS n;
    INSERT INTO whole SELECT n, 'v' FROM generate_series(1, 50) AS n;
    INSERT INTO audit_1 VALUES (1, 'SECRET');";

const CHANGES: &str = "
    UPDATE people SET country = 'fr' WHERE id BETWEEN 2 AND 10;
    UPDATE people SET country = 'de' WHERE id BETWEEN 11 AND 21;
    UPDATE people SET name = 'changed', secret = 'SECRET too' WHERE id BETWEEN 30 AND 40;
    UPDATE people SET id = id + 1000 WHERE id BETWEEN 50 AND 60;
    UPDATE people SET id = id + 1000, country = 'de' WHERE id BETWEEN 61 AND 70;
    DELETE FROM people WHERE id BETWEEN 80 AND 90;
    INSERT INTO people SELECT n, CASE n % 2 WHEN 0 THEN 'de' ELSE 'fr' END, 'n' || n, 'SECRET' FROM generate_series(2000, 2100) AS n;
    UPDATE \"Odd.Name\" SET \"a \"\"b\" = 'new' WHERE \"Id\" < 10;
    UPDATE \"Odd.Name\" SET secret = 'SECRET three' WHERE \"Id\" < 20;
    DELETE FROM \"Odd.Name\" WHERE \"Id\" > 45;
    UPDATE bare SET n = n + 20, v = 'v' WHERE n BETWEEN 5 AND 10;
    UPDATE bare SET n = n - 20, v = 'SECRET' WHERE n BETWEEN 20 AND 24;
    DELETE FROM bare WHERE n IN (1, 28);
    UPDATE whole SET v = 'w' WHERE id < 10;
    INSERT INTO audit_1 VALUES (2, 'SECRET');";

fn parts(scene: &mut Scene) {
    let source = &mut scene.pipeline["source"];
    source["tables_excluded"] = json!(["public.audit_*"]);
    source["columns"] = json!({
        "public.people": ["country", "id", "name"],
        "public.\"Odd.Name\"": ["Id", "a \"b"],
    });
    source["rows"] =
        json!({ "public.people": "country='de'", "public.bare": "n > 10 -- the others\n" });
}

/// What the replica has to hold: a table's name there, and what selects its rows in the source.
const EXPECTED: [(&str, &str); 4] = [
    ("people", "SELECT id, country, name FROM people WHERE country = 'de'"),
    ("\"Odd.Name\"", "SELECT \"Id\", \"a \"\"b\" FROM \"Odd.Name\""),
    ("bare", "SELECT n, v FROM bare WHERE n > 10"),
    ("whole", "SELECT id, v FROM whole"),
];

async fn rows(client: &Client, query: &str) -> Vec<String> {
    let sql = format!("SELECT to_jsonb(t)::text FROM ({query}) AS t ORDER BY 1");
    client.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn eventually_parts(scene: &Scene) {
    for (table, query) in EXPECTED {
        let exists = format!("SELECT to_regclass('{table}') IS NOT NULL");
        eventually(&format!("the replica of {table} holds what was asked for"), async || {
            let found = scene.target.query_one(&exists, &[]).await.unwrap();
            found.get::<_, bool>(0)
                && rows(&scene.target, &format!("SELECT * FROM {table}")).await
                    == rows(&scene.source, query).await
        })
        .await;
    }
}

/// Nothing of what was left out is in any file of the pipeline.
fn nothing_leaked(scene: &Scene) {
    let mut folders = vec![scene.directory().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|six| six == b"SECRET"), "{}", path.display());
        }
    }
}

#[tokio::test]
async fn columns_and_rows_agree_in_copy_stream_replica_and_verify() {
    for server in servers() {
        let mut scene = Scene::on(server).await.with_replica(server).with_file();
        parts(&mut scene);
        scene.source.batch_execute(TABLES).await.unwrap();
        scene.cdc(&["check"]).await.exits_with(0).mentions(&["will be created"]);
        let mut running = scene.start();
        running.follows().await;
        eventually_parts(&scene).await;
        scene.source.batch_execute(CHANGES).await.unwrap();
        eventually_parts(&scene).await;
        let report = scene.cdc(&["verify", "--json"]).await.exits_with(0).json();
        assert_eq!(report["verdict"], "equal", "{report}");
        let tables = report["sinks"][0]["tables"].as_array().unwrap();
        assert_eq!(tables.len(), EXPECTED.len(), "{report}");
        running.stop().await.exits_with(0);
        scene.source.batch_execute("UPDATE people SET country = 'de' WHERE id = 71").await.unwrap();
        scene.run_until_current().await.exits_with(0);
        eventually_parts(&scene).await;
        nothing_leaked(&scene);
        let all = "SELECT puballtables FROM pg_publication WHERE pubname = 'cdc_shop'";
        assert!(!scene.source.query_one(all, &[]).await.unwrap().get::<_, bool>(0));
        let check = scene.cdc(&["check"]).await.exits_with(0);
        check
            .mentions(&["publication cdc_shop holds the captured tables", "4 tables are captured"]);
    }
}

#[tokio::test]
async fn parts_without_a_stream_are_copied_and_compared() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server).with_file();
    parts(&mut scene);
    scene.pipeline["source"]["snapshot_mode"] = json!("initial_only");
    // Without changes no replica identity has to hold what a condition uses.
    scene.pipeline["source"]["rows"]["public.people"] =
        json!("country = 'de' AND secret IS NOT NULL");
    scene.source.batch_execute(TABLES).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    eventually_parts(&scene).await;
    nothing_leaked(&scene);
}

/// What the source is asked for, and what the refusal has to mention.
fn wrong() -> Vec<(Value, Value, &'static [&'static str])> {
    vec![
        (json!({"public.t": ["a"]}), json!({}), &["CDC-1081", "public.t", "id"]),
        (json!({"public.t": ["id", "nope"]}), json!({}), &["CDC-1081", "nope"]),
        (json!({"public.nope": ["id"]}), json!({}), &["CDC-1081", "public.nope"]),
        (json!({"public.f": ["id", "a"]}), json!({}), &["CDC-1081", "REPLICA IDENTITY FULL"]),
        (json!({}), json!({"public.t": "a > 1"}), &["CDC-1081", "uses a", "REPLICA IDENTITY FULL"]),
        (json!({}), json!({"public.t": "id > "}), &["CDC-1081", "syntax error"]),
        (json!({}), json!({"public.t": "true); DROP TABLE t; --"}), &["CDC-1081", "syntax error"]),
        (json!({}), json!({"public.t": "nope = 1"}), &["CDC-1081", "nope"]),
        (json!({}), json!({"public.p": "v = 'x'"}), &["CDC-1081", "uses v"]),
        (json!({"public.*": ["id"]}), json!({}), &["CDC-1057", "source.columns"]),
    ]
}

#[tokio::test]
async fn what_the_server_would_refuse_later_is_refused_before_anything_is_created() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_file();
    let setup = "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1);
        CREATE TABLE f (id int PRIMARY KEY, a int); ALTER TABLE f REPLICA IDENTITY FULL;
        CREATE TABLE p (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
        CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);";
    scene.source.batch_execute(setup).await.unwrap();
    for (columns, rows, words) in wrong() {
        scene.pipeline["source"]["columns"] = columns;
        scene.pipeline["source"]["rows"] = rows;
        for command in [&["check"][..], &["deploy"][..]] {
            let ended = scene.cdc(command).await;
            assert_ne!(ended.code, Some(0), "{command:?}: {}", ended.said());
            ended.mentions(&words[usize::from(command[0] == "check")..]);
        }
        let count = "SELECT count(*) FROM pg_publication WHERE pubname = 'cdc_shop'";
        assert_eq!(scene.source.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 0);
        scene.source.batch_execute("UPDATE t SET a = a + 1; UPDATE f SET a = 1").await.unwrap();
    }
}

const MEMBERS: &str = "
    SELECT c.relname::text || coalesce(' ' || pg_get_expr(r.prqual, r.prrelid), '')
           || coalesce(' ' || array_length(r.prattrs::int2[], 1), '')
    FROM pg_publication_rel AS r JOIN pg_class AS c ON c.oid = r.prrelid ORDER BY 1";

async fn members(scene: &Scene) -> Vec<String> {
    scene.source.query(MEMBERS, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_publication_that_differs_is_told_of_and_altered_and_keeps_the_rest() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server);
    let setup = "CREATE TABLE t (id int PRIMARY KEY, a int, b int);
        CREATE TABLE u (id int PRIMARY KEY, a int); CREATE TABLE v (id int PRIMARY KEY);
        INSERT INTO t SELECT n, n, n FROM generate_series(1, 20) AS n;
        CREATE PUBLICATION cdc_shop FOR TABLE t, u WHERE (id > 5), v
        WITH (publish_via_partition_root = true);";
    scene.source.batch_execute(setup).await.unwrap();
    scene.pipeline["source"]["tables"] = json!(["public.t", "public.u"]);
    scene.run_until_current().await.exits_with(0);
    assert_eq!(members(&scene).await, ["t", "u (id > 5)", "v"], "what others made stays");
    scene
        .cdc(&["check"])
        .await
        .exits_with(0)
        .mentions(&["holds only rows with (id > 5) of public.u"]);
    scene.pipeline["source"]["columns"] = json!({"public.t": ["id", "b"], "public.u": ["id"]});
    scene.pipeline["source"]["rows"] = json!({"public.t": "id < 15"});
    let check = scene.cdc(&["check"]).await.exits_with(0);
    check.mentions(&["other columns or rows of public.t, public.u", "it will be changed: BEGIN;"]);
    let deploy = scene.cdc(&["deploy"]).await.exits_with(0);
    deploy.mentions(&["cdc snapshot PIPELINE --table public.t"]);
    assert_eq!(members(&scene).await, ["t (id < 15) 2", "u (id > 5) 1", "v"]);
    let again = scene.cdc(&["deploy"]).await.exits_with(0);
    assert!(!again.said().contains("from now on"), "{}", again.said());
    scene.source.batch_execute("INSERT INTO t VALUES (-1, 1, 1), (99, 1, 1)").await.unwrap();
    let ended = scene.run_until_current().await.exits_with(0);
    ended.mentions(&["their earlier rows were not copied", "tables=\"public.t\""]);
    let found = rows(&scene.target, "SELECT id, b FROM t WHERE id < 1 OR id > 20").await;
    assert_eq!(found, ["{\"b\": 1, \"id\": -1}"]);
}

#[tokio::test]
async fn parts_of_a_publication_of_everything_are_refused() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_file();
    let setup =
        "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE PUBLICATION cdc_shop FOR ALL TABLES";
    scene.source.batch_execute(setup).await.unwrap();
    scene.pipeline["source"]["columns"] = json!({"public.t": ["id"]});
    scene.cdc(&["check"]).await.exits_with(1).mentions(&["holds all tables"]);
    scene.cdc(&["deploy"]).await.exits_with(1).mentions(&["CDC-1020", "holds all tables"]);
}

#[tokio::test]
async fn a_pattern_that_leaves_nothing_out_is_told_of() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_file();
    let setup = "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY);
        CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
        CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);";
    scene.source.batch_execute(setup).await.unwrap();
    scene.pipeline["source"]["tables_excluded"] = json!(["public.u", "public.nope*", "public.p_1"]);
    let check = scene.cdc(&["check"]).await.exits_with(0);
    let said = check.mentions(&[
        "`public.nope*` leaves out no table",
        "public.p_1 is captured although source.tables_excluded names it: it is a partition of public.p",
        "2 tables are captured",
    ]);
    assert!(!said.said().contains("`public.u`"), "{}", said.said());
    scene.pipeline["source"]["tables_excluded"] = json!(["u"]);
    scene.cdc(&["check"]).await.exits_with(2).mentions(&["source.tables_excluded", "`u`"]);
}
