use crate::target::{Script, Target, context, deliver, target, user, users};
use cdc_core::{
    Finding, TableId,
    catalog::{CapturedTable, SinkConnector},
    finding::Level,
};
use serde_json::json;

fn captured(namespace: &str, name: &str, has_key: bool) -> CapturedTable {
    CapturedTable { table: TableId::new(namespace, name), has_key }
}

async fn check(
    target: &Target,
    extra: serde_json::Value,
    tables: &[CapturedTable],
) -> Vec<Finding> {
    let findings = target.connector(extra).check(&context(), tables).await;
    for finding in &findings {
        let bad = finding.level != Level::Ok;
        assert_eq!(
            bad,
            finding.remedy.as_ref().is_some_and(|text| !text.is_empty()),
            "{finding:?}"
        );
    }
    findings
}

fn worst(findings: &[Finding], what: &str) -> Level {
    let about = findings.iter().filter(|finding| finding.what.contains(what));
    about.map(|finding| finding.level).max().unwrap_or_else(|| panic!("{what}: {findings:?}"))
}

#[tokio::test]
async fn an_empty_database_is_fine_and_stays_empty() {
    let target = target().await;
    let findings = check(&target, json!({}), &[captured("sales", "orders", true)]).await;
    assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
    assert_eq!(worst(&findings, "PostgreSQL 15"), Level::Ok);
    assert_eq!(worst(&findings, "schema sales will be created"), Level::Ok);
    let created = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('cdc', 'sales')";
    assert_eq!(target.rows(created).await, ["0"]);
}

#[tokio::test]
async fn tables_without_a_key_and_tables_in_the_way_are_told() {
    let target = target().await;
    target
        .run(
            "CREATE TABLE filled (id int); INSERT INTO filled VALUES (1);
             CREATE VIEW seen AS SELECT 1 AS id;
             DROP ROLE IF EXISTS somebody; CREATE ROLE somebody LOGIN PASSWORD 'pw';
             GRANT CREATE ON SCHEMA public TO somebody",
        )
        .await;
    let tables = [
        captured("public", "filled", false),
        captured("public", "seen", true),
        captured("other", "seen", true),
    ];
    let findings = check(&target, json!({"target_schema": "public"}), &tables).await;
    assert_eq!(worst(&findings, "public.filled has no key"), Level::Warning);
    assert_eq!(worst(&findings, "public.filled on the target holds rows"), Level::Warning);
    assert_eq!(worst(&findings, "public.seen on the target is not a table"), Level::Error);
    assert_eq!(worst(&findings, "would both be written to public.seen"), Level::Error);

    let extra = json!({"username": "somebody", "password": "pw"});
    let findings = check(&target, extra.clone(), &tables[..1]).await;
    assert_eq!(worst(&findings, "belongs to another role"), Level::Error);
    let cannot = findings.iter().find(|finding| finding.what.contains("schema cdc")).unwrap();
    assert_eq!(cannot.level, Level::Error);
    // What the remedies say is enough.
    let said: Vec<_> = findings.iter().filter_map(|finding| finding.remedy.as_deref()).collect();
    for remedy in said.iter().filter_map(|remedy| remedy.strip_prefix("on the target: ")) {
        let sql = remedy.split("; or: ").next().unwrap();
        target.run(sql).await;
    }
    let findings = check(&target, extra, &tables[..1]).await;
    assert!(findings.iter().all(|finding| finding.level != Level::Error), "{findings:?}");
}

#[tokio::test]
async fn tables_of_our_own_are_no_surprise() {
    let target = target().await;
    let mut sink = target.replica().await;
    let mut script = Script::new(&users());
    deliver(&mut *sink, script.insert(user(1, "a", "x")).take()).await;
    let findings = check(&target, json!({}), &[captured("public", "users", true)]).await;
    assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
}

#[tokio::test]
async fn an_unreachable_server_is_one_finding() {
    let target = target().await;
    let findings = check(&target, json!({"port": 1}), &[]).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].what.starts_with("CDC-3001"), "{findings:?}");
}

#[tokio::test]
async fn an_events_table_of_the_wrong_shape_is_told() {
    let target = target().await;
    let extra = json!({"target_table": "public.events", "upsert": true});
    let findings = check(&target, extra.clone(), &[]).await;
    assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
    target
        .run(
            "CREATE TABLE events (event_key text, event_value text, source_topic text,
                                  source_partition int)",
        )
        .await;
    // Each remedy leads to the next finding, and then to none.
    for _ in 0..2 {
        let findings = check(&target, extra.clone(), &[]).await;
        let bad = findings.iter().find(|finding| finding.level == Level::Error).unwrap();
        target.run(bad.remedy.as_ref().unwrap()).await;
    }
    let findings = check(&target, extra, &[]).await;
    assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:?}");
}
