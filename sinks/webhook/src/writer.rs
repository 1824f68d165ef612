//! The session: sends, keeps count of what was taken, stops where order is at stake.

use crate::answer::Answer;
use crate::config::Batch;
use crate::encode::{IDEMPOTENCY_KEY, Identity, SIGNATURE, append_record, signature};
use crate::excerpt::{ANSWER_BYTES_MAX, excerpt};
use crate::{error, lanes};
use async_trait::async_trait;
use bytes::Bytes;
use cdc_codec::debezium::Encoder;
use cdc_core::clock::Clock;
use cdc_core::sink::Delivery;
use cdc_core::{
    Checkpoint, Delivered, Error, Position, Result, Retry, Secret, Sink, SinkBatch, TableSchema,
    WriteError,
};
use futures::future::join_all;
use lanes::Step;
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, Response, Url};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where requests go, and what they carry.
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) method: reqwest::Method,
    pub(crate) url: Url,
    /// The receiver in messages.
    pub(crate) receiver: String,
    pub(crate) batch: Batch,
    pub(crate) signing_secret: Option<Secret>,
    pub(crate) identity: Identity,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Target {
    fn is_array(&self) -> bool {
        self.batch.max_records > 1
    }
}

/// One session with the receiver.
pub(crate) struct Session {
    target: Target,
    encoder: Mutex<Encoder>,
    lanes: usize,
    /// Taken by the receiver, while a change before them was not yet: not to be sent again when the
    /// rest of their batch comes again. No more than one batch.
    ahead: BTreeSet<Position>,
}

impl Session {
    pub(crate) fn new(target: Target, encoder: Encoder, lanes: usize) -> Self {
        Self { target, encoder: Mutex::new(encoder), lanes, ahead: BTreeSet::new() }
    }
}

#[async_trait]
impl Sink for Session {
    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    async fn claim(&mut self, _: u64) -> Result<Option<Checkpoint>> {
        Ok(None)
    }

    async fn prepare(&mut self, _: Option<&TableSchema>, _: &Arc<TableSchema>) -> Result<()> {
        Ok(())
    }

    async fn write(&mut self, batch: &SinkBatch) -> Result<(), WriteError> {
        let sending = Sending {
            target: &self.target,
            encoder: &self.encoder,
            batch,
            progress: Mutex::new(Progress::new(batch, &self.ahead)),
        };
        sending.all(self.lanes).await;
        let progress = sending.progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        let accepted = progress.taken.iter().take_while(|taken| **taken).count();
        let ahead = batch.changes.iter().zip(&progress.taken).skip(accepted);
        self.ahead = ahead.filter(|(_, taken)| **taken).map(|(d, _)| d.change.position).collect();
        match progress.failure {
            None => Ok(()),
            Some((index, error)) => {
                let rejected = (error.retry == Retry::Never).then_some(index);
                Err(WriteError { error, accepted, rejected })
            }
        }
    }

    async fn commit(&mut self, _: &Checkpoint) -> Result<()> {
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// What became of the changes of one batch.
struct Progress {
    taken: Vec<bool>,
    /// The failure of the earliest change that failed.
    failure: Option<(usize, Error)>,
}

impl Progress {
    fn new(batch: &SinkBatch, ahead: &BTreeSet<Position>) -> Self {
        let taken = batch.changes.iter().map(|d| ahead.contains(&d.change.position));
        Self { taken: taken.collect(), failure: None }
    }

    fn took(&mut self, indexes: &[usize]) {
        for index in indexes {
            if let Some(taken) = self.taken.get_mut(*index) {
                *taken = true;
            }
        }
    }

    fn failed(&mut self, index: usize, error: Error) {
        if self.failure.as_ref().is_none_or(|(earliest, _)| index < *earliest) {
            self.failure = Some((index, error));
        }
    }

    /// Changes before a failed one still go out: the engine goes on after them.
    fn may_send(&self, index: usize) -> bool {
        self.failure.as_ref().is_none_or(|(earliest, _)| index < *earliest)
    }
}

/// Changes for a request, and those that come after it.
struct Next<'r> {
    indexes: Vec<usize>,
    body: Vec<u8>,
    left: &'r [usize],
}

/// A request, and the changes in it.
struct Request<'a> {
    indexes: Vec<usize>,
    identity: String,
    body: Bytes,
    /// Of the first change.
    schema: &'a TableSchema,
}

/// One call of `write`.
struct Sending<'a> {
    target: &'a Target,
    encoder: &'a Mutex<Encoder>,
    batch: &'a SinkBatch,
    progress: Mutex<Progress>,
}

