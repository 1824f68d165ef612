//! The transport that a cluster is.

use crate::{
    append::Appender,
    client::{Factory, blocking},
    config::Config,
    error, group,
    group::Lag,
    keeper::Keeper,
    lease,
    membership::{self, Member},
    murmur2,
    newest::Prober,
    read::{IncomingBatch, Pool, Reader},
    record::Outgoing,
    topics::{Scope, TopicPlan, Topics},
    transaction::Transactions,
};
use async_trait::async_trait;
use cdc_core::{
    LogId, Offset, PartitionReader, Position, Record, Result, TopicPartition, Transport,
    checkpoint::Places,
    store::{KeptPlace, PlaceStore},
    transport::{AppendReceipt, Condition, Lease, Membership, Ordering, Writing},
};
use rdkafka::types::RDKafkaErrorCode as Code;
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::watch;

/// The topics of a cluster as a log: many partitions, order within each.
pub struct KafkaTransport {
    id: LogId,
    scope: Scope,
    factory: Factory,
    appender: Arc<Appender>,
    topics: Arc<Topics>,
    prober: Arc<Prober>,
    pool: Pool,
    transactions: Option<Transactions>,
    members: Mutex<BTreeMap<String, Weak<Member>>>,
    keeper: Option<Keeper>,
}

impl std::fmt::Debug for KafkaTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaTransport").field("id", &self.id).field("scope", &self.scope).finish()
    }
}

impl KafkaTransport {
    /// Connects to the cluster and looks the topics of the scope up.
    pub async fn open(config: Config, scope: Scope) -> Result<Self> {
        Self::open_with(config, scope, None).await
    }

    /// The same with records that go in transactions.
    pub async fn open_transactional(config: Config, scope: Scope) -> Result<Self> {
        Self::open_with(config, scope, Some(Transactions::default())).await
    }

    async fn open_with(
        config: Config,
        scope: Scope,
        transactions: Option<Transactions>,
    ) -> Result<Self> {
        let factory = Factory::new(config)?;
        stay_apart(&factory.config, &scope)?;
        for notice in factory.config.notices() {
            tracing::warn!(notice, "a key of the kafka block has no effect");
        }
        let appender = Arc::new(Appender::start(&factory)?);
        let topics = Arc::new(Topics::new(factory.clone(), Arc::clone(&appender)));
        topics.refresh(&scope).await?;
        let cluster = cluster_id(&appender, &factory).await?;
        let prober = Arc::new(Prober::new(&factory, Arc::clone(&appender))?);
        let pool = Pool::new(factory.clone());
        Ok(Self {
            id: log_id(&cluster),
            scope,
            factory,
            appender,
            topics,
            prober,
            pool,
            transactions,
            members: Mutex::default(),
            keeper: None,
        })
    }

    /// Keeps the places of groups in `store` too, from where they can be had when Kafka has lost a group.
    #[must_use]
    pub fn keeping(mut self, store: Arc<dyn PlaceStore>) -> Self {
        self.keeper = Some(Keeper::start(store, self.id));
        self
    }

    /// Saves the places that are on their way to where they are kept.
    pub async fn settle(&self) -> Result<()> {
        match &self.keeper {
            Some(keeper) => keeper.save().await,
            None => Ok(()),
        }
    }

    /// The places of a group that are kept beside Kafka; `None` where none are kept.
    pub async fn kept_places(
        &self,
        group: &str,
    ) -> Result<Option<BTreeMap<TopicPartition, KeptPlace>>> {
        let Some(keeper) = &self.keeper else { return Ok(None) };
        keeper.store().load(self.id, &self.group(group)).await.map(Some)
    }

    /// Forgets the places of a group that are kept beside Kafka, all or those of one topic. Says how many
    /// there were.
    pub async fn forget_places(&self, group: &str, topic: Option<&str>) -> Result<u64> {
        match &self.keeper {
            Some(keeper) => keeper.store().forget(&self.group(group), topic).await,
            None => Ok(0),
        }
    }

    /// How many members a group has now.
    pub async fn members(&self, group: &str) -> Result<usize> {
        let (factory, appender) = (self.factory.clone(), Arc::clone(&self.appender));
        let name = self.group(group);
        blocking(move || group::members(&factory, &appender, &name)).await
    }

    /// Sets the offsets of a group that has no members.
    pub async fn restore(&self, group: &str, places: &Places) -> Result<()> {
        let members = self.members(group).await?;
        if members > 0 {
            return Err(error::group_in_use(&self.group(group), members));
        }
        self.commit(group, places).await
    }

    /// Makes the topics that are not there yet, each as its plan says. Says what it did, a line each.
    pub async fn provision(&self, plans: &[TopicPlan]) -> Result<Vec<String>> {
        let mut done = Vec::new();
        for plan in plans {
            if self.topics.ensure(plan).await? {
                done.push(format!(
                    "created the topic {} with {} partitions and {} replicas",
                    plan.name, plan.partitions, plan.replication
                ));
            }
        }
        Ok(done)
    }

