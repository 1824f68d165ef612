//! What the preflight finds, and what provisioning does about it.

use crate::harness::{Pipeline, config, database, servers};
use cdc_core::{Finding, Secret, catalog::SourceConnector, finding::Level};
use cdc_source_postgres::{Config, Connector, SnapshotMode};
use cdc_testkit::services::{Options as PostgresOptions, Postgres};

fn errors(findings: &[Finding]) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.level == Level::Error).collect()
}

fn mentions<'a>(findings: &'a [Finding], level: Level, text: &str) -> &'a Finding {
    let found =
        findings.iter().find(|finding| finding.level == level && finding.what.contains(text));
    found.unwrap_or_else(|| panic!("nothing at {level:?} about {text:?}: {findings:#?}"))
}

#[tokio::test]
async fn a_ready_server_has_no_errors_and_every_finding_has_a_remedy() {
    for server in servers() {
        let ddl = "CREATE TABLE good (id int PRIMARY KEY); CREATE TABLE bare (v int);
                   CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY);
                   CREATE TABLE whole (v int); ALTER TABLE whole REPLICA IDENTITY FULL";
        let (name, _client) = database(server, ddl).await;
        let base = Config { snapshot_mode: SnapshotMode::Initial, ..config(server, &name) };
        let tables = vec!["public.*".to_owned()];
        let connector = Connector::new(Config { tables, ..base.clone() }).unwrap();
        let (findings, captured) = connector.check().await;
        assert!(errors(&findings).is_empty(), "{findings:#?}");
        for finding in &findings {
            assert_eq!(finding.remedy.is_none(), finding.level == Level::Ok, "{finding:?}");
        }
        let bare = mentions(&findings, Level::Warning, "public.bare");
        assert_eq!(
            bare.remedy.as_deref(),
            Some("ALTER TABLE \"public\".\"bare\" REPLICA IDENTITY FULL;")
        );
        mentions(&findings, Level::Warning, "public.fleeting is unlogged");
        let keys: Vec<(String, bool)> =
            captured.iter().map(|table| (table.table.to_string(), table.has_key)).collect();
        assert!(keys.contains(&("public.good".to_owned(), true)), "{keys:?}");
        assert!(keys.contains(&("public.whole".to_owned(), false)), "{keys:?}");

        let said = connector.provision().await.unwrap();
        assert!(said.iter().any(|line| line.contains("public.fleeting is unlogged")), "{said:?}");
        assert!(said.iter().any(|line| line.contains("public.bare has no key")), "{said:?}");
        let (findings, _) = connector.check().await;
        mentions(&findings, Level::Ok, "holds the captured tables");
    }
}

#[tokio::test]
async fn tables_that_are_not_there_or_may_not_be_read_are_errors() {
    for server in servers() {
        let (name, client) =
            database(server, "CREATE TABLE t (id int PRIMARY KEY); CREATE SCHEMA \"S x\"; CREATE TABLE \"S x\".u (id int PRIMARY KEY)").await;
        client
            .batch_execute(&format!(
                "CREATE ROLE poor_{name} LOGIN REPLICATION PASSWORD 'p'; GRANT SELECT ON t TO poor_{name}"
            ))
            .await
            .unwrap();
        let base = config(server, &name);
        let tables = vec!["public.T".to_owned(), "public.x*".to_owned(), "public.t".to_owned()];
        let missing = Connector::new(Config { tables, ..base.clone() }).unwrap();
        let (findings, _) = missing.check().await;
        mentions(&findings, Level::Error, "`public.T` matches no table");
        mentions(&findings, Level::Warning, "`public.x*` matches no table");
        assert_eq!(missing.provision().await.unwrap_err().code, "CDC-1021");

        let poor = Connector::new(Config {
            tables: vec!["public.t".to_owned(), "\"S x\".u".to_owned()],
            username: format!("poor_{name}"),
            password: Secret::new("p"),
            snapshot_mode: SnapshotMode::Initial,
            ..base
        })
        .unwrap();
        let (findings, _) = poor.check().await;
        let unreadable = mentions(&findings, Level::Error, "may not read");
        let grant = unreadable.remedy.clone().unwrap();
        client.batch_execute(&grant).await.unwrap();
        let publication = mentions(&findings, Level::Error, "publication");
        let remedy = publication.remedy.clone().unwrap();
        let error = poor.provision().await.unwrap_err();
        assert_eq!(error.code, "CDC-1020", "{error}");

        // The remedy is what an operator types.
        let statement = remedy.split_once(": ").unwrap().1;
        client.batch_execute(statement).await.unwrap();
        let (findings, _) = poor.check().await;
        assert!(errors(&findings).is_empty(), "{findings:#?}");
        poor.provision().await.unwrap();
        poor.retire().await.unwrap();
        let left = "SELECT count(*) FROM pg_publication";
        let left: i64 = client.query_one(left, &[]).await.unwrap().get(0);
        assert_eq!(left, 1, "a publication of somebody else stays");
    }
}

