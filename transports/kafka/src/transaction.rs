//! Records in transactions: all of them become visible at once, or none.

use crate::{
    append::Appender,
    client::{Factory, blocking},
    error, group,
    record::Outgoing,
    topics::Topics,
};
use cdc_core::{Error, Offset, Place, Result, TopicPartition};
use rdkafka::{
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    producer::Producer,
    types::RDKafkaErrorCode as Code,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What one transaction holds.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Records for each partition, in order.
    pub records: BTreeMap<TopicPartition, Vec<Outgoing>>,
    /// How far groups have got with it, by their names without the configured first part.
    pub offsets: BTreeMap<String, BTreeMap<TopicPartition, Place>>,
}

/// A producer that is the only one with its transactional id: whoever begins with the same id later
/// shuts this one out.
pub struct Transactions(Arc<Session>);

struct Session {
    id: Arc<str>,
    factory: Factory,
    appender: Arc<Appender>,
    topics: Arc<Topics>,
    /// Transactions of one producer come one after the other.
    stand: Arc<tokio::sync::Mutex<Stand>>,
    /// Where the last commits ended. Brokers confirm a commit a moment before they show its records.
    ends: Mutex<BTreeMap<TopicPartition, Offset>>,
}

/// How the producer stands.
enum Stand {
    Ready,
    /// Another producer has begun.
    ShutOut(String),
    /// What became of a transaction is not known; the next producer settles it.
    Broken(String),
}

impl Transactions {
    pub(crate) async fn begin(
        factory: &Factory,
        appender: &Arc<Appender>,
        topics: &Arc<Topics>,
        id: &str,
    ) -> Result<Self> {
        let (producer, name, timeout) = (Arc::clone(appender), id.to_owned(), wait(factory));
        blocking(move || {
            let begun = producer.producer.init_transactions(timeout);
            begun.map_err(|error| failure(&name, "begin", &error))
        })
        .await?;
        Ok(Self(Arc::new(Session {
            id: Arc::from(id),
            factory: factory.clone(),
            appender: Arc::clone(appender),
            topics: Arc::clone(topics),
            stand: Arc::new(tokio::sync::Mutex::new(Stand::Ready)),
            ends: Mutex::default(),
        })))
    }

    /// Where the last commit in a partition ended.
    pub(crate) fn end(&self, of: &TopicPartition) -> Option<Offset> {
        self.0.ends.lock().unwrap_or_else(PoisonError::into_inner).get(of).copied()
    }

    /// Writes records and offsets in one transaction and waits for its commit. Says for each partition
    /// the offset after its last record. After an error nothing of it is or becomes visible, unless the
    /// error is about the commit itself, whose outcome the next producer with this id settles. A call
    /// that is cancelled goes on by itself, and the next one waits for it.
    pub async fn commit(&self, commit: Commit) -> Result<BTreeMap<TopicPartition, Offset>> {
        let mut stand = Arc::clone(&self.0.stand).lock_owned().await;
        let session = Arc::clone(&self.0);
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with its transaction; waited for below"
        )]
        let work = tokio::spawn(async move { session.commit(commit, &mut stand).await });
        work.await.map_err(|_| error::aborted(&self.0.id, "its task was stopped"))?
    }
}

impl Session {
    async fn commit(
        &self,
        commit: Commit,
        stand: &mut Stand,
    ) -> Result<BTreeMap<TopicPartition, Offset>> {
        match stand {
            Stand::Ready => {}
            Stand::ShutOut(why) => return Err(error::fenced(&self.id, why)),
            Stand::Broken(why) => return Err(error::aborted(&self.id, why)),
        }
        for to in commit.records.keys() {
            self.topics.place(to).await?;
        }
        let error = match self.attempt(commit).await {
            Ok(ends) => {
                let mut known = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
                known.extend(ends.iter().map(|(of, end)| (of.clone(), *end)));
                return Ok(ends);
            }
            Err(error) => error,
        };
        if error.code == FENCED {
            *stand = Stand::ShutOut(error.context.clone());
        } else if let Err(second) = self.roll_back().await {
            tracing::warn!(code = second.code, error = %second.chain(), "a roll-back failed");
            *stand = Stand::Broken(format!("it could not be ended: {}", second.context));
        }
        self.appender.forget(&error.context);
        Err(error)
    }

    async fn attempt(&self, commit: Commit) -> Result<BTreeMap<TopicPartition, Offset>> {
        self.call("begin", Duration::ZERO, |appender, _| appender.producer.begin_transaction())
            .await?;
        let mut receipts = Vec::new();
        for (to, records) in commit.records {
            if !records.is_empty() {
                let receipt = self.appender.append(&to, records).await?;
                receipts.push((to, receipt));
            }
        }
        for (group, places) in commit.offsets {
            self.send_offsets(&group, &places).await?;
        }
        let timeout = wait(&self.factory);
        self.call("commit", timeout, |appender, timeout| {
            appender.producer.commit_transaction(timeout)
        })
        .await?;
        let mut ends = BTreeMap::new();
        for (to, receipt) in receipts {
            let end = receipt.0.await;
            let end = end.map_err(|_| error::append_failed(&to, "the transport is closed"))??;
            ends.insert(to, end);
        }
        Ok(ends)
    }

    async fn send_offsets(
        &self,
        group: &str,
        places: &BTreeMap<TopicPartition, Place>,
    ) -> Result<()> {
        let name = self.factory.config.group_name(group);
        let (factory, places) = (self.factory.clone(), places.clone());
        let timeout = wait(&self.factory);
        self.call("add offsets to", timeout, move |appender, timeout| {
            let mut settings = factory.consumer_settings();
            settings.set("group.id", name);
            let speaker = BaseConsumer::from_config_and_context(&settings, factory.context())?;
            let metadata = speaker.group_metadata().ok_or(KafkaError::Canceled)?;
            let list = group::list_of(&places)?;
            appender.producer.send_offsets_to_transaction(&list, &metadata, timeout)
        })
        .await
    }

    async fn roll_back(&self) -> Result<()> {
        self.call("roll back", wait(&self.factory), |appender, timeout| {
            match appender.producer.abort_transaction(timeout) {
                // It had not begun.
                Err(KafkaError::Transaction(error)) if error.code() == Code::State => Ok(()),
                done => done,
            }
        })
        .await
    }

    async fn call(
        &self,
        doing: &'static str,
        timeout: Duration,
        work: impl FnOnce(&Appender, Duration) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<()> {
        let (appender, id) = (Arc::clone(&self.appender), Arc::clone(&self.id));
        blocking(move || work(&appender, timeout).map_err(|error| failure(&id, doing, &error)))
            .await
    }
}

const FENCED: &str = "CDC-2116";

/// Transactions wait for records, and so for longer than one request.
fn wait(factory: &Factory) -> Duration {
    factory.config.request_timeout().saturating_mul(3)
}

fn failure(id: &str, doing: &str, error: &KafkaError) -> Error {
    let reason = format!("cannot {doing} a transaction: {error}");
    match error.rdkafka_error_code() {
        Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::Fatal) => {
            error::fenced(id, &reason)
        }
        Some(code @ Code::TransactionalIdAuthorizationFailed) => {
            error::answer(&format!("{doing} a transaction of {id}"), code)
        }
        _ => error::aborted(id, &reason),
    }
}
