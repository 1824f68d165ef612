use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cdc_testkit::services::{Options, Port, Postgres, skip};

fn server(major: u16) -> Option<Postgres> {
    if let Some(reason) = Postgres::is_missing(major) {
        skip("testkit-services", &reason).unwrap();
        return None;
    }
    Some(Postgres::start(Options { major, ..Options::default() }).unwrap())
}

async fn answers(server: &Postgres, database: &str, sql: &str) -> String {
    let client = server.connect(database).await.unwrap();
    client.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
}

#[tokio::test]
async fn every_installed_major_answers_with_logical_decoding_and_tls() {
    for major in [15, 17, 18] {
        let Some(server) = server(major) else { continue };
        let database = server.create_database("unit").await.unwrap();
        let version = answers(&server, &database, "SHOW server_version").await;
        assert!(version.starts_with(&format!("{major}.")), "{version}");
        assert_eq!(answers(&server, &database, "SHOW wal_level").await, "logical");
        assert_eq!(answers(&server, &database, "SHOW ssl").await, "on");
        assert!(server.ca_file().exists() && server.client_key().exists());
    }
}

#[tokio::test]
async fn committed_rows_outlive_a_kill_and_a_restart() {
    let Some(server) = server(15) else { return };
    let client = server.connect("postgres").await.unwrap();
    client.batch_execute("CREATE TABLE t (a text); INSERT INTO t VALUES ('kept')").await.unwrap();
    server.kill9().unwrap();
    assert!(server.connect("postgres").await.is_err());
    server.restart().unwrap();
    assert_eq!(answers(&server, "postgres", "SELECT a FROM t").await, "kept");
    server.restart().unwrap();
    assert_eq!(answers(&server, "postgres", "SELECT a FROM t").await, "kept");
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing_behind() {
    let Some(server) = server(15) else { return };
    let (data, port) = (server.data_directory(), server.port());
    drop(server);
    assert!(!data.exists() && !data.parent().is_some_and(Path::exists));
    assert!(std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
}

#[test]
fn reserved_ports_differ() {
    let ports: Vec<Port> = (0..50).map(|_| Port::reserve().unwrap()).collect();
    let numbers: std::collections::BTreeSet<u16> = ports.iter().map(Port::number).collect();
    assert_eq!(numbers.len(), 50);
}

#[test]
fn holds_a_server_until_it_is_killed() {
    if std::env::var_os("CDC_TEST_HOLD_A_SERVER").is_none() {
        return;
    }
    let Some(server) = server(15) else { return };
    println!("\ndirectory {}", server.data_directory().display());
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_server_behind() {
    if Postgres::is_missing(15).is_some() {
        return;
    }
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "services::holds_a_server_until_it_is_killed", "--nocapture"])
        .env("CDC_TEST_HOLD_A_SERVER", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let data = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("directory ").map(PathBuf::from))
        .unwrap();
    assert!(data.join("postmaster.pid").exists());
    holder.kill().unwrap();
    holder.wait().unwrap();
    for _ in 0..200 {
        if !data.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} is still there", data.display());
}
