//! The preflight: can a pipeline run on this cluster as configured?

use crate::{
    append::Appender,
    client::{Context, Factory, blocking},
    config::Config,
    error,
    topics::{Scope, TopicPlan},
};
use cdc_core::{Error, Finding, Result};
use rdkafka::{
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    config::FromClientConfigAndContext,
};
use std::{collections::BTreeMap, sync::Arc};

/// Topics whose settings are looked at; a cluster with more is alike in the rest.
const TOPICS_MAX: usize = 50;

/// Reads what the cluster says about itself; changes nothing. `expected` are the topics that the
/// pipeline writes to, as far as they are known.
pub async fn check(config: &Config, scope: &Scope, expected: &[String]) -> Vec<Finding> {
    match look(config, scope, expected).await {
        Ok(findings) => findings,
        Err(error) => vec![finding(&error)],
    }
}

fn finding(error: &Error) -> Finding {
    let remedy = error.remedy.clone().unwrap_or_else(|| "look into the brokers' logs".to_owned());
    Finding::error(format!("{}: {}", error.code, error.context), remedy)
}

async fn look(config: &Config, scope: &Scope, expected: &[String]) -> Result<Vec<Finding>> {
    let factory = Factory::new(config.clone())?;
    let mut findings: Vec<Finding> = (config.notices().into_iter())
        .map(|notice| Finding::warning(notice, "remove the key from the platform file"))
        .collect();
    let appender = Arc::new(Appender::start(&factory)?);
    let (brokers, topics) = cluster(&factory, &appender).await?;
    findings.push(Finding::ok(format!(
        "Kafka answers at {} (brokers: {brokers})",
        config.bootstrap_servers
    )));
    findings.extend(replication(config, brokers));
    let ours: BTreeMap<&String, u32> = topics
        .iter()
        .filter(|(t, _)| scope.holds(t))
        .map(|(topic, found)| (topic, *found))
        .collect();
    findings.extend(partitions(config, &ours));
    let own = own_topics(config, scope);
    let changes = expected.iter().map(|topic| TopicPlan::of_changes(topic, config));
    let absent: Vec<TopicPlan> =
        own.into_iter().chain(changes).filter(|plan| !topics.contains_key(&plan.name)).collect();
    findings.extend(missing(config, &absent));
    if let Some(plan) = absent.first().filter(|_| !config.auth_mechanism.takes_tokens()) {
        findings.extend(may_create(&factory, &appender, plan).await?);
    }
    if !config.auth_mechanism.takes_tokens() && !ours.is_empty() {
        let names: Vec<&str> = ours.keys().take(TOPICS_MAX).map(|topic| topic.as_str()).collect();
        findings.extend(settings(&factory, &appender, &names).await?);
    }
    Ok(findings)
}

async fn cluster(
    factory: &Factory,
    appender: &Arc<Appender>,
) -> Result<(usize, BTreeMap<String, u32>)> {
    let (appender, timeout) = (Arc::clone(appender), factory.config.request_timeout());
    blocking(move || {
        let found = appender.client().fetch_metadata(None, timeout);
        let found = found.map_err(|error| {
            error::request("ask the cluster for its topics", &error, &appender.heard)
        })?;
        let topics = found.topics().iter().map(|topic| {
            let partitions = u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX);
            (topic.name().to_owned(), partitions)
        });
        Ok((found.brokers().len(), topics.collect()))
    })
    .await
}

fn replication(config: &Config, brokers: usize) -> Option<Finding> {
    let wanted = usize::from(config.topic_replication_factor);
    if wanted > brokers {
        return Some(Finding::error(
            format!(
                "kafka.topic_replication_factor is {wanted}, and the cluster has {brokers} broker(s)"
            ),
            format!("set kafka.topic_replication_factor: {}", brokers.min(3)),
        ));
    }
    (wanted < 2 && brokers > 1).then(|| {
        Finding::warning(
            "kafka.topic_replication_factor is 1: the loss of one broker loses records",
            format!("set kafka.topic_replication_factor: {}", brokers.min(3)),
        )
    })
}

fn partitions(config: &Config, topics: &BTreeMap<&String, u32>) -> Vec<Finding> {
    let wanted = config.topic_num_partitions;
    let other = topics.iter().filter(|(_, found)| **found != wanted);
    other
        .map(|(topic, found)| {
            Finding::warning(
                format!("the topic {topic} has {found} partitions, and new topics get {wanted}"),
                format!("leave it, or set kafka.topic_num_partitions: {found}; adding partitions to a topic moves keys"),
            )
        })
        .collect()
}

/// The topics that processes of a pipeline share its state and its work by.
fn own_topics(config: &Config, scope: &Scope) -> Vec<TopicPlan> {
    match scope.pipeline.as_str() {
        "" => Vec::new(),
        pipeline => {
            vec![TopicPlan::of_state(pipeline, config), TopicPlan::of_leases(pipeline, config)]
        }
    }
}

