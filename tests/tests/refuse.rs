use std::time::Duration;

use cdc_testkit::services::{Options, Postgres};
use serde_json::json;

use crate::process::run;
use crate::scene::{Scene, any_server};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)";

#[tokio::test]
async fn a_wrong_password_is_told_and_never_shown() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_file();
    scene.pipeline["source"]["password"] = json!("not-the-Secret-42");
    for command in [["check", "--json"], ["run", "--until-current"]] {
        let ended = scene.cdc(&command).await.exits_with(1).mentions(&["CDC-10", "password"]);
        assert!(!ended.said().contains("not-the-Secret-42"), "{}", ended.said());
    }
}

#[tokio::test]
async fn a_server_without_logical_wal_is_told_with_the_remedy() {
    let Some(_) = any_server() else { return };
    let options = Options {
        major: Postgres::available()[0],
        settings: vec![("wal_level", "replica")],
        ..Options::default()
    };
    let server = Postgres::start(options).unwrap();
    let scene = Scene::on(&server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    scene.cdc(&["check"]).await.exits_with(1).mentions(&["wal_level = logical"]);
    scene.run_until_current().await.exits_with(1).mentions(&["CDC-10", "wal_level", "logical"]);
}

#[tokio::test]
async fn a_missing_table_is_named() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    scene.pipeline["source"]["tables"] = json!(["public.t", "public.absent"]);
    scene.cdc(&["check"]).await.exits_with(1).mentions(&["public.absent"]);
    scene.run_until_current().await.exits_with(1).mentions(&["CDC-10", "public.absent"]);
}

#[tokio::test]
async fn a_table_without_key_is_told_before_a_replica_needs_it() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute("CREATE TABLE keyless (v text)").await.unwrap();
    scene.cdc(&["check"]).await.exits_with(0).mentions(&[
        "public.keyless",
        "REPLICA IDENTITY FULL",
        "ADD PRIMARY KEY",
    ]);
}

#[tokio::test]
async fn a_slot_that_someone_else_reads_is_named() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    scene.cdc(&["deploy"]).await.exits_with(0);
    let slot = scene.slot();
    let mut reader = server.binaries().command("pg_recvlogical");
    reader
        .args(["--host", server.host(), "--port", &server.port().to_string()])
        .args(["--username", server.superuser(), "--dbname", &scene.source_database])
        .args(["--slot", &slot, "--start", "--file", "/dev/null"])
        .args(["--option", "proto_version=1", "--option", "publication_names=cdc_shop"])
        // It must not confirm what the pipeline has not had.
        .args(["--status-interval", "600", "--fsync-interval", "0"])
        .env("PGPASSWORD", server.password());
    let mut reader = reader.spawn().unwrap();
    crate::process::eventually("the other reader is there", async || {
        let sql = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";
        scene.source.query_one(sql, &[&slot]).await.unwrap().get(0)
    })
    .await;
    scene.cdc(&["check"]).await.exits_with(0).mentions(&[&slot, "pg_recvlogical"]);
    let refused = scene.cdc(&["run"]).await;
    reader.kill().unwrap();
    reader.wait().unwrap();
    scene.slot_is_free().await;
    refused.exits_with(1).mentions(&["CDC-1013", &slot, "pg_recvlogical"]);
    let mut running = scene.start();
    running.ready().await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_slot_of_another_plugin_is_refused() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    let slot = scene.slot();
    let sql = "SELECT pg_create_logical_replication_slot($1, 'test_decoding')::text";
    scene.source.query_one(sql, &[&slot]).await.unwrap();
    scene.run_until_current().await.exits_with(1).mentions(&["CDC-10", &slot, "test_decoding"]);
}

#[tokio::test]
async fn an_unknown_key_is_told_with_line_and_the_nearest_known_one() {
    let scene = tempfile::tempdir().unwrap();
    let path = scene.path().join("pipeline.yaml");
    let text = "pipeline_id: shop\nsource:\n  database: shop\n  pasword: x\nsinks:\n  - sink_id: a\n    \
                sink_type: file\n    file: { path: out.jsonl }\n";
    std::fs::write(&path, text).unwrap();
    for command in ["validate", "check", "run"] {
        run(scene.path(), &[command, path.to_str().unwrap()]).await.exits_with(2).mentions(&[
            "CDC-01",
            "pipeline.yaml:4:3",
            "pasword",
            "password",
        ]);
    }
}

#[tokio::test]
async fn wrong_use_exits_with_two() {
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), &["run"]).await.exits_with(2);
    run(directory.path(), &["no-such-command"]).await.exits_with(2);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    let port = scene.http();
    let holder = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let ended = scene.cdc(&["run"]).await;
    ended.exits_with(1).mentions(&["CDC-50", &port.to_string(), "health_port"]);
    drop(holder);
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    let mut running = scene.start();
    running.ready().await;
    scene.platform["rest"]["health_port"] = json!(0);
    let pid = std::fs::read_to_string(scene.directory().join("data/shop/lock")).unwrap();
    let pid: serde_json::Value = serde_json::from_str(&pid).unwrap();
    let ended = scene.cdc(&["run"]).await.exits_with(1);
    ended.mentions(&["CDC-", "data", &pid["pid"].to_string()]);
    assert!(running.is_running());
    tokio::time::sleep(Duration::from_millis(200)).await;
    running.stop().await.exits_with(0);
}
