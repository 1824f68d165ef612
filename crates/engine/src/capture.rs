//! Source to transport. The stored progress moves only when the transport has the whole batch on disk,
//! and only then may the database discard its log.

use crate::{
    error,
    hold::Hold,
    pipeline::Shared,
    resume,
    route::Router,
    supervise::{Restart, Restarts},
    unsayable::Unsayable,
};
use bytes::Bytes;
use cdc_core::{
    Change, Complete, Error, Offset, Origin, Position, Result, Retry, SourceContext,
    TopicPartition,
    channel::{BatchReceiver, BudgetedBatch, batch_channel},
    status::{ConnectorState, Problem, SourceStatus},
    store::CaptureProgress,
    transport::{AppendReceipt, Lease, Writing},
};
use futures::{StreamExt, stream::FuturesOrdered};
use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Batches between a source and the log.
const BATCH_COUNT_MAX: usize = 64;
/// Batches that the log has accepted and not yet confirmed.
const IN_FLIGHT_MAX: usize = 64;
/// Progress is stored at most this often while changes flow.
const SAVE_INTERVAL: Duration = Duration::from_millis(250);

/// A transaction of the log waits at most this long for the end of the source's transaction …
const WHOLE_AGE_MAX: Duration = Duration::from_secs(60);
/// … and this long while tables are copied for the first time, each in one long transaction.
const COPY_AGE_MAX: Duration = Duration::from_secs(5);

/// Capture's name among the writers of the log. No sink can be called so.
const WRITER: &str = "capture/place";
/// The name of which the process that captures is the only holder. No sink can be called so.
const LEASE: &str = "capture/lease";

/// How a session of the source ended without an error.
enum End {
    /// The source has nothing more to send, or the pipeline stops.
    Ended,
    /// Another process may capture now.
    Deposed,
}

/// Runs the source for as long as the pipeline lives.
pub(crate) async fn supervise(shared: Arc<Shared>, stop: CancellationToken) -> Result<()> {
    let mut restarts = Restarts::new(shared.spec.retry, shared.spec.seed);
    let mut ever_ran = false;
    loop {
        let mut session = Session { shared: &shared, moved: false, follows: false, fenced: false };
        let outcome = session.lead(&stop).await;
        let progressed = session.moved;
        ever_ran |= progressed || session.follows;
        let failure = match outcome {
            Ok(End::Ended) => {
                shared.update(|status| status.source.state = ConnectorState::Stopped);
                shared.currency.source_ended();
                return Ok(());
            }
            Ok(End::Deposed) => {
                tracing::warn!("another process may capture now; this one stands by");
                continue;
            }
            Err(failure) => failure,
        };
        if stop.is_cancelled() {
            tracing::warn!(error = %failure.chain(), "the source failed while stopping");
            return Ok(());
        }
        let restart = restarts.after(&failure, progressed);
        if gives_up(&shared, &failure, &restart, ever_ran) {
            return Err(failure);
        }
        report(&shared, &failure, &restart);
        tokio::select! { biased;
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(restart.wait) => {}
        }
    }
}

fn gives_up(shared: &Shared, failure: &Error, restart: &Restart, ever_ran: bool) -> bool {
    let hopeless = failure.retry != Retry::Backoff;
    let out_of_tries = restart.failures >= shared.spec.retry.max_attempts;
    // A log that failed for good must be opened anew: only a new start of the process does that.
    let log_is_gone = failure.origin == Origin::Transport && failure.retry == Retry::Never;
    log_is_gone || (hopeless && !ever_ran) || (shared.currency.ends() && (hopeless || out_of_tries))
}

fn report(shared: &Shared, failure: &Error, restart: &Restart) {
    tracing::warn!(
        error = %failure.chain(), remedy = failure.remedy.as_deref().unwrap_or_default(),
        wait_ms = restart.wait.as_millis(), failures = restart.failures, "the source failed",
    );
    metrics::counter!("cdc_source_restarts_total").increment(1);
    shared.update(|status| {
        status.source.state = restart.state;
        status.source.connected = false;
        status.source_error = Some(Problem::from(failure));
    });
}

/// A source and where it goes on.
struct Opened {
    source: Box<dyn cdc_core::Source>,
    progress: Option<CaptureProgress>,
    writing: Writing,
}

