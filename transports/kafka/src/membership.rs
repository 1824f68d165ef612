//! One consumer's share of the partitions, as the group's coordinator gives it.

use crate::{
    client::{Factory, With, hold},
    error,
    topics::{Scope, Topics},
};
use cdc_core::{
    Result, TopicPartition,
    transport::{Membership, MembershipEvent},
};
use rdkafka::{
    TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    types::RDKafkaRespErr,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::Instant,
};

/// How often the member looks up from waiting for its coordinator.
const TICK: Duration = Duration::from_millis(100);
/// How often the cluster is asked for topics that are new.
const TOPICS_AGE: Duration = Duration::from_secs(5);
/// Events that a consumer may be behind.
const EVENTS: usize = 16;

pub(crate) type Member = BaseConsumer<With<Share>>;

/// What the coordinator's decisions are told to.
pub(crate) struct Share {
    events: mpsc::Sender<MembershipEvent>,
    runtime: Handle,
    revoke_wait: Duration,
}

impl ConsumerContext for With<Share> {
    fn rebalance(
        &self,
        member: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions = partitions(list);
        let done = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // The member reads nothing: readers do, each from its own offset.
            let done = hold(member, list);
            tracing::info!(partitions = ?names(&partitions), "pipeline.partitions_assigned");
            self.own.tell(MembershipEvent::Assigned(partitions));
            done
        } else {
            tracing::info!(
                partitions = ?names(&partitions),
                lost = member.assignment_lost(),
                "pipeline.partitions_revoked"
            );
            if !partitions.is_empty() {
                self.own.revoke(partitions);
            }
            member.incremental_unassign(list)
        };
        if let Err(error) = done {
            tracing::warn!(%error, "a rebalance did not go through");
        }
    }
}

impl Share {
    /// Whether somebody listens who took the event.
    fn tell(&self, event: MembershipEvent) -> bool {
        if self.events.is_closed() {
            return false;
        }
        let told = async { tokio::time::timeout(self.revoke_wait, self.events.send(event)).await };
        matches!(self.runtime.block_on(told), Ok(Ok(())))
    }

    /// Waits until the consumer has let go, as long as the coordinator allows.
    fn revoke(&self, partitions: Vec<TopicPartition>) {
        let (done, gone) = oneshot::channel();
        if !self.tell(MembershipEvent::Revoked { partitions, done }) {
            return;
        }
        let waited = async { tokio::time::timeout(self.revoke_wait, gone).await };
        if self.runtime.block_on(waited).is_err() {
            tracing::warn!(
                wait = ?self.revoke_wait,
                "revoked partitions were not let go in time and are given away"
            );
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|one| TopicPartition::new(one.topic(), u32::try_from(one.partition()).unwrap_or(0)))
        .collect()
}

fn names(partitions: &[TopicPartition]) -> Vec<String> {
    partitions.iter().map(ToString::to_string).collect()
}

/// Joins a group and keeps the membership until its events are dropped.
pub(crate) fn join(
    factory: &Factory,
    topics: &Arc<Topics>,
    scope: &Scope,
    group: &str,
) -> Result<(Membership, Weak<Member>)> {
    let (sender, events) = mpsc::channel(EVENTS);
    let share = Share {
        events: sender.clone(),
        runtime: Handle::current(),
        revoke_wait: factory.config.revoke_wait(),
    };
    let context = With { client: factory.context(), own: share };
    let mut settings = factory.consumer_settings();
    settings.set("group.id", group).set("partition.assignment.strategy", "cooperative-sticky");
    let member: Member =
        BaseConsumer::from_config_and_context(&settings, context).map_err(|e| error::client(&e))?;
    let member = Arc::new(member);
    let weak = Arc::downgrade(&member);
    let life = Life {
        member,
        events: sender,
        runtime: Handle::current(),
        topics: Arc::clone(topics),
        scope: scope.clone(),
        group: group.to_owned(),
    };
    std::thread::Builder::new()
        .name("cdc-kafka-group".into())
        .spawn(move || life.run())
        .map_err(|_| error::answer("start a thread", rdkafka::types::RDKafkaErrorCode::Fail))?;
    Ok((Membership { events }, weak))
}

struct Life {
    member: Arc<Member>,
    events: mpsc::Sender<MembershipEvent>,
    runtime: Handle,
    topics: Arc<Topics>,
    scope: Scope,
    group: String,
}

impl Life {
    // Leaving the group is part of dropping the member, which this thread does last.
    fn run(self) {
        let mut subscribed = BTreeSet::new();
        let mut asked: Option<(Instant, u64)> = None;
        while !self.events.is_closed() {
            // A topic of our own making is looked for at once, what others make from time to time.
            let made = self.topics.made();
            if asked.is_none_or(|(at, seen)| seen != made || at.elapsed() > TOPICS_AGE) {
                self.subscribe(&mut subscribed);
                asked = Some((Instant::now(), made));
            }
            if let Some(Err(error)) = self.member.poll(TICK) {
                tracing::warn!(group = self.group, %error, "kafka consumer group");
            }
        }
    }

    fn subscribe(&self, subscribed: &mut BTreeSet<String>) {
        let found = match self.runtime.block_on(self.topics.refresh(&self.scope)) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(group = self.group, error = %error.chain(), "topics are not known");
                return;
            }
        };
        let names: BTreeSet<String> = found.into_keys().collect();
        if names == *subscribed || names.is_empty() {
            return;
        }
        let list: Vec<&str> = names.iter().map(String::as_str).collect();
        match self.member.subscribe(&list) {
            Ok(()) => *subscribed = names,
            Err(error) => tracing::warn!(group = self.group, %error, "cannot subscribe"),
        }
    }
}
