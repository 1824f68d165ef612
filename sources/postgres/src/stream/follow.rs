//! The loop of a stream.

use super::{
    batch::{Gathered, Taken},
    messages::Messages,
    pace::{GATHER, Pace},
    progress::{Confirmed, IDLE_AFTER, Rhythm},
    status::Reporter,
    tables::Tables,
};
use crate::{
    backfill::Backfill,
    config::Config,
    error,
    order::Order,
    position::{Lsn, Resume},
    protocol::{Chunk, Message, Relation, StreamMessage, decode, decode_stream},
    replication::ReplicationStream,
    source::Copies,
};
use cdc_core::{ChangeBatch, Complete, Position, Result, SourceContext};
use futures::FutureExt;
use std::{ops::Range, time::Duration};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// A server that says nothing for so long, although it is asked every second, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Where and how a stream starts.
pub(crate) struct Start<'a> {
    /// What a batch remembers; `lsn` is where the stream starts.
    pub(crate) resume: Resume,
    /// Changes up to here were handed over.
    pub(crate) skip_through: Position,
    /// What the server may discard from the start on; 0 when nothing is recorded yet.
    pub(crate) recorded: Lsn,
    /// Longest time between two status updates.
    pub(crate) status_interval: Duration,
    /// Were the rows asked for in binary form?
    pub(crate) binary: bool,
    /// The copy that runs beside the stream, until it is complete.
    pub(crate) backfill: &'a mut Option<Backfill>,
    /// Begins copies that are ordered.
    pub(crate) copies: &'a Copies,
}

/// Why a stream ended without an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was asked to.
    Stopped,
    /// A table came along whose rows cannot be read in binary form: go on in text form.
    NeedsText {
        /// Where the stream goes on, and what it remembers.
        resume: Box<Resume>,
        /// Changes up to here were handed over.
        skip_through: Position,
        /// What was confirmed so far.
        recorded: Lsn,
    },
}

/// Does the loop go on?
pub(super) type Step = std::ops::ControlFlow<Ended>;