/// One life of a source.
struct Session<'a> {
    shared: &'a Shared,
    /// Has anything become durable?
    moved: bool,
    /// Does it go on where another process of the pipeline was? What was right for that one will be again.
    follows: bool,
    /// Has another process begun an epoch, so that nothing can be saved any more?
    fenced: bool,
}

impl Session<'_> {
    /// Captures for as long as no other process may.
    async fn lead(&mut self, stop: &CancellationToken) -> Result<End> {
        let lease = tokio::select! { biased;
            () = stop.cancelled() => return Ok(End::Ended),
            lease = self.take_over() => lease?,
        };
        let lost = lease.lost.clone();
        let opened = tokio::select! { biased;
            () = stop.cancelled() => return Ok(End::Ended),
            () = lost.cancelled() => return Ok(End::Deposed),
            opened = self.open() => opened?,
        };
        let deposed = opened.writing.deposed.clone();
        let ended = tokio::select! { biased;
            // Dropping the source is a crash that it can stand.
            () = lost.cancelled() => return Ok(End::Deposed),
            () = deposed.cancelled() => return Ok(End::Deposed),
            ended = self.capture(opened, stop) => ended,
        };
        match ended {
            // Whatever failed may be that another process has begun, and that one goes on.
            Err(failure) if lost.is_cancelled() || deposed.is_cancelled() || self.fenced => {
                tracing::debug!(error = %failure.chain(), "the source failed without its lease");
                Ok(End::Deposed)
            }
            ended => ended.map(|()| End::Ended),
        }
    }

    /// Waits until this process is the one that captures.
    async fn take_over(&self) -> Result<Lease> {
        let shared = self.shared;
        if shared.is_shared() {
            shared.update(|status| status.source.state = ConnectorState::Standby);
        }
        let lease = shared.spec.transport.lead(LEASE).await?;
        if shared.is_shared() {
            // Whatever another process still writes under the epoch before is refused from here on.
            shared.epoch.begin().await?;
            let epoch = shared.epoch.current();
            tracing::info!(epoch, "this process captures");
            shared.update(|status| {
                status.epoch = epoch;
                status.source.state = ConnectorState::Starting;
            });
        }
        Ok(lease)
    }

    async fn open(&mut self) -> Result<Opened> {
        let spec = &self.shared.spec;
        // Before progress is looked at, which whoever wrote before could move until then.
        let mut writing = spec.transport.begin(WRITER).await?;
        let stored = spec.checkpoints.load_capture().await?;
        if stored.is_none() {
            // It may be a pipeline's of the same name that is gone.
            writing.place = None;
        }
        self.follows = self.shared.is_shared() && stored.is_some();
        let progress =
            stored.map(|stored| resume::of_log(spec.transport.log(), stored)).transpose()?;
        for line in spec.source.provision().await? {
            tracing::info!(action = line, "source provisioned");
        }
        Ok(Opened { source: spec.source.open().await?, progress, writing })
    }

    async fn capture(&mut self, opened: Opened, stop: &CancellationToken) -> Result<()> {
        let Opened { source, progress, writing } = opened;
        let spec = &self.shared.spec;
        let bytes_max = u32::try_from(spec.memory_budget_bytes / 8).unwrap_or(u32::MAX);
        let (out, batches) = batch_channel(BATCH_COUNT_MAX, bytes_max);
        let (durable, durable_seen) = watch::channel(progress.as_ref().map(|p| p.position));
        let (status, status_seen) = watch::channel(SourceStatus::default());
        let context = SourceContext {
            compares: crate::repair::compares(spec),
            resume: progress.map(|p| p.resume),
            out,
            durable: durable_seen,
            status,
            clock: Arc::clone(&spec.clock),
            cancel: stop.child_token(),
        };
        // What the source has sent when it ends is not held back.
        let draining = stop.child_token();
        let follow = follow_status(self.shared, status_seen);
        let router = Router::new(Arc::clone(&spec.transport), spec.format.encoder())
            .above(writing.place)
            .setting_aside(Unsayable::new(spec));
        let mut forward = Forward {
            shared: self.shared,
            router,
            in_transactions: writing.in_transactions,
            unsealed: None,
            durable,
            unsaved: None,
            saved_at: None,
            moved: &mut self.moved,
            fenced: &mut self.fenced,
            hold: Hold::new(self.shared, draining.clone()),
        };
        let mut source = std::pin::pin!(source.run(context));
        let mut forward = std::pin::pin!(forward.run(batches));
        let mut follow = std::pin::pin!(follow);
        let ended = loop {
            tokio::select! { biased;
                // The log failed: dropping the source is a crash that it can stand.
                forwarded = &mut forward => return forwarded,
                ended = &mut source => break ended,
                () = &mut follow => std::future::pending().await,
            }
        };
        draining.cancel();
        // What the source sent before it ended still becomes durable.
        forward.await.and(ended)
    }
}