impl Sending<'_> {
    async fn all(&self, lanes: usize) {
        for step in lanes::steps(&self.batch.changes, lanes) {
            match step {
                Step::Together(lanes) => {
                    join_all(lanes.iter().map(|lane| self.lane(lane))).await;
                }
                Step::Alone(index) => self.lane(&[index]).await,
            }
            if self.progress().failure.is_some() {
                return;
            }
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends changes one request after the other, until one fails.
    async fn lane(&self, lane: &[usize]) {
        let most = usize::try_from(self.target.batch.max_records).unwrap_or(usize::MAX);
        let mut rest = lane;
        while let Some(first) = rest.first() {
            if !self.progress().may_send(*first) {
                return;
            }
            let next = match self.next_request(rest, most) {
                Ok(next) => next,
                Err((index, error)) => return self.progress().failed(index, error),
            };
            rest = next.left;
            let Some(request) = self.complete(next) else { continue };
            match self.send(&request).await {
                Ok(()) => self.progress().took(&request.indexes),
                Err(error) if error.retry == Retry::Never && request.indexes.len() > 1 => {
                    if !self.one_by_one(&request.indexes).await {
                        return;
                    }
                }
                Err(error) => {
                    let index = request.indexes.first().unwrap_or(first);
                    return self.progress().failed(*index, error);
                }
            }
        }
    }

    /// Finds the change for which a request was refused. `false` when one was.
    async fn one_by_one(&self, indexes: &[usize]) -> bool {
        for index in indexes {
            let alone = self.next_request(std::slice::from_ref(index), 1);
            let sent = match alone.map(|next| self.complete(next)) {
                Ok(Some(request)) => self.send(&request).await,
                Ok(None) => Ok(()),
                Err((_, error)) => Err(error),
            };
            if let Err(error) = sent {
                self.progress().failed(*index, error);
                return false;
            }
            self.progress().took(std::slice::from_ref(index));
        }
        true
    }

    /// Encodes changes from the front of `rest` into one request. Fails with the index of a change
    /// that cannot be encoded, once nothing stands before it.
    fn next_request<'r>(
        &self,
        rest: &'r [usize],
        records_max: usize,
    ) -> Result<Next<'r>, (usize, Error)> {
        let mut next = Next { indexes: Vec::new(), body: Vec::new(), left: rest };
        let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((index, tail)) = next.left.split_first() {
            let taken = self.progress().taken.get(*index).copied().unwrap_or(true);
            if let Some(delivered) = self.batch.changes.get(*index).filter(|_| !taken) {
                if next.indexes.len() >= records_max {
                    break;
                }
                match self.append(&mut encoder, delivered, &mut next.body) {
                    Ok(true) => next.indexes.push(*index),
                    Ok(false) => break,
                    Err(_) if !next.indexes.is_empty() => break,
                    Err(error) => return Err((*index, error)),
                }
            }
            next.left = tail;
        }
        Ok(next)
    }

    /// Appends a change to a body, or says that the body is full without it.
    fn append(
        &self,
        encoder: &mut Encoder,
        delivered: &Delivered,
        body: &mut Vec<u8>,
    ) -> Result<bool> {
        let before = body.len();
        let identity = self.target.is_array().then(|| self.target.identity.of(delivered));
        if identity.is_some() {
            body.push(if before == 0 { b'[' } else { b',' });
        }
        let partition = self.batch.partition.partition;
        let at = (self.target.clock.now(), &mut *body);
        let appended = append_record(encoder, delivered, partition, identity.as_deref(), at);
        let bytes_max = usize::try_from(self.target.batch.max_bytes).unwrap_or(usize::MAX);
        // One byte closes the array.
        let fits = before == 0 || body.len() < bytes_max;
        if appended.is_err() || !fits {
            body.truncate(before);
        }
        appended.map(|()| fits)
    }

    /// Completes a request; `None` where the receiver has all of its changes.
    fn complete(&self, next: Next<'_>) -> Option<Request<'_>> {
        let Next { indexes, mut body, .. } = next;
        let change = |index: Option<&usize>| self.batch.changes.get(*index?);
        let (first, last) = (change(indexes.first())?, change(indexes.last())?);
        if self.target.is_array() {
            body.push(b']');
        }
        let identity = self.target.identity.of_all(first, last);
        Some(Request { identity, body: Bytes::from(body), schema: &first.change.schema, indexes })
    }

    async fn send(&self, request: &Request<'_>) -> Result<()> {
        let target = self.target;
        let mut sent = target
            .client
            .request(target.method.clone(), target.url.clone())
            .header(IDEMPOTENCY_KEY, &request.identity);
        if let Some(secret) = &target.signing_secret {
            sent = sent.header(SIGNATURE, signature(secret, target.clock.now(), &request.body));
        }
        let host = target.url.host_str().unwrap_or_default();
        let answered = sent.body(request.body.clone()).send().await;
        let mut response =
            answered.map_err(|error| error::no_answer(&target.receiver, host, error))?;
        let status = response.status();
        let header = response.headers().get(RETRY_AFTER);
        let retry_after = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = front_of(&mut response).await;
        let excerpt = if status.is_success() {
            String::new()
        } else {
            excerpt(&text, &request.body, request.schema)
        };
        Answer { status, retry_after, excerpt }.verdict(&target.receiver, target.clock.now())
    }
}

/// The front of an answer's body. Read for its words, and so that the connection can be used again;
/// the status alone decides, so that a body that breaks off changes nothing.
async fn front_of(response: &mut Response) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => out.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    out.truncate(ANSWER_BYTES_MAX);
    out
}