/// A stream and all that it knows.
pub(crate) struct Follower<'a> {
    pub(super) config: &'a Config,
    pub(super) context: &'a SourceContext,
    pub(super) reporter: &'a Reporter<'a>,
    pub(super) tables: &'a mut Tables,
    pub(super) backfill: &'a mut Option<Backfill>,
    pub(super) copies: &'a Copies,
    /// Orders of the transaction at hand.
    pub(super) orders: Vec<Order>,
    pub(super) gathered: Gathered,
    pub(super) messages: Messages,
    stream: ReplicationStream,
    pub(super) resume: Resume,
    binary: bool,
    confirmed: Confirmed,
    rhythm: Rhythm,
    pace: Pace,
    ticker: Interval,
    handed_over: Position,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(
        config: &'a Config,
        context: &'a SourceContext,
        reporter: &'a Reporter<'a>,
        tables: &'a mut Tables,
        stream: ReplicationStream,
        start: Start<'a>,
    ) -> Self {
        let now = Instant::now();
        let mut ticker = tokio::time::interval(IDLE_AFTER);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let from = start.resume.lsn;
        let mut confirmed = Confirmed::new(start.recorded);
        confirmed.sent(from.heartbeat(), from);
        Self {
            config,
            context,
            reporter,
            tables,
            backfill: start.backfill,
            copies: start.copies,
            orders: Vec::new(),
            gathered: Gathered::new(from, start.skip_through),
            messages: Messages::new(config),
            pace: Pace::new(now, stream.gathers()),
            stream,
            binary: start.binary,
            confirmed,
            rhythm: Rhythm::new(now, start.status_interval),
            ticker,
            handed_over: start.skip_through,
            resume: start.resume,
        }
    }

    /// Follows the stream until it is asked to stop, fails, or cannot go on in binary form.
    pub(crate) async fn run(&mut self) -> Result<Ended> {
        // The server answers at once, so that the engine learns where the stream stands.
        self.report(true).await?;
        loop {
            while let Some(chunk) = self.stream.take_chunk()? {
                if let Step::Break(ended) = self.chunk(&chunk).await? {
                    return self.end(ended).await;
                }
            }
            let step = match self.gather().await? {
                Step::Continue(()) => self.wait().await?,
                step @ Step::Break(_) => step,
            };
            if let Step::Break(ended) = step {
                return self.end(ended).await;
            }
        }
    }

    /// Reads what is there at once; hands over when nothing is.
    async fn gather(&mut self) -> Result<Step> {
        if self.pace.puts_off() {
            self.stream.gather(GATHER).await?;
        }
        let now = Instant::now();
        if self.gathered.is_empty() || self.pace.flows() && !self.pace.lingered(now) {
            return Ok(Step::Continue(()));
        }
        if self.gathered.in_transaction() {
            return Ok(Step::Continue(()));
        }
        self.hand_over().await
    }

    /// Waits for bytes, and does meanwhile what has to be done now and then.
    async fn wait(&mut self) -> Result<Step> {
        self.pace.waits(Instant::now());
        if let Some(read) = self.stream.fill().now_or_never() {
            self.received(read?);
            return Ok(Step::Continue(()));
        }
        if !self.gathered.in_transaction()
            && !self.gathered.is_empty()
            && let step @ Step::Break(_) = self.hand_over().await?
        {
            return Ok(step);
        }
        let cancel = self.context.cancel.clone();
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(Step::Break(Ended::Stopped)),
                _ = self.ticker.tick() => {
                    if let step @ Step::Break(_) = self.tick().await? {
                        return Ok(step);
                    }
                }
                read = self.stream.fill() => {
                    self.received(read?);
                    return Ok(Step::Continue(()));
                }
            }
        }
    }

    fn received(&mut self, bytes: usize) {
        let now = Instant::now();
        self.pace.read(now, bytes);
        self.rhythm.heard(now);
    }

    async fn chunk(&mut self, chunk: &Chunk) -> Result<Step> {
        self.gathered.arrived(chunk.bytes.len());
        for (tag, payload) in chunk.messages() {
            if tag != b'd' {
                self.stream.control(chunk, tag, payload)?;
                continue;
            }
            match decode_stream(&chunk.bytes, payload).map_err(error::protocol)? {
                StreamMessage::Data { start, payload } => {
                    let step = self.message(chunk, start, payload).await?;
                    if step.is_break() {
                        return Ok(step);
                    }
                }
                StreamMessage::Keepalive { end, reply } => {
                    let step = self.keepalive(end, reply).await?;
                    if step.is_break() {
                        return Ok(step);
                    }
                }
            }
        }
        Ok(Step::Continue(()))
    }

    #[inline]
    async fn message(&mut self, chunk: &Chunk, at: Lsn, payload: Range<usize>) -> Result<Step> {
        match decode(&chunk.bytes, payload).map_err(error::protocol)? {
            Message::Relation(relation) => return self.relation(relation).await,
            Message::Commit(commit) => {
                self.rhythm.data(Instant::now());
                self.apply(Message::Commit(commit), at, &chunk.bytes)?;
                if let Some(number) = self.backfill.as_mut().and_then(Backfill::due) {
                    return self.fill_in(number, commit).await;
                }
                if !self.orders.is_empty() {
                    return self.carry_out(commit).await;
                }
            }
            message => self.apply(message, at, &chunk.bytes)?,
        }
        if self.gathered.is_full() { self.hand_over().await } else { Ok(Step::Continue(())) }
    }

    async fn relation(&mut self, relation: Relation) -> Result<Step> {
        let name = format!("{}.{}", relation.namespace, relation.name);
        if let Some(backfill) = self.backfill.as_ref() {
            backfill.announced(relation.oid);
        }
        let readable = {
            let announce = self.tables.announce(relation);
            tokio::pin!(announce);
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut announce => break outcome?,
                    () = self.context.cancel.cancelled() => return Ok(Step::Break(Ended::Stopped)),
                    _ = self.ticker.tick() => {
                        let durable = *self.context.durable.borrow();
                        answer(&mut self.stream, &mut self.rhythm, &mut self.confirmed, self.reporter, durable).await?;
                    }
                }
            }
        };
        if !self.binary || readable {
            return Ok(Step::Continue(()));
        }
        tracing::info!(table = %name, "table has values that are read as text: streaming anew in text form");
        if let step @ Step::Break(_) = self.hand_over().await? {
            return Ok(step);
        }
        Ok(Step::Break(Ended::NeedsText {
            resume: Box::new(Resume { lsn: self.gathered.restart(), ..self.resume.clone() }),
            skip_through: self.handed_over,
            recorded: self.confirmed.flushed(),
        }))
    }

    async fn keepalive(&mut self, end: Lsn, reply: bool) -> Result<Step> {
        self.reporter.server_end(end);
        self.gathered.reached(end);
        if reply {
            self.report(false).await?;
        }
        self.heartbeat().await
    }

    /// Tells the engine how far an otherwise quiet stream has come.
    async fn heartbeat(&mut self) -> Result<Step> {
        let now = Instant::now();
        let complete = self.gathered.complete();
        let quiet = self.gathered.is_empty() && !self.gathered.in_transaction();
        if !quiet || !self.rhythm.heartbeat_due(now, complete) {
            return Ok(Step::Continue(()));
        }
        let position = complete.heartbeat();
        if position <= self.handed_over {
            return Ok(Step::Continue(()));
        }
        self.rhythm.told(now, complete);
        self.confirmed.sent(position, complete);
        let batch = ChangeBatch {
            changes: Vec::new(),
            end: position,
            resume: self.resume_at(complete, 0),
            size_bytes: 0,
            complete: self.complete(),
        };
        let step = self.send(batch).await?;
        self.handed_over = position;
        self.reporter.handed_over(position, None);
        Ok(step)
    }

    /// Hands over what was gathered.
    pub(super) async fn hand_over(&mut self) -> Result<Step> {
        let newest = self.gathered.newest_commit_time();
        let Some(Taken { changes, bytes, end, whole }) = self.gathered.take() else {
            return Ok(Step::Continue(()));
        };
        self.pace.handed_over();
        if let Some(whole) = whole {
            self.confirmed.sent(whole.position, whole.resume);
        }
        let batch = ChangeBatch {
            changes,
            end: end.position,
            resume: self.resume_at(end.resume, end.ordinal),
            size_bytes: bytes,
            complete: self.complete(),
        };
        let step = self.send(batch).await?;
        self.handed_over = end.position;
        self.reporter.handed_over(end.position, newest);
        Ok(step)
    }

    /// Waits for room in the pipeline, and answers the server meanwhile.
    pub(super) async fn send(&mut self, batch: ChangeBatch) -> Result<Step> {
        let send = self.context.out.send(batch);
        tokio::pin!(send);
        loop {
            tokio::select! {
                biased;
                sent = &mut send => {
                    return Ok(if sent.is_ok() { Step::Continue(()) } else { Step::Break(Ended::Stopped) });
                }
                () = self.context.cancel.cancelled() => return Ok(Step::Break(Ended::Stopped)),
                _ = self.ticker.tick() => {
                    let durable = *self.context.durable.borrow();
                    answer(&mut self.stream, &mut self.rhythm, &mut self.confirmed, self.reporter, durable).await?;
                }
            }
        }
    }

    pub(super) fn complete(&self) -> Complete {
        self.resume.complete(self.backfill.is_none(), self.context.compares)
    }

    pub(super) fn resume_at(&self, lsn: Lsn, ordinal: u64) -> bytes::Bytes {
        let backfill = self.backfill.as_ref().map(Backfill::progress);
        let members = self.reporter.members().known();
        Resume { lsn, ordinal, backfill, members, ..self.resume.clone() }.to_bytes()
    }

    /// Everything up to `position` is complete before `address`.
    pub(super) fn confirm_sent(&mut self, position: Position, address: Lsn) {
        self.confirmed.sent(position, address);
    }

    pub(super) fn note_handed_over(&mut self, position: Position) {
        self.handed_over = self.handed_over.max(position);
        self.reporter.handed_over(self.handed_over, None);
    }

    /// What is due now and then while the stream is waited for.
    async fn tick(&mut self) -> Result<Step> {
        let now = Instant::now();
        if self.rhythm.silence(now) > SILENCE_MAX {
            return Err(error::silent(self.config, SILENCE_MAX));
        }
        if self.rhythm.ping_due(now) {
            self.rhythm.pinged(now);
            self.report(true).await?;
        } else {
            let durable = *self.context.durable.borrow();
            answer(&mut self.stream, &mut self.rhythm, &mut self.confirmed, self.reporter, durable)
                .await?;
        }
        self.show_trouble();
        self.heartbeat().await
    }

    /// Sends a status update.
    async fn report(&mut self, ping: bool) -> Result<()> {
        let durable = self.confirmed.durable(*self.context.durable.borrow());
        let received = self.gathered.complete().max(durable);
        self.rhythm.reported(Instant::now(), durable);
        self.stream.report(received, durable, self.reporter.clock_since_2000(), ping).await
    }

    async fn end(&mut self, ended: Ended) -> Result<Ended> {
        // The newest word on what is durable spares the next start from repeating it.
        let said = self.report(false).await;
        self.stream.close().await;
        if ended != Ended::Stopped {
            said?;
        }
        Ok(ended)
    }
}

/// Sends a status update when one is due.
async fn answer(
    stream: &mut ReplicationStream,
    rhythm: &mut Rhythm,
    confirmed: &mut Confirmed,
    reporter: &Reporter<'_>,
    durable: Option<Position>,
) -> Result<()> {
    let now = Instant::now();
    let durable = confirmed.durable(durable);
    if !rhythm.report_due(now, durable) {
        return Ok(());
    }
    rhythm.reported(now, durable);
    stream.report(durable, durable, reporter.clock_since_2000(), false).await
}