    /// Deletes topics with everything in them; those that are not there are left out. Says what it did, a
    /// line each.
    pub async fn remove(&self, topics: &[String]) -> Result<Vec<String>> {
        let removed = self.topics.remove(topics).await?;
        Ok(removed.into_iter().map(|topic| format!("deleted the topic {topic}")).collect())
    }

    /// The plan of a topic for changes.
    #[must_use]
    pub fn plan(&self, topic: &str) -> TopicPlan {
        TopicPlan::of_changes(topic, &self.factory.config)
    }

    /// The topics of the pipeline with their numbers of partitions.
    pub async fn topics(&self) -> Result<BTreeMap<String, u32>> {
        self.topics.refresh(&self.scope).await
    }

    /// [`append`](Transport::append) for records that may have headers or no value.
    pub async fn send(&self, to: &TopicPartition, records: Vec<Outgoing>) -> Result<AppendReceipt> {
        self.topics.place(to).await?;
        let Some(transactions) = &self.transactions else {
            return self.appender.append(to, records).await;
        };
        let writer = transactions.writer().await.ok_or_else(|| error::not_begun(to))?;
        writer.append(to, records).await
    }

    /// Opens a reader that hands out headers and tombstones too, and records of other programs.
    pub async fn records(&self, of: &TopicPartition, from: Offset) -> Result<RecordReader> {
        Ok(RecordReader(self.reader(of, from).await?))
    }

    async fn reader(&self, of: &TopicPartition, from: Offset) -> Result<Reader> {
        self.topics.verify(of).await?;
        self.pool.open(of, from, &self.prober).await
    }

    /// Offset of the oldest record that is still there.
    pub async fn start(&self, of: &TopicPartition) -> Result<Offset> {
        let (prober, of) = (Arc::clone(&self.prober), of.clone());
        blocking(move || Ok(Offset(prober.bounds(&of)?.start))).await
    }

    /// How far a group is behind in every partition of the pipeline.
    pub async fn lag(&self, group: &str) -> Result<Vec<Lag>> {
        let all = self.partitions().await?;
        let committed = self.committed(group, &all).await?;
        let prober = Arc::clone(&self.prober);
        blocking(move || {
            all.into_iter()
                .map(|partition| {
                    let bounds = prober.bounds(&partition)?;
                    let committed = committed.get(&partition).map(|place| place.offset);
                    let from = committed.map_or(bounds.start, |offset| offset.0.max(bounds.start));
                    let end = match from < bounds.end {
                        true => prober.end(&partition)?,
                        false => Offset(bounds.end),
                    };
                    let records = end.0.saturating_sub(from);
                    Ok(Lag { partition, committed, end, records })
                })
                .collect()
        })
        .await
    }

    /// The name on the cluster of a group of this pipeline.
    fn group(&self, name: &str) -> String {
        match self.scope.pipeline.as_str() {
            "" => self.factory.config.group_name(name),
            pipeline => self.factory.config.group_name(&format!("{pipeline}.{name}")),
        }
    }

    fn leases(&self) -> TopicPlan {
        TopicPlan::of_leases(&self.scope.pipeline, &self.factory.config)
    }

    fn member(&self, name: &str) -> Option<Arc<Member>> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.get(name).and_then(Weak::upgrade)
    }
}

/// Reads one partition in order, with everything that Kafka keeps of a record.
pub struct RecordReader(Reader);

impl RecordReader {
    /// Waits for at least one record; see [`PartitionReader::next`].
    pub async fn next(&mut self, bytes_max: usize) -> Result<IncomingBatch> {
        self.0.next_records(bytes_max).await
    }
}

/// The state of a pipeline must not look like one of its tables.
fn stay_apart(config: &Config, scope: &Scope) -> Result<()> {
    let own = [config.state_topic(&scope.pipeline), config.lease_topic(&scope.pipeline)];
    match own.iter().find(|own| scope.holds(own)) {
        None => Ok(()),
        Some(own) => Err(error::invalid_config(
            "group_id",
            &format!(
                "makes {own} a topic of the pipeline's tables: it must not be its `topic_prefix`"
            ),
        )),
    }
}

async fn cluster_id(appender: &Arc<Appender>, factory: &Factory) -> Result<String> {
    let (appender, timeout) = (Arc::clone(appender), factory.config.request_timeout());
    blocking(move || {
        let id = appender.client().fetch_cluster_id(timeout);
        id.ok_or_else(|| error::answer("learn the cluster's id", Code::OperationTimedOut))
    })
    .await
}

