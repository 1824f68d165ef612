use crate::{config, open, scope};
use cdc_core::finding::{Finding, Level};
use cdc_testkit::services::Kafka;
use cdc_transport_kafka::{Config, check};

fn kafka() -> Option<&'static Kafka> {
    Kafka::shared_or_skip("transport-kafka").unwrap()
}

fn levels(findings: &[Finding]) -> Vec<Level> {
    findings.iter().map(|finding| finding.level).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_fits_is_fine_and_stays_as_it_is() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("check");
    let expected = vec![format!("{prefix}.a"), format!("{prefix}.b")];
    let findings = check(&config(kafka), &scope(&prefix), &expected).await;
    assert_eq!(levels(&findings), [Level::Ok, Level::Ok], "{findings:?}");
    assert_eq!(findings[0].what, format!("Kafka answers at {} (brokers: 1)", kafka.bootstrap()));
    assert_eq!(findings[1].what, "2 topics will be created");
    let log = open(config(kafka), &prefix).await;
    assert!(log.topics().await.unwrap().is_empty(), "a check creates nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_lose_records_is_found_with_its_remedy() {
    let Some(kafka) = kafka() else { return };
    let prefix = kafka.name("check");
    let log = open(config(kafka), &prefix).await;
    let mut plan = log.plan(&format!("{prefix}.a"));
    plan.partitions = 2;
    plan.configs.insert("cleanup.policy".to_owned(), "compact".to_owned());
    plan.configs.insert("max.message.bytes".to_owned(), "1000".to_owned());
    log.provision(&[plan]).await.unwrap();
    let config = Config { topic_replication_factor: 3, acks: "1".to_owned(), ..config(kafka) };
    let findings = check(&config, &scope(&prefix), &[]).await;
    let all: String =
        findings.iter().map(|one| format!("{:?} {}\n", one.level, one.what)).collect();
    for expected in [
        "Warning kafka.acks is always all",
        "Error kafka.topic_replication_factor is 3, and the cluster has 1 broker(s)",
        "has 2 partitions, and new topics get 1",
        "takes records up to 1000 bytes only",
        "is compacted",
        "confirms records that are on one broker only",
    ] {
        assert!(all.contains(expected), "{expected} is not in\n{all}");
    }
    let remedies = findings.iter().filter(|one| one.level != Level::Ok);
    assert!(remedies.map(|one| one.remedy.as_ref()).all(|remedy| remedy.is_some()));
}
