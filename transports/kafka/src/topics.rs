//! The pipeline's topics: which they are, how many partitions they have, and making them.

use crate::{
    append::Appender,
    client::{Context, Factory, blocking},
    config::Config,
    error,
};
use cdc_core::{Result, TopicPartition};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication},
    config::FromClientConfigAndContext,
    types::RDKafkaErrorCode as Code,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long a new topic may take until every partition has a leader.
const LEADERS_WAIT_MAX: Duration = Duration::from_secs(30);
/// The smallest segment of a state topic.
const STATE_SEGMENT: u64 = 32 << 20;
/// How often that is looked at.
const LEADERS_POLL: Duration = Duration::from_millis(50);

/// Which topics of the cluster are the pipeline's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Every topic whose name begins with this and a dot.
    pub prefix: String,
    /// Except those that end with a dot and one of these: the topics of dead letters.
    pub without_suffixes: Vec<String>,
    /// And these.
    pub also: Vec<String>,
    /// The pipeline's id, which its groups and leases are named after; empty where they are not shared
    /// with other pipelines.
    pub pipeline: String,
    /// Does another program write the topics? Then the position of a record is its offset.
    pub foreign: bool,
}

impl Scope {
    /// Is it a topic that carries changes of this pipeline?
    #[must_use]
    pub fn holds(&self, topic: &str) -> bool {
        if self.also.iter().any(|also| also == topic) {
            return true;
        }
        let below = topic.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('.'));
        let ends = |suffix: &String| {
            topic.strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'))
        };
        !self.prefix.is_empty() && below.is_some() && !self.without_suffixes.iter().any(ends)
    }
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: u32,
    /// How many replicas.
    pub replication: u16,
    /// Settings by Kafka's names.
    pub configs: BTreeMap<String, String>,
}

impl TopicPlan {
    /// A topic for changes, as the configuration has it.
    #[must_use]
    pub fn of_changes(name: &str, config: &Config) -> Self {
        let mut configs = config.topic_configs.clone();
        configs
            .entry("max.message.bytes".to_owned())
            .or_insert_with(|| config.max_record_bytes.saturating_add(1 << 16).to_string());
        Self {
            name: name.to_owned(),
            partitions: config.topic_num_partitions,
            replication: config.topic_replication_factor,
            configs,
        }
    }

    /// What the cluster is asked for.
    pub(crate) fn request(&self) -> NewTopic<'_> {
        let partitions = i32::try_from(self.partitions).unwrap_or(i32::MAX);
        let replicas = TopicReplication::Fixed(i32::from(self.replication));
        let mut topic = NewTopic::new(&self.name, partitions, replicas);
        for (key, value) in &self.configs {
            topic = topic.set(key, value);
        }
        topic
    }

    /// The topic of a pipeline's state. What the configuration says of new topics is for changes; of that,
    /// only what concerns safety and size holds here too.
    #[must_use]
    pub fn of_state(pipeline_id: &str, config: &Config) -> Self {
        let mut plan = Self::of_changes(&config.state_topic(pipeline_id), config);
        plan.partitions = 1;
        plan.configs
            .retain(|key, _| matches!(key.as_str(), "max.message.bytes" | "min.insync.replicas"));
        let largest = plan.configs.get("max.message.bytes").and_then(|bytes| bytes.parse().ok());
        // Compaction leaves the newest segment alone, and each start reads the whole topic.
        let segment = largest.unwrap_or(0_u64).saturating_mul(2).clamp(STATE_SEGMENT, 1 << 30);
        for (key, value) in [
            ("cleanup.policy", "compact".to_owned()),
            ("segment.bytes", segment.to_string()),
            ("segment.ms", "3600000".to_owned()),
            ("min.cleanable.dirty.ratio", "0.1".to_owned()),
        ] {
            plan.configs.insert(key.to_owned(), value);
        }
        plan
    }

    /// The topic whose one partition the holders of a pipeline's leases are assigned.
    #[must_use]
    pub fn of_leases(pipeline_id: &str, config: &Config) -> Self {
        let name = config.lease_topic(pipeline_id);
        Self {
            name,
            partitions: 1,
            replication: config.topic_replication_factor,
            configs: BTreeMap::new(),
        }
    }

    /// What an operator would type to make it.
    #[must_use]
    pub fn command(&self, bootstrap: &str) -> String {
        let configs: String =
            self.configs.iter().map(|(key, value)| format!(" --config {key}={value}")).collect();
        format!(
            "kafka-topics.sh --bootstrap-server {bootstrap} --create --topic {} --partitions {} \
             --replication-factor {}{configs}",
            self.name, self.partitions, self.replication
        )
    }
}

