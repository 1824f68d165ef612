//! Schemas of both phases: keys, and types that change while the source runs.

use crate::harness::{Pipeline, config, database, servers};
use cdc_core::{Operation, Retry, TableSchema, Value};
use cdc_source_postgres::{Config, SnapshotMode, schema::Selection};
use std::{collections::BTreeMap, sync::Arc};

fn key(schema: &TableSchema) -> Vec<&str> {
    schema.key_columns().map(|column| column.name.as_str()).collect()
}

#[tokio::test]
async fn keys_are_what_the_log_identifies_rows_by_in_both_phases() {
    for server in servers() {
        let (name, client) = database(
            server,
            "CREATE TABLE reversed (a int, b int, PRIMARY KEY (b, a));
             CREATE TABLE by_index (a int PRIMARY KEY, b int NOT NULL, c int NOT NULL); CREATE UNIQUE INDEX i ON by_index (c, b);
             ALTER TABLE by_index REPLICA IDENTITY USING INDEX i;
             CREATE TABLE full_with (a int, b int PRIMARY KEY); ALTER TABLE full_with REPLICA IDENTITY FULL;
             CREATE TABLE full_without (a int, b int); ALTER TABLE full_without REPLICA IDENTITY FULL;
             CREATE TABLE nothing_with (a int, b int PRIMARY KEY); ALTER TABLE nothing_with REPLICA IDENTITY NOTHING;
             CREATE TABLE without (a int, b int);
             CREATE TABLE covering (a int, b int, PRIMARY KEY (b) INCLUDE (a));
             CREATE TABLE generated (a int, b int GENERATED ALWAYS AS (a + 1) STORED, PRIMARY KEY (a, b));
             ALTER TABLE generated REPLICA IDENTITY FULL",
        )
        .await;
        let expected: BTreeMap<&str, &[&str]> = BTreeMap::from([
            ("reversed", ["b", "a"].as_slice()),
            ("by_index", &["c", "b"]),
            ("full_with", &["b"]),
            ("full_without", &[]),
            ("nothing_with", &["b"]),
            ("without", &[]),
            ("covering", &["b"]),
            ("generated", &[]),
        ]);
        let insert: Vec<String> = expected
            .keys()
            .map(|table| match *table {
                "by_index" => "INSERT INTO by_index VALUES (1, 2, 3)".to_owned(),
                "generated" => "INSERT INTO generated VALUES (1)".to_owned(),
                table => format!("INSERT INTO {table} VALUES (1, 2)"),
            })
            .collect();
        client.batch_execute(&insert.join(";")).await.unwrap();
        let snapshot_mode = SnapshotMode::Initial;
        let mut pipeline =
            Pipeline::provisioned(Config { snapshot_mode, ..config(server, &name) }).await;
        let mut running = pipeline.start().await;
        running.until_current().await;
        let again = insert.join(";").replace("(1", "(11").replace(", 2", ", 12");
        client.batch_execute(&again).await.unwrap();
        running.until_current().await;
        running.stop().await.unwrap();
        let mut snapshot: BTreeMap<String, Arc<TableSchema>> = BTreeMap::new();
        let mut streamed = 0;
        for change in pipeline.changes {
            let table = change.schema.table.name.clone();
            assert_eq!(key(&change.schema), expected[table.as_str()], "{table}");
            if change.operation == Operation::Snapshot {
                snapshot.insert(table, change.schema);
            } else {
                assert_eq!(snapshot[&table], change.schema);
                streamed += 1;
            }
        }
        assert_eq!((snapshot.len(), streamed), (expected.len(), expected.len()));
    }
}

#[tokio::test]
async fn a_type_that_appears_inside_another_is_learnt_by_reading_the_catalog_again() {
    let server = servers()[0];
    let (name, client) = database(
        server,
        "CREATE TYPE pair AS (a int, b text); CREATE TABLE t (id int PRIMARY KEY, p pair)",
    )
    .await;
    let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
    let mut running = pipeline.start().await;
    client.batch_execute("INSERT INTO t VALUES (1, (1, 'x'))").await.unwrap();
    running.until_changes(1).await;
    client
        .batch_execute(
            "CREATE TYPE mood AS ENUM ('sad', 'so so'); ALTER TYPE pair ADD ATTRIBUTE m mood CASCADE;
             INSERT INTO t VALUES (2, (2, 'y', 'so so'))",
        )
        .await
        .unwrap();
    let error = running.until_end().await.unwrap_err();
    assert_eq!((error.code, error.retry), ("CDC-1051", Retry::Backoff));
    assert!(error.context.contains("column p of public.t"), "{}", error.context);
    let mut running = pipeline.start().await;
    running.until_changes(2).await;
    running.stop().await.unwrap();
    let row = pipeline.changes[1].after.clone().unwrap();
    assert_eq!(row[1], Value::text("(2,y,\"so so\")"));
}

#[tokio::test]
async fn native_types_can_be_used_in_ddl_elsewhere() {
    let server = servers()[0];
    let (_name, client) = database(
        server,
        r#"CREATE SCHEMA "S x"; CREATE TYPE "S x"."Mood" AS ENUM ('a'); CREATE DOMAIN "S x".d AS numeric(9,2);
           CREATE TABLE t (a numeric(10,2), b varchar(9)[], c char, d "char", e "S x"."Mood"[], f "S x".d, g timestamp(3) with time zone,
             h interval day to second(2), i bit varying, j double precision, k name, l int4range)"#,
    )
    .await;
    client.batch_execute("SET search_path TO ''").await.unwrap();
    let selection = Selection::parse(&["public.t".to_owned()]).unwrap();
    let catalog = cdc_source_postgres::schema::load(&client, &selection).await.unwrap();
    let schema = cdc_source_postgres::schema::table_schema(&catalog.tables[0], &catalog.types);
    let declared: Vec<String> = schema
        .columns
        .iter()
        .map(|column| format!("\"{}\" {}", column.name, column.native_type))
        .collect();
    let create = format!("CREATE TABLE public.copy ({})", declared.join(", "));
    client.batch_execute(&create).await.unwrap();
    let difference = "SELECT count(*) FROM pg_attribute a FULL JOIN pg_attribute b ON a.attname = b.attname AND a.atttypid = b.atttypid AND a.atttypmod = b.atttypmod
        AND b.attrelid = 'public.copy'::regclass WHERE a.attrelid = 'public.t'::regclass AND a.attnum > 0 AND b.attname IS NULL";
    assert_eq!(client.query_one(difference, &[]).await.unwrap().get::<_, i64>(0), 0);
}