async fn follow_status(shared: &Shared, mut seen: watch::Receiver<SourceStatus>) {
    while seen.changed().await.is_ok() {
        let source = seen.borrow_and_update().clone();
        shared.update(|status| {
            if source.connected {
                status.source_error = None;
            }
            status.source = source;
            status.settle_sinks();
        });
    }
    std::future::pending::<()>().await;
}

/// Of the last append to each partition: those before it resolve first.
type Receipts = BTreeMap<TopicPartition, AppendReceipt>;

/// What the log has accepted since the last seal.
struct Accepted {
    since: Instant,
    end: Position,
    /// Of the last change.
    newest: Option<Position>,
    /// Does the last change end its transaction in the source?
    whole: bool,
    resume: Bytes,
    changes: u64,
    complete: Complete,
    receipts: Receipts,
    /// Of the last batch; the log has made room for those before it.
    permit: OwnedSemaphorePermit,
}

/// The batch is durable.
struct Durable {
    progress: CaptureProgress,
    newest: Option<Position>,
    changes: u64,
    complete: Complete,
    ends: Vec<(TopicPartition, Offset)>,
}

impl Accepted {
    /// The same with what was accepted before it.
    fn after(mut self, before: Option<Self>) -> Self {
        let Some(Self { since, newest, changes, mut receipts, .. }) = before else { return self };
        receipts.append(&mut self.receipts);
        let newest = self.newest.or(newest);
        Self { since, newest, changes: changes + self.changes, receipts, ..self }
    }

    /// Is it worth waiting for the rest of the source's transaction?
    fn waits_for_the_rest(&self) -> bool {
        let age_max = if self.complete == Complete::No { COPY_AGE_MAX } else { WHOLE_AGE_MAX };
        !self.whole && self.since.elapsed() < age_max
    }

    async fn durable(self) -> Result<Durable> {
        let mut ends = Vec::with_capacity(self.receipts.len());
        for (partition, receipt) in self.receipts {
            ends.push((partition, receipt.0.await.map_err(|_| error::receipt_lost())??));
        }
        drop(self.permit);
        let progress = CaptureProgress { position: self.end, resume: self.resume };
        let Self { newest, changes, complete, .. } = self;
        Ok(Durable { progress, newest, changes, complete, ends })
    }
}

type InFlight = FuturesOrdered<Pin<Box<dyn Future<Output = Result<Durable>> + Send>>>;

/// Moves batches from the source into the log.
struct Forward<'a> {
    shared: &'a Shared,
    router: Router,
    in_transactions: bool,
    /// What belongs to a transaction of the log that waits for more.
    unsealed: Option<Accepted>,
    durable: watch::Sender<Option<Position>>,
    unsaved: Option<CaptureProgress>,
    saved_at: Option<Instant>,
    moved: &'a mut bool,
    fenced: &'a mut bool,
    hold: Hold<'a>,
}

