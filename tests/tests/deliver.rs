use std::collections::BTreeSet;

use cdc_testkit::services::{Postgres, Receiver, skip};
use serde_json::Value;

use crate::process::eventually;
use crate::replay::{self, Replayed};
use crate::scene::{Scene, any_server};
use crate::{compare, load};

const TABLES: &str = "
    CREATE TABLE customers (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, email varchar(80),
        balance numeric(12,2) DEFAULT 0, born date, tags text[], profile jsonb,
        created timestamptz NOT NULL DEFAULT now(), photo bytea);
    CREATE TABLE orders (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), customer bigint REFERENCES customers,
        total numeric, placed timestamp, took interval, open bool NOT NULL DEFAULT true);
    CREATE TABLE items (
        \"order\" uuid, line smallint, sku char(8), amount int4, price real, weight float8,
        PRIMARY KEY (line, \"order\"));
    CREATE TABLE empty (id int PRIMARY KEY);
    INSERT INTO customers (name, email, balance, born, tags, profile, photo)
        SELECT 'customer ' || n, 'c' || n || '@example.org', n / 100.0, date '1970-01-01' + n,
               ARRAY['a', NULL, 'with \"quotes\"'], jsonb_build_object('n', n), '\\x00ff'
        FROM generate_series(1, 500) AS n;
    INSERT INTO orders (customer, total, placed, took)
        SELECT id, id * 1.5, timestamp '2024-02-29 12:00' + id * interval '1 minute', '1 mon 2 days'
        FROM customers WHERE id % 3 = 0;
    INSERT INTO items SELECT id, 1, 'SKU', 2, 0.1, 1e300 FROM orders;";

const CHANGES: &str = "
    INSERT INTO customers (name) VALUES ('Zoë'), (E'back\\\\slash \\t tab'), ('');
    UPDATE customers SET balance = balance + 1, photo = NULL WHERE id <= 20;
    BEGIN;
    DELETE FROM items WHERE \"order\" IN (SELECT id FROM orders WHERE customer = 3);
    DELETE FROM orders WHERE customer = 3;
    DELETE FROM customers WHERE id = 3;
    COMMIT;
    UPDATE items SET line = 7 WHERE \"order\" IN (SELECT id FROM orders WHERE customer = 6);
    INSERT INTO empty SELECT generate_series(1, 3000);
    TRUNCATE empty;
    INSERT INTO empty VALUES (424242);";

const NAMES: [&str; 4] = ["public.customers", "public.orders", "public.items", "public.empty"];

/// The operation and the key of each request for one table, in the order of their arrival.
fn received(receiver: &Receiver, table: &str) -> Vec<(String, String)> {
    let of_table = |request: &cdc_testkit::services::Request| {
        let body = request.json();
        let value = &body["value"];
        (value["source"]["table"] == table)
            .then(|| (value["op"].as_str().unwrap_or_default().to_owned(), body["key"].to_string()))
    };
    receiver.accepted().iter().filter_map(of_table).collect()
}

async fn every_operation_reaches_every_place(server: &Postgres) {
    let receiver = Receiver::start().await.unwrap();
    let scene = Scene::on(server).await;
    scene.source.batch_execute(TABLES).await.unwrap();
    let scene = scene.with_replica(server).with_events(server).with_file().with_webhook(&receiver);
    let mut running = scene.start();
    running.follows().await;
    scene.source.batch_execute(CHANGES).await.unwrap();
    compare::eventually_equal(&scene.source, &scene.target, &NAMES).await;
    eventually("the webhook has the last change", async || {
        received(&receiver, "empty").last().is_some_and(|(_, key)| key == r#"{"id":424242}"#)
    })
    .await;
    eventually("the events table has the last change", async || {
        let sql = "SELECT count(*) FROM public.events WHERE event_key::text LIKE '%424242%'";
        scene.target.query_one(sql, &[]).await.is_ok_and(|row| row.get::<_, i64>(0) > 0)
    })
    .await;
    eventually("the file has the last change", async || {
        Replayed::from_file(&scene.file())
            .is_ok_and(|tables| tables.rows("public.empty").len() == 1)
    })
    .await;
    let counts = (500, 3, 20, 1);
    eventually("the webhook has every customer", async || customers(&receiver) == counts).await;
    check_webhook(&receiver);
    running.stop().await.exits_with(0);
    let replayed = Replayed::from_file(&scene.file()).unwrap();
    let rows = compare::rows(&scene.source, "public.empty").await;
    assert_eq!(replay::difference("empty", &rows, &replayed.rows("public.empty")), None);
    assert_eq!(replayed.rows("public.customers").len(), 502);
}

/// How many rows were read, inserted, updated and deleted.
fn customers(receiver: &Receiver) -> (usize, usize, usize, usize) {
    let received = received(receiver, "customers");
    let count = |wanted: &str| received.iter().filter(|(found, _)| found == wanted).count();
    (count("r"), count("c"), count("u"), count("d"))
}

fn check_webhook(receiver: &Receiver) {
    let customers = received(receiver, "customers");
    let third = customers.iter().filter(|(_, key)| key == r#"{"id":3}"#);
    let third: Vec<&str> = third.map(|(operation, _)| operation.as_str()).collect();
    assert_eq!(third, ["r", "u", "d"]);
    // One tells that the table is there and empty, the other is the TRUNCATE itself.
    let truncates = received(receiver, "empty");
    assert_eq!(truncates.iter().filter(|(operation, _)| operation == "t").count(), 2);
    let keys: BTreeSet<String> = receiver
        .accepted()
        .iter()
        .map(|request| request.headers["idempotency-key"].clone())
        .collect();
    assert_eq!(keys.len() as u64, receiver.accepted_count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_reaches_every_place_from_each_version() {
    for major in [15, 17, 18] {
        match Postgres::is_missing(major) {
            Some(reason) => skip(&format!("e2e-postgres-{major}"), &reason).unwrap(),
            None => every_operation_reaches_every_place(Postgres::shared(major).unwrap()).await,
        }
    }
}

#[tokio::test]
async fn until_current_delivers_what_is_there_and_ends() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server).with_file();
    scene.source.batch_execute(TABLES).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    assert_eq!(compare::difference(&scene.source, &scene.target, &NAMES).await, None);
    let lines = || std::fs::read_to_string(scene.file()).unwrap().lines().count();
    let first = lines();
    scene.run_until_current().await.exits_with(0);
    assert_eq!(lines(), first, "nothing was new");
    scene.source.batch_execute(CHANGES).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    assert_eq!(compare::difference(&scene.source, &scene.target, &NAMES).await, None);
    assert!(lines() > first + 3000);
}

#[tokio::test]
async fn a_restart_delivers_nothing_twice() {
    let Some(server) = any_server() else { return };
    let receiver = Receiver::start().await.unwrap();
    let scene = Scene::on(server).await;
    scene.source.batch_execute(TABLES).await.unwrap();
    let scene = scene.with_replica(server).with_file().with_webhook(&receiver);
    for number in 0..5 {
        let mut running = scene.start();
        running.follows().await;
        let sql = format!("INSERT INTO customers (name) VALUES ('round {number}')");
        scene.source.batch_execute(&sql).await.unwrap();
        compare::eventually_equal(&scene.source, &scene.target, &NAMES).await;
        running.stop().await.exits_with(0);
    }
    scene.run_until_current().await.exits_with(0);
    let replayed = Replayed::from_file(&scene.file()).unwrap();
    assert_eq!((replayed.rows("public.customers").len(), replayed.repeated), (505, 0));
    assert_eq!(received(&receiver, "customers").len(), 505);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_under_load_is_consistent() {
    let Some(server) = any_server() else { return };
    let source = std::sync::Arc::new(
        Postgres::start(cdc_testkit::services::Options {
            major: Postgres::available()[0],
            ..Default::default()
        })
        .unwrap(),
    );
    let scene = Scene::between(&source, server).await.with_replica(server).with_file();
    load::create(&scene.source).await;
    let load = load::Load::start(&source, &scene.source_database, 7);
    let mut running = scene.start();
    running.follows().await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(load.stop().await > 50);
    compare::eventually_equal(&scene.source, &scene.target, &load::tables()).await;
    running.stop().await.exits_with(0);
    let replayed = Replayed::from_file(&scene.file()).unwrap();
    for (table, plain) in load::names() {
        let rows = compare::rows(&scene.source, table).await;
        assert_eq!(replay::difference(table, &rows, &replayed.rows(plain)), None);
    }
}

#[tokio::test]
async fn new_columns_arrive_in_the_replica() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(TABLES).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    let sql = "ALTER TABLE customers ADD COLUMN phone text;
               INSERT INTO customers (name, phone) VALUES ('new', '+1')";
    scene.source.batch_execute(sql).await.unwrap();
    eventually("the new column has arrived", async || {
        let sql = "SELECT phone FROM customers WHERE name = 'new'";
        let row = scene.target.query_opt(sql, &[]).await;
        row.is_ok_and(|row| row.is_some_and(|row| row.get::<_, &str>(0) == "+1"))
    })
    .await;
    compare::eventually_equal(&scene.source, &scene.target, &NAMES).await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn standard_output_takes_the_changes_as_lines() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await;
    scene
        .source
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let scene = scene.with_sink("out", "file", serde_json::json!({ "path": "-" }));
    let ended = scene.run_until_current().await.exits_with(0);
    let lines: Vec<Value> =
        ended.output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["value"]["after"], serde_json::json!({"id": 1}));
    assert_eq!(lines[0]["topic"], "cdc.public.t");
}