#[tokio::test]
async fn partitions_that_may_not_be_read_are_an_error() {
    for server in servers() {
        let (name, client) = database(
            server,
            "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE SCHEMA \"P x\";
             CREATE TABLE \"P x\".one PARTITION OF p FOR VALUES FROM (0) TO (10);
             CREATE TABLE p_two PARTITION OF p FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (1);
             CREATE PUBLICATION pub FOR TABLE p WITH (publish_via_partition_root = true)",
        )
        .await;
        client
            .batch_execute(&format!(
                "CREATE ROLE half_{name} LOGIN REPLICATION PASSWORD 'p'; GRANT SELECT ON p, p_two TO half_{name}"
            ))
            .await
            .unwrap();
        let half = Connector::new(Config {
            username: format!("half_{name}"),
            password: Secret::new("p"),
            publication_name: "pub".to_owned(),
            snapshot_mode: SnapshotMode::Initial,
            ..config(server, &name)
        })
        .unwrap();
        let (findings, _) = half.check().await;
        let unreadable = mentions(&findings, Level::Error, "partitions \"P x\".\"one\"");
        client.batch_execute(unreadable.remedy.as_ref().unwrap()).await.unwrap();
        let (findings, _) = half.check().await;
        assert!(errors(&findings).is_empty(), "{findings:#?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_write_logical_log_is_told_what_to_change() {
    let options = PostgresOptions {
        settings: vec![("wal_level", "replica"), ("max_replication_slots", "1")],
        ..PostgresOptions::default()
    };
    let server = Postgres::start(options).unwrap();
    let (name, _client) = database(&server, "CREATE TABLE t (id int PRIMARY KEY)").await;
    let base = Config { snapshot_mode: SnapshotMode::Initial, ..config(&server, &name) };
    let connector = Connector::new(base).unwrap();
    let (findings, _) = connector.check().await;
    let level = mentions(&findings, Level::Error, "wal_level is \"replica\"");
    assert!(level.remedy.as_deref().unwrap().contains("ALTER SYSTEM SET wal_level = logical"));
    mentions(&findings, Level::Error, "1 of 1 slots are free (max_replication_slots), 2 needed");
    let error = connector.provision().await.unwrap_err();
    assert_eq!(error.code, "CDC-1011");
}

#[tokio::test]
async fn foreign_slots_and_publications_are_left_alone() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        client
            .query_one(
                "SELECT pg_create_logical_replication_slot($1::text::name, 'test_decoding')",
                &[&base.slot_name],
            )
            .await
            .unwrap();
        let connector = Connector::new(base.clone()).unwrap();
        let (findings, _) = connector.check().await;
        mentions(&findings, Level::Error, "test_decoding");
        assert_eq!(connector.provision().await.unwrap_err().code, "CDC-1015");
        let said = connector.retire().await.unwrap();
        assert!(said.iter().any(|line| line.contains("left alone")), "{said:?}");
        client
            .query_one("SELECT pg_drop_replication_slot($1::text::name)", &[&base.slot_name])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_existing_publication_is_completed() {
    for server in servers() {
        let ddl = "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)";
        let (name, client) = database(server, ddl).await;
        let base = config(server, &name);
        client
            .batch_execute(&format!(
                "CREATE PUBLICATION \"{}\" FOR TABLE a WITH (publish = 'insert')",
                base.publication_name
            ))
            .await
            .unwrap();
        let mut pipeline = Pipeline::provisioned(base).await;
        client
            .batch_execute("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); DELETE FROM a")
            .await
            .unwrap();
        let mut running = pipeline.start().await;
        running.until_changes(3).await;
        running.stop().await.unwrap();
        let said = pipeline.connector.retire().await.unwrap();
        assert!(said.iter().any(|line| line.contains("not created by cdc")), "{said:?}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_one_finding() {
    let config = Config { port: 1, host: "127.0.0.1".to_owned(), ..Config::new("shop") };
    let (findings, tables) = Connector::new(config).unwrap().check().await;
    assert_eq!((findings.len(), tables.len()), (1, 0));
    mentions(&findings, Level::Error, "cannot reach PostgreSQL at 127.0.0.1:1");
}