fn missing(config: &Config, absent: &[TopicPlan]) -> Vec<Finding> {
    if absent.is_empty() {
        return Vec::new();
    }
    if !config.auth_mechanism.takes_tokens() {
        return vec![Finding::ok(format!("{} topics will be created", absent.len()))];
    }
    let found = absent.iter().map(|plan| {
        Finding::error(
            format!("the topic {} is missing, and a login by token cannot create it", plan.name),
            plan.command(&config.bootstrap_servers),
        )
    });
    found.collect()
}

/// Asks whether a topic could be created, without creating it.
async fn may_create(
    factory: &Factory,
    appender: &Arc<Appender>,
    plan: &TopicPlan,
) -> Result<Option<Finding>> {
    let admin: AdminClient<Context> =
        AdminClient::from_config_and_context(&factory.settings(), factory.context())
            .map_err(|error| error::client(&error))?;
    let timeout = factory.config.request_timeout();
    let options = AdminOptions::new().request_timeout(Some(timeout)).validate_only(true);
    let asked = admin.create_topics([&plan.request()], &options).await;
    let asked = asked.map_err(|error| {
        error::request("ask whether topics can be created", &error, &appender.heard)
    })?;
    // Dropping it waits for its thread.
    drop(tokio::task::spawn_blocking(move || drop(admin)));
    let refused = asked.into_iter().find_map(std::result::Result::err);
    Ok(refused.map(|(_, code)| {
        Finding::error(
            format!("the topic {} cannot be created: {code}", plan.name),
            format!(
                "grant Create on the cluster or on topics with kafka-acls.sh, or create it by hand:\n{}",
                plan.command(&factory.config.bootstrap_servers)
            ),
        )
    }))
}

async fn settings(
    factory: &Factory,
    appender: &Arc<Appender>,
    topics: &[&str],
) -> Result<Vec<Finding>> {
    let admin: AdminClient<Context> =
        AdminClient::from_config_and_context(&factory.settings(), factory.context())
            .map_err(|error| error::client(&error))?;
    let timeout = factory.config.request_timeout();
    let options = AdminOptions::new().request_timeout(Some(timeout));
    let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let found = admin.describe_configs(&resources, &options).await;
    let found = found
        .map_err(|error| error::request("read the settings of topics", &error, &appender.heard))?;
    // Dropping it waits for its thread.
    drop(tokio::task::spawn_blocking(move || drop(admin)));
    let mut findings = Vec::new();
    for (topic, resource) in topics.iter().zip(found) {
        match resource {
            Ok(resource) => {
                let value = |key: &str| resource.get(key).and_then(|entry| entry.value.as_deref());
                findings.extend(topic_settings(&factory.config, topic, value));
            }
            Err(code) => findings.push(Finding::warning(
                format!("the settings of the topic {topic} cannot be read: {code}"),
                "grant DescribeConfigs on the topics with kafka-acls.sh",
            )),
        }
    }
    Ok(findings)
}

fn topic_settings<'a>(
    config: &Config,
    topic: &str,
    value: impl Fn(&str) -> Option<&'a str>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let alter = |setting: String| {
        format!(
            "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name \
             {topic} --add-config {setting}",
            config.bootstrap_servers
        )
    };
    let largest = value("max.message.bytes").and_then(|value| value.parse::<u32>().ok());
    if let Some(largest) = largest.filter(|largest| *largest < config.max_record_bytes) {
        findings.push(Finding::warning(
            format!("the topic {topic} takes records up to {largest} bytes only"),
            alter(format!("max.message.bytes={}", config.max_record_bytes)),
        ));
    }
    let in_sync = value("min.insync.replicas").and_then(|value| value.parse::<u16>().ok());
    if config.topic_replication_factor > 2 && in_sync == Some(1) {
        findings.push(Finding::warning(
            format!("the topic {topic} confirms records that are on one broker only"),
            alter("min.insync.replicas=2".to_owned()),
        ));
    }
    if value("cleanup.policy").is_some_and(|policy| policy.contains("compact")) {
        findings.push(Finding::warning(
            format!("the topic {topic} is compacted: a sink that falls behind misses changes"),
            alter("cleanup.policy=delete".to_owned()),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::finding::Level;

    #[test]
    fn too_few_brokers_are_an_error_and_one_replica_a_warning() {
        let with = |factor| Config { topic_replication_factor: factor, ..Config::default() };
        assert_eq!(replication(&with(3), 2).unwrap().level, Level::Error);
        assert_eq!(replication(&with(1), 3).unwrap().level, Level::Warning);
        assert_eq!(replication(&with(1), 1), None);
        assert_eq!(replication(&with(3), 3), None);
    }

    #[test]
    fn settings_that_lose_records_are_named_with_the_command_that_helps() {
        let config = Config { topic_replication_factor: 3, ..Config::default() };
        let found = topic_settings(&config, "shop.a", |key| match key {
            "max.message.bytes" => Some("1000"),
            "min.insync.replicas" => Some("1"),
            "cleanup.policy" => Some("compact,delete"),
            _ => None,
        });
        assert_eq!(found.len(), 3);
        assert!(
            found.iter().all(|one| one.remedy.as_ref().unwrap().contains("--entity-name shop.a"))
        );
    }
}
