//! Connections: encryption, authentication, and what an operator reads when they fail.

use crate::{
    harness::{Pipeline, config, database, eventually, servers},
    proxy::Proxy,
};
use cdc_core::{Error, Retry, Secret, catalog::SourceConnector, finding::Level};
use cdc_source_postgres::{Config, Connector};
use cdc_testkit::services::{Options as PostgresOptions, Postgres};
use cdc_tls::{Mode, TlsConfig};

async fn refused(config: Config) -> Error {
    let connector = Connector::new(config).unwrap();
    let error = connector.current_position().await.unwrap_err();
    assert!(!error.chain().contains("correct-horse"), "{}", error.chain());
    // Both kinds of session fail alike.
    let streamed = Pipeline::new(connector).start().await.until_end().await.unwrap_err();
    assert_eq!((streamed.code, streamed.retry), (error.code, error.retry), "{streamed}");
    error
}

#[tokio::test]
async fn a_wrong_door_says_which_one_it_was() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        let password = Secret::new("wrong");
        let cases = [
            (Config { password, ..base.clone() }, "CDC-1002", Retry::AfterOperator),
            (
                Config { username: "nobody".to_owned(), ..base.clone() },
                "CDC-1002",
                Retry::AfterOperator,
            ),
            (
                Config { database: "absent".to_owned(), ..base.clone() },
                "CDC-1004",
                Retry::AfterOperator,
            ),
            (Config { port: 1, ..base.clone() }, "CDC-1001", Retry::Backoff),
            (Config { host: "/nowhere".to_owned(), ..base.clone() }, "CDC-1001", Retry::Backoff),
            (
                Config { host: "no.such.host.invalid".to_owned(), ..base.clone() },
                "CDC-1001",
                Retry::Backoff,
            ),
        ];
        for (config, code, retry) in cases {
            let error = refused(config).await;
            assert_eq!((error.code, error.retry), (code, retry), "{error}");
            assert!(error.remedy.is_some(), "{error}");
        }
        client
            .batch_execute(&format!(
                "CREATE ROLE plain_{name} LOGIN PASSWORD 'p'; GRANT SELECT ON t TO plain_{name};
                 CREATE ROLE narrow_{name} LOGIN PASSWORD 'p' CONNECTION LIMIT 0"
            ))
            .await
            .unwrap();
        let role = |role: &str| Config {
            username: format!("{role}_{name}"),
            password: Secret::new("p"),
            ..base.clone()
        };
        let crowded = refused(role("narrow")).await;
        assert_eq!((crowded.code, crowded.retry), ("CDC-1005", Retry::Backoff));
        let mut pipeline = Pipeline::new(Connector::new(role("plain")).unwrap());
        let error = pipeline.start().await.until_end().await.unwrap_err();
        assert_eq!(error.code, "CDC-1008", "{error}");
        let remedy = error.remedy.unwrap();
        assert!(remedy.contains("REPLICATION"), "{remedy}");
    }
}

#[tokio::test]
async fn a_missing_line_in_pg_hba_is_told() {
    let server = Postgres::start(PostgresOptions::default()).unwrap();
    let (name, client) = database(&server, "CREATE TABLE t (id int PRIMARY KEY)").await;
    client.batch_execute("CREATE ROLE stranger LOGIN PASSWORD 'p'").await.unwrap();
    let file = server.data_directory().join("pg_hba.conf");
    let rules = std::fs::read_to_string(&file).unwrap();
    let rules = format!("host all stranger 127.0.0.1/32 reject\n{rules}");
    std::fs::write(&file, rules).unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let stranger = Config {
        username: "stranger".to_owned(),
        password: Secret::new("p"),
        ..config(&server, &name)
    };
    // The server reads its files again a moment after it was told.
    let mut error = refused(stranger.clone()).await;
    for _ in 0..20 {
        if error.code == "CDC-1003" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        error = refused(stranger.clone()).await;
    }
    assert_eq!(error.code, "CDC-1003", "{error}");
}

