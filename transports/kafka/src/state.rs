//! The state that several processes of one pipeline share, in one compacted topic of the cluster.
//!
//! ```text
//! epochs, progress, checkpoints ─┐                              ┌─▶ view of this process
//! schemas, dead letters ─────────┴─▶ state topic, 1 partition ──┴─▶ view of another: the same
//!                                    one order for everybody
//! ```
//!
//! Every process reads the topic from its start and keeps what it says in memory. A write is done when the
//! process has read it back: then it knows what others had written before it. Between its own writes a
//! process may be a moment behind the others; whoever has begun an epoch knows all that was saved under
//! the ones before. No key is written twice,
//! so a late record of a process that was thought dead replaces nothing, and compaction removes only what
//! was taken back.

mod checkpoints;
mod copies;
mod dead_letters;
mod journal;
mod key;
mod letters;
mod payloads;
mod schemas;
mod steps;
mod tail;
mod value;
mod view;

#[cfg(test)]
mod compaction;

pub use copies::DeadLetterTopics;

use crate::{
    append::Appender,
    client::Factory,
    config::Config,
    error,
    newest::Prober,
    read::Pool,
    topics::{TopicPlan, Topics},
};
use cdc_core::{Error, Result, TopicPartition};
use copies::Copies;
use journal::Journal;
use payloads::Payloads;
use std::sync::Arc;

/// A write that loses against other processes is written anew so many times.
const TRIES_MAX: u32 = 1_000;

/// What a [`State`] does beside keeping the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateOptions {
    /// So many dead letters may wait at once, of all sinks together.
    pub dead_letters_max: usize,
    /// Where copies of dead letters go for other consumers; `None` turns them off.
    pub dead_letter_topics: Option<DeadLetterTopics>,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self { dead_letters_max: 100_000, dead_letter_topics: None }
    }
}

/// The shared state of one pipeline.
pub struct State {
    journal: Journal,
    payloads: Payloads,
    copies: Option<Copies>,
    options: StateOptions,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("of", self.journal.of())
            .field("options", &self.options)
            .finish()
    }
}

impl State {
    /// Reads the state of a pipeline, and makes its topic where it is missing.
    pub async fn open(config: Config, pipeline_id: &str, options: StateOptions) -> Result<Self> {
        // A caller waits for each write.
        let factory = Factory::new(Config { linger_ms: 0, ..config })?;
        let appender = Arc::new(Appender::start(&factory)?);
        let topics = Topics::new(factory.clone(), Arc::clone(&appender));
        let plan = TopicPlan::of_state(pipeline_id, &factory.config);
        topics.ensure(&plan).await?;
        verify(&topics, &plan, &factory.config).await?;
        let of = TopicPartition::new(plan.name, 0);
        let prober = Arc::new(Prober::new(&factory, Arc::clone(&appender))?);
        let timeout = factory.config.request_timeout();
        let payloads = Payloads::new(of.clone(), Pool::new(factory.clone()), prober, timeout);
        let journal = Journal::open(&factory, of, appender).await?;
        let copies = options.dead_letter_topics.clone().map(|to| Copies::new(to, factory));
        Ok(Self { journal, payloads, copies, options })
    }

    fn contended(&self) -> Error {
        error::contended(&self.journal.of().topic)
    }
}

/// Refuses a topic that would lose records, or has no one order.
async fn verify(topics: &Topics, plan: &TopicPlan, config: &Config) -> Result<()> {
    let bootstrap = &config.bootstrap_servers;
    let partitions = topics.look_up(&plan.name).await?.unwrap_or_default();
    if partitions != 1 {
        return Err(error::state_topic(
            &plan.name,
            &format!("it has {partitions} partitions and must have one"),
            &format!(
                "delete the topic if the pipeline has never run (kafka-topics.sh --bootstrap-server \
                 {bootstrap} --delete --topic {}), or set another `kafka.group_id`",
                plan.name
            ),
        ));
    }
    // The client library cannot ask with a login by token.
    if config.auth_mechanism.takes_tokens() {
        return Ok(());
    }
    let policy = topics.setting(&plan.name, "cleanup.policy").await?;
    match policy.as_deref() {
        Some("compact") => Ok(()),
        other => Err(error::state_topic(
            &plan.name,
            &format!("its cleanup.policy is {} and must be compact", other.unwrap_or("unknown")),
            &format!(
                "kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics \
                 --entity-name {} --add-config cleanup.policy=compact",
                plan.name
            ),
        )),
    }
}