impl Forward<'_> {
    /// Ends when the source is gone and everything it sent is durable and recorded.
    async fn run(&mut self, mut batches: BatchReceiver) -> Result<()> {
        let mut in_flight = InFlight::new();
        let mut open = true;
        while open || !in_flight.is_empty() {
            let save_at = self.save_at();
            tokio::select! { biased;
                Some(durable) = in_flight.next(), if !in_flight.is_empty() => {
                    self.note(durable?).await?;
                }
                () = tokio::time::sleep_until(save_at), if self.unsaved.is_some() => {
                    self.save().await?;
                }
                () = self.hold.changed() => {}
                batch = batches.recv(), if open && !self.holds() && in_flight.len() < IN_FLIGHT_MAX => match batch {
                    Some(batch) => {
                        let sealed = self.append(batch).await?;
                        for accepted in sealed {
                            in_flight.push_back(Box::pin(accepted.durable()));
                        }
                    }
                    // What is not sealed comes again.
                    None => open = false,
                },
            }
        }
        self.save().await
    }

    /// Does capture wait for sinks? Never with a transaction of the log open, which would run out of time.
    fn holds(&self) -> bool {
        self.hold.is_on() && self.unsealed.is_none()
    }

    /// Appends a batch; answers with what then waits to become durable.
    async fn append(&mut self, budgeted: BudgetedBatch) -> Result<Vec<Accepted>> {
        let BudgetedBatch { batch, permit } = budgeted;
        let since = Instant::now();
        let mut sealed = Vec::new();
        let mut receipts = BTreeMap::new();
        // What came before a transaction that has not ended yet does not wait for it.
        let ended = batch.changes.iter().rposition(|change| change.ends_transaction);
        let ended = ended.filter(|_| self.in_transactions).map_or(0, |last| last + 1);
        let (ended, rest) = batch.changes.split_at(ended);
        self.append_changes(ended, &mut receipts).await?;
        if let Some(last) = ended.last()
            && !rest.is_empty()
        {
            // Without records a place could go back: what comes again after a restart has none.
            let before = self.unsealed.as_ref().map(|before| &before.receipts);
            if !(receipts.is_empty() && before.is_none_or(BTreeMap::is_empty)) {
                self.shared.spec.transport.seal(last.position).await?;
            }
            sealed.extend(self.unsealed.take());
        }
        self.append_changes(rest, &mut receipts).await?;
        let changes = batch.changes.len() as u64;
        let newest = batch.changes.last().map(|change| change.position);
        let (end, resume, complete) = (batch.end, batch.resume, batch.complete);
        let whole = rest.is_empty();
        let accepted =
            Accepted { since, end, newest, whole, resume, changes, complete, receipts, permit };
        let accepted = accepted.after(self.unsealed.take());
        if self.in_transactions && accepted.waits_for_the_rest() {
            self.unsealed = Some(accepted);
            return Ok(sealed);
        }
        if !accepted.receipts.is_empty() {
            self.shared.spec.transport.seal(accepted.end).await?;
        }
        sealed.push(accepted);
        Ok(sealed)
    }

    async fn append_changes(&mut self, changes: &[Change], receipts: &mut Receipts) -> Result<()> {
        for (partition, records) in self.router.route(changes).await? {
            let receipt = self.shared.spec.transport.append(&partition, records).await?;
            receipts.insert(partition, receipt);
        }
        Ok(())
    }

    async fn note(&mut self, durable: Durable) -> Result<()> {
        metrics::counter!("cdc_changes_captured_total").increment(durable.changes);
        if durable.complete == Complete::Yes {
            self.shared.currency.captured(durable.progress.position);
        }
        *self.moved |= durable.changes > 0;
        self.shared.update(|status| {
            let log = &mut status.transport;
            // The offsets of several partitions are no one number.
            if let [(_, end)] = &*durable.ends {
                log.end_offset = end.0;
            }
            log.newest_position = log.newest_position.max(durable.newest);
            if durable.complete != Complete::No {
                log.captured_position = Some(durable.progress.position);
            }
        });
        if self.shared.spec.sinks.is_empty() {
            for (partition, end) in &durable.ends {
                self.shared.spec.transport.release(partition, *end).await?;
            }
        }
        self.unsaved = Some(durable.progress);
        if self.save_at() <= Instant::now() { self.save().await } else { Ok(()) }
    }

    fn save_at(&self) -> Instant {
        self.saved_at.map_or_else(Instant::now, |at| at + SAVE_INTERVAL)
    }

    /// Records progress, then lets the database discard its log up to it.
    async fn save(&mut self) -> Result<()> {
        let Some(progress) = self.unsaved.take() else { return Ok(()) };
        let epoch = self.shared.epoch.current();
        let position = progress.position;
        let progress = resume::with_log(self.shared.spec.transport.log(), progress);
        let saved = self.shared.spec.checkpoints.save_capture(epoch, &progress).await;
        if let Err(refused) = saved {
            // Among processes that share a pipeline nothing else is refused for good here.
            let by_epoch = refused.origin == Origin::Internal && refused.retry == Retry::Never;
            *self.fenced |= self.shared.is_shared() && by_epoch;
            return Err(refused);
        }
        self.saved_at = Some(Instant::now());
        self.durable.send_replace(Some(position));
        Ok(())
    }
}