#[tokio::test]
async fn every_encryption_mode_does_what_it_says() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        let tls = |mode| Config {
            tls: TlsConfig { mode, ca_file: Some(server.ca_file()), ..TlsConfig::default() },
            ..base.clone()
        };
        let plain = Config {
            tls: TlsConfig { mode: Mode::Disable, ..TlsConfig::default() },
            ..base.clone()
        };
        let cases = [
            (plain, false),
            (base.clone(), true),
            (tls(Mode::Require), true),
            (tls(Mode::VerifyCa), true),
            (tls(Mode::VerifyFull), true),
        ];
        for (config, encrypted) in cases {
            let mode = config.tls.mode;
            let mut pipeline = Pipeline::provisioned(config).await;
            let mut running = pipeline.start().await;
            running.until_current().await;
            let query = "SELECT bool_and(ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                         WHERE datname = $1 AND application_name LIKE 'cdc/%'";
            let row = client.query_one(query, &[&name]).await.unwrap();
            assert_eq!(row.get::<_, Option<bool>>(0), Some(encrypted), "{mode:?}");
            assert!(row.get::<_, i64>(1) >= 2, "{mode:?}");
            running.stop().await.unwrap();
            let gone = format!(
                "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{name}' \
                 AND application_name LIKE 'cdc/%')"
            );
            eventually(&client, &gone).await;
        }
        let proxy = Proxy::start("127.0.0.3", server).await;
        let elsewhere =
            Config { host: proxy.host.clone(), port: proxy.port, ..tls(Mode::VerifyFull) };
        assert_eq!(refused(elsewhere.clone()).await.code, "CDC-1107");
        let unverified = Config {
            tls: TlsConfig { mode: Mode::VerifyFull, ..TlsConfig::default() },
            ..base.clone()
        };
        assert_eq!(refused(unverified).await.code, "CDC-1106");
        let chain_only =
            Config { host: proxy.host.clone(), port: proxy.port, ..tls(Mode::VerifyCa) };
        Connector::new(chain_only).unwrap().current_position().await.unwrap();
    }
}

#[tokio::test]
async fn a_client_certificate_is_a_way_in() {
    for server in servers() {
        let (name, _client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let identified = Config {
            username: server.certificate_user().to_owned(),
            password: Secret::new(""),
            tls: TlsConfig {
                mode: Mode::VerifyFull,
                ca_file: Some(server.ca_file()),
                certificate_file: Some(server.client_cert()),
                key_file: Some(server.client_key()),
            },
            ..config(server, &name)
        };
        let mut pipeline = Pipeline::provisioned(identified.clone()).await;
        let mut running = pipeline.start().await;
        running.until_current().await;
        running.stop().await.unwrap();
        let tls = TlsConfig { certificate_file: None, key_file: None, ..identified.tls.clone() };
        let error = refused(Config { tls, ..identified }).await;
        assert_eq!((error.code, error.retry), ("CDC-1002", Retry::AfterOperator), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_encryption_is_refused_only_where_encryption_is_required() {
    let options = PostgresOptions { tls: false, ..PostgresOptions::default() };
    let server = Postgres::start(options).unwrap();
    let (name, client) = database(&server, "CREATE TABLE t (id int PRIMARY KEY)").await;
    let base = config(&server, &name);
    let tls = TlsConfig { mode: Mode::Require, ..TlsConfig::default() };
    assert_eq!(refused(Config { tls, ..base.clone() }).await.code, "CDC-1009");
    Connector::new(base.clone()).unwrap().current_position().await.unwrap();

    // The older kinds of authentication, and the server's socket.
    client
        .batch_execute(
            "SET password_encryption = 'md5'; CREATE ROLE old SUPERUSER LOGIN PASSWORD 'p'",
        )
        .await
        .unwrap();
    let file = server.data_directory().join("pg_hba.conf");
    let rules = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        format!("host all old 127.0.0.1/32 md5\nlocal all old password\n{rules}"),
    )
    .unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let old = Config { username: "old".to_owned(), password: Secret::new("p"), ..base };
    let socket = server.data_directory().display().to_string();
    for host in [old.host.clone(), socket] {
        let mut pipeline = Pipeline::provisioned(Config { host, ..old.clone() }).await;
        let mut running = pipeline.start().await;
        running.until_current().await;
        running.stop().await.unwrap();
    }
    let (findings, _) = Connector::new(old).unwrap().check().await;
    assert!(findings.iter().all(|finding| finding.level < Level::Error), "{findings:?}");
}