// Most ids are the text of 16 bytes, but not those of every vendor.
fn log_id(cluster: &str) -> LogId {
    let digest = Sha256::digest(cluster.as_bytes());
    let mut bytes = [0; 16];
    for (byte, from) in bytes.iter_mut().zip(digest) {
        *byte = from;
    }
    LogId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

#[async_trait]
impl Transport for KafkaTransport {
    fn log(&self) -> LogId {
        self.id
    }

    fn ordering(&self) -> Ordering {
        Ordering::PerPartition
    }

    fn partition_of(&self, topic: &str, key: &[u8]) -> TopicPartition {
        let assumed = self.factory.config.topic_num_partitions;
        let partitions = self.topics.known(topic).unwrap_or(assumed);
        TopicPartition::new(topic, murmur2::partition(key, partitions))
    }

    async fn append(&self, to: &TopicPartition, records: Vec<Record>) -> Result<AppendReceipt> {
        self.send(to, records.into_iter().map(Outgoing::from).collect()).await
    }

    async fn begin(&self, writer: &str) -> Result<Writing> {
        let (plan, id) = (self.leases(), self.group(writer));
        self.topics.ensure(&plan).await?;
        let at = TopicPartition::new(plan.name, 0);
        let Some(transactions) = &self.transactions else {
            // What is written from now on has no place in its step.
            let factory = self.factory.clone();
            blocking(move || group::forget(&factory, &id, &at)).await?;
            return Ok(Writing::default());
        };
        let (deposed, place) = transactions.begin(&self.factory, &id, at).await?;
        Ok(Writing { in_transactions: true, place, deposed })
    }

    async fn seal(&self, place: Position) -> Result<()> {
        let Some(transactions) = &self.transactions else { return Ok(()) };
        match transactions.writer().await {
            Some(writer) => writer.seal(place).await,
            None => Ok(()),
        }
    }

    async fn newest(&self, of: &TopicPartition) -> Result<Option<Position>> {
        if self.topics.look_up(&of.topic).await?.is_none() {
            return Ok(None);
        }
        let (prober, of) = (Arc::clone(&self.prober), of.clone());
        blocking(move || Ok(prober.newest(&of)?.position)).await
    }

    async fn join(&self, group: &str) -> Result<Membership> {
        let name = self.group(group);
        let (membership, member) =
            membership::join(&self.factory, &self.topics, &self.scope, &name)?;
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.insert(name, member);
        Ok(membership)
    }

    async fn lead(&self, name: &str) -> Result<Lease> {
        let plan = self.leases();
        self.topics.ensure(&plan).await?;
        lease::lead(&self.factory, TopicPartition::new(plan.name, 0), self.group(name)).await
    }

    async fn partitions(&self) -> Result<Vec<TopicPartition>> {
        let topics = self.topics().await?;
        let of = |(topic, count): (&String, &u32)| {
            let topic: Arc<str> = topic.as_str().into();
            (0..*count).map(move |one| TopicPartition::new(Arc::clone(&topic), one)).collect()
        };
        let all: Vec<Vec<TopicPartition>> = topics.iter().map(of).collect();
        Ok(all.concat())
    }

    async fn first(&self, of: &TopicPartition) -> Result<Offset> {
        self.start(of).await
    }

    async fn commit(&self, group: &str, places: &Places) -> Result<()> {
        if places.is_empty() {
            return Ok(());
        }
        let name = self.group(group);
        let (factory, member) = (self.factory.clone(), self.member(&name));
        let (group, told) = (name.clone(), places.clone());
        blocking(move || group::commit(&factory, &group, member, &told)).await?;
        if let Some(keeper) = &self.keeper {
            keeper.note(&name, places);
        }
        Ok(())
    }

    async fn kept(&self, group: &str, of: &[TopicPartition]) -> Result<Places> {
        let kept = self.kept_places(group).await?.unwrap_or_default();
        let wanted = |at: &TopicPartition| Some((at.clone(), kept.get(at)?.place));
        Ok(of.iter().filter_map(wanted).collect())
    }

    async fn committed(&self, group: &str, of: &[TopicPartition]) -> Result<Places> {
        let name = self.group(group);
        let (factory, of) = (self.factory.clone(), of.to_vec());
        blocking(move || group::committed(&factory, &name, &of)).await
    }

    async fn read(&self, of: &TopicPartition, from: Offset) -> Result<Box<dyn PartitionReader>> {
        Ok(Box::new(self.reader(of, from).await?.of_others(self.scope.foreign)))
    }

    /// Does nothing: how long records stay is a setting of the topic, and others may read it.
    async fn release(&self, _of: &TopicPartition, _before: Offset) -> Result<()> {
        Ok(())
    }

    async fn end(&self, of: &TopicPartition) -> Result<Offset> {
        if self.topics.look_up(&of.topic).await?.is_none() {
            return Ok(Offset(0));
        }
        let (prober, at) = (Arc::clone(&self.prober), of.clone());
        let found = blocking(move || prober.end(&at)).await?;
        let committed = self.transactions.as_ref().and_then(|transactions| transactions.end(of));
        Ok(found.max(committed.unwrap_or_default()))
    }

    fn condition(&self) -> watch::Receiver<Condition> {
        match &self.transactions {
            Some(transactions) => transactions.condition(),
            None => self.appender.condition(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_does_not_read_its_own_state() {
        let config = Config { group_id: "shop".to_owned(), ..Config::default() };
        let scope = |prefix: &str| Scope {
            foreign: false,
            prefix: prefix.to_owned(),
            pipeline: "orders".to_owned(),
            ..Scope::default()
        };
        stay_apart(&config, &scope("cdc")).unwrap();
        let refused = stay_apart(&config, &scope("shop")).unwrap_err();
        assert!(refused.context.contains("shop.orders.state"), "{refused}");
    }
}