/// What is known of the cluster's topics.
pub(crate) struct Topics {
    factory: Factory,
    appender: Arc<Appender>,
    partitions: Mutex<BTreeMap<Arc<str>, u32>>,
    /// One at a time makes topics.
    making: tokio::sync::Mutex<()>,
    /// How many were made by this process.
    made: AtomicU64,
}

impl Topics {
    pub(crate) fn new(factory: Factory, appender: Arc<Appender>) -> Self {
        Self {
            factory,
            appender,
            partitions: Mutex::default(),
            making: tokio::sync::Mutex::new(()),
            made: AtomicU64::new(0),
        }
    }

    /// Grows with each topic that this process has made and that can be used.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    pub(crate) fn known(&self, topic: &str) -> Option<u32> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied()
    }

    fn remember(&self, topic: &str, partitions: u32) {
        let mut known = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        // Keys stay where they are for as long as this transport is open.
        known.entry(Arc::from(topic)).or_insert(partitions);
    }

    /// Looks the cluster's topics of a scope up.
    pub(crate) async fn refresh(&self, scope: &Scope) -> Result<BTreeMap<String, u32>> {
        let found = self.metadata(None).await?;
        let ours: BTreeMap<_, _> = found
            .into_iter()
            .filter(|(topic, _)| scope.holds(topic))
            .map(|(topic, found)| (topic, found.partitions))
            .collect();
        for (topic, partitions) in &ours {
            self.remember(topic, *partitions);
        }
        Ok(ours)
    }

    /// The number of partitions; `None` where there is no such topic.
    pub(crate) async fn look_up(&self, topic: &str) -> Result<Option<u32>> {
        if let Some(known) = self.known(topic) {
            return Ok(Some(known));
        }
        let found = self.metadata(Some(topic.to_owned())).await?.remove(topic);
        let partitions = found.map(|found| found.partitions);
        if let Some(partitions) = partitions {
            self.remember(topic, partitions);
        }
        Ok(partitions)
    }

    /// Fails where the partition is not there.
    pub(crate) async fn verify(&self, of: &TopicPartition) -> Result<()> {
        match self.look_up(&of.topic).await? {
            Some(partitions) if of.partition < partitions => Ok(()),
            _ => Err(error::unknown_partition(of)),
        }
    }

    /// Makes the topic if it is not there; says whether it did.
    pub(crate) async fn ensure(&self, plan: &TopicPlan) -> Result<bool> {
        let _alone = self.making.lock().await;
        if self.look_up(&plan.name).await?.is_some() {
            return Ok(false);
        }
        let made = self.create(plan).await?;
        self.await_leaders(&plan.name).await?;
        self.made.fetch_add(1, Ordering::Release);
        Ok(made)
    }

    /// Makes the topic of a partition if it is not there.
    pub(crate) async fn place(&self, to: &TopicPartition) -> Result<()> {
        let assumed = self.factory.config.topic_num_partitions;
        let found = match self.known(&to.topic) {
            Some(found) => found,
            None => {
                self.ensure(&TopicPlan::of_changes(&to.topic, &self.factory.config)).await?;
                let found = self.known(&to.topic).unwrap_or(assumed);
                // The partition was chosen before anybody knew how many there are.
                if found != assumed {
                    return Err(error::other_partitions(&to.topic, assumed, found));
                }
                found
            }
        };
        if to.partition < found { Ok(()) } else { Err(error::unknown_partition(to)) }
    }

    /// Deletes topics; answers with those that were there.
    pub(crate) async fn remove(&self, topics: &[String]) -> Result<Vec<String>> {
        let admin = self.admin()?;
        let timeout = self.factory.config.request_timeout();
        let options =
            AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let results = admin.delete_topics(&names, &options).await.map_err(|error| {
            error::request("delete the pipeline's topics", &error, &self.appender.heard)
        })?;
        // Dropping it waits for its thread.
        drop(tokio::task::spawn_blocking(move || drop(admin)));
        let mut removed = Vec::new();
        for result in results {
            match result {
                Ok(topic) => removed.push(topic),
                Err((_, Code::UnknownTopicOrPartition | Code::UnknownTopic)) => {}
                Err((topic, code)) => {
                    return Err(error::answer(&format!("delete the topic {topic}"), code));
                }
            }
        }
        Ok(removed)
    }

    async fn create(&self, plan: &TopicPlan) -> Result<bool> {
        let bootstrap = &self.factory.config.bootstrap_servers;
        let refuse = |why: &str| error::provision(&plan.name, why, &plan.command(bootstrap));
        if self.factory.config.auth_mechanism.takes_tokens() {
            return Err(refuse("with a login by token topics must be there before"));
        }
        let admin = self.admin()?;
        let timeout = self.factory.config.request_timeout();
        let options =
            AdminOptions::new().request_timeout(Some(timeout)).operation_timeout(Some(timeout));
        let doing = format!("create the topic {}", plan.name);
        let results = admin
            .create_topics([&plan.request()], &options)
            .await
            .map_err(|error| error::request(&doing, &error, &self.appender.heard))?;
        // Dropping it waits for its thread.
        drop(tokio::task::spawn_blocking(move || drop(admin)));
        match results.into_iter().next() {
            None | Some(Ok(_)) => Ok(true),
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(match code {
                Code::InvalidReplicationFactor
                | Code::InvalidPartitions
                | Code::InvalidConfig
                | Code::InvalidTopic
                | Code::PolicyViolation => refuse(&code.to_string()),
                other => error::answer(&doing, other),
            }),
        }
    }

    fn admin(&self) -> Result<AdminClient<Context>> {
        AdminClient::from_config_and_context(&self.factory.settings(), self.factory.context())
            .map_err(|error| error::client(&error))
    }

    /// One setting of a topic, by Kafka's name.
    pub(crate) async fn setting(&self, topic: &str, key: &str) -> Result<Option<String>> {
        let admin = self.admin()?;
        let options =
            AdminOptions::new().request_timeout(Some(self.factory.config.request_timeout()));
        let doing = format!("read the settings of the topic {topic}");
        let found = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
        // Dropping it waits for its thread.
        drop(tokio::task::spawn_blocking(move || drop(admin)));
        let found = found.map_err(|error| error::request(&doing, &error, &self.appender.heard))?;
        let resource = found.into_iter().next().transpose();
        let resource = resource.map_err(|code| error::answer(&doing, code))?;
        Ok(resource.and_then(|resource| resource.get(key).and_then(|entry| entry.value.clone())))
    }

    async fn await_leaders(&self, topic: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + LEADERS_WAIT_MAX;
        loop {
            let found = self.metadata(Some(topic.to_owned())).await?.remove(topic);
            if let Some(Found { partitions, led: true }) = found {
                self.remember(topic, partitions);
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                let doing = format!("use the new topic {topic}");
                return Err(error::answer(&doing, Code::LeaderNotAvailable));
            }
            tokio::time::sleep(LEADERS_POLL).await;
        }
    }

    async fn metadata(&self, topic: Option<String>) -> Result<BTreeMap<String, Found>> {
        let appender = Arc::clone(&self.appender);
        let timeout = self.factory.config.request_timeout();
        blocking(move || {
            let found = appender.client().fetch_metadata(topic.as_deref(), timeout);
            let found = found.map_err(|error| {
                let doing = match &topic {
                    Some(topic) => format!("look up the topic {topic}"),
                    None => "look up the topics".to_owned(),
                };
                error::request(&doing, &error, &appender.heard)
            })?;
            let there = found.topics().iter().filter(|topic| !topic.partitions().is_empty());
            Ok(there
                .map(|topic| {
                    let partitions = u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX);
                    let led = topic.partitions().iter().all(|partition| partition.leader() >= 0);
                    (topic.name().to_owned(), Found { partitions, led })
                })
                .collect())
        })
        .await
    }
}

/// A topic as the cluster has it.
struct Found {
    partitions: u32,
    /// Has every partition a leader now?
    led: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_holds_its_tables_and_not_its_dead_letters() {
        let scope = Scope {
            foreign: false,
            prefix: "shop".to_owned(),
            without_suffixes: vec!["dlq".to_owned()],
            also: vec!["__debezium-heartbeat.shop".to_owned()],
            pipeline: "orders".to_owned(),
        };
        for topic in ["shop.public.orders", "shop.x", "__debezium-heartbeat.shop", "shop.mydlq"] {
            assert!(scope.holds(topic), "{topic}");
        }
        for topic in ["shop", "shops.public.orders", "shop.public.orders.dlq", "other", ""] {
            assert!(!scope.holds(topic), "{topic}");
        }
        assert!(!Scope::default().holds(".x"));
    }

    #[test]
    fn the_command_makes_what_the_plan_says() {
        let plan = TopicPlan::of_changes("shop.a", &Config::default());
        assert_eq!(
            plan.command("b:9092"),
            "kafka-topics.sh --bootstrap-server b:9092 --create --topic shop.a --partitions 1 \
             --replication-factor 1 --config max.message.bytes=16842752"
        );
    }
}
