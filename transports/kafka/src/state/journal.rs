//! Writing to the state topic: a write is done when this process has read it back, in the one order that
//! every process sees.

use super::{
    key::Key,
    tail::{Tail, Waiting},
    view::{Verdict, View},
};
use crate::{append::Appender, client::Factory, error, record::Outgoing};
use bytes::Bytes;
use cdc_core::{Position, Result, TopicPartition};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long one write may take until it is read back. It may still come to pass later, which every
/// write is prepared for: what is written again is another record.
const WRITE_WAIT: Duration = Duration::from_secs(60);

/// A record to be written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// `None` takes the record with this key back.
    pub(super) value: Option<Bytes>,
}

impl Entry {
    pub(super) fn tombstone(key: Key) -> Self {
        Self { key, value: None }
    }

    fn outgoing(self) -> Outgoing {
        Outgoing {
            key: Some(self.key.to_string().into()),
            value: self.value,
            headers: Vec::new(),
            position: Position::default(),
        }
    }
}

/// The topic's two ends.
pub(super) struct Journal {
    of: TopicPartition,
    factory: Factory,
    appender: Mutex<Arc<Appender>>,
    tail: Tail,
}

impl Journal {
    /// Reads the whole topic.
    pub(super) async fn open(
        factory: &Factory,
        of: TopicPartition,
        appender: Arc<Appender>,
    ) -> Result<Self> {
        let tail = Tail::start(factory, &of)?;
        tail.ready().await?;
        Ok(Self { of, factory: factory.clone(), appender: Mutex::new(appender), tail })
    }

    pub(super) fn of(&self) -> &TopicPartition {
        &self.of
    }

    /// Looks at the state as far as it is read.
    pub(super) fn look<T>(&self, look: impl FnOnce(&View) -> T) -> Result<T> {
        self.tail.look(look)
    }

    /// Writes records in one go and waits until they are read back. What became of each is told in
    /// their order.
    pub(super) async fn write(&self, entries: Vec<Entry>) -> Result<Vec<Verdict>> {
        let waiting = entries.iter().map(|entry| self.tail.wait_for(entry.key.write)).collect();
        let records = entries.into_iter().map(Entry::outgoing).collect();
        let appender = Arc::clone(&self.appender.lock().unwrap_or_else(PoisonError::into_inner));
        let written = tokio::time::timeout(WRITE_WAIT, self.send(&appender, records, waiting));
        let written = written.await.unwrap_or_else(|_| {
            let doing = format!("write to the state topic {}", self.of.topic);
            let error = KafkaError::MessageProduction(Code::OperationTimedOut);
            Err(error::request(&doing, &error, &appender.heard))
        });
        if written.as_ref().is_err_and(error::stops_appends) {
            self.replace(&appender)?;
        }
        written
    }

    async fn send(
        &self,
        appender: &Appender,
        records: Vec<Outgoing>,
        waiting: Vec<Waiting>,
    ) -> Result<Vec<Verdict>> {
        let receipt = appender.append(&self.of, records).await?;
        let closed = |_| error::append_failed(&self.of, "the transport is closed");
        receipt.0.await.map_err(closed)??;
        let mut verdicts = Vec::with_capacity(waiting.len());
        for one in waiting {
            verdicts.push(one.verdict().await.ok_or_else(|| self.tail.why_silent())?);
        }
        Ok(verdicts)
    }

    /// A producer that has failed takes nothing more.
    fn replace(&self, failed: &Arc<Appender>) -> Result<()> {
        let mut appender = self.appender.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&appender, failed) {
            let old = std::mem::replace(&mut *appender, Arc::new(Appender::start(&self.factory)?));
            // Dropping it waits for its thread.
            drop(tokio::task::spawn_blocking(move || drop(old)));
        }
        Ok(())
    }
}
