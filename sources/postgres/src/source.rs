//! One run of the source: decide how to start, read a snapshot when one is due, follow the log.

mod begin;
mod beside;
mod copies;
mod first_copy;
mod hold;

use crate::{
    config::Config,
    connection::{SharedSql, Sql, connect_sql},
    order,
    position::{Backend, Lsn, Phase, Resume},
    provision,
    replication::{ReplicationClient, System},
    schema::{self, Selection},
    server,
    stream::{Ended, Follower, Reporter, Start, Tables, explain},
};
use async_trait::async_trait;
use begin::{Begin, decide};
pub(crate) use beside::{may_mark, publishes_via_root};
use cdc_core::{ChangeBatch, Result, Source, SourceContext, status::ConnectorState};
pub(crate) use copies::Copies;
use first_copy::FirstCopy;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Without a limit of the server's, it hears from us this often at least.
const STATUS_DIVISOR: u32 = 3;
/// Where nothing is followed, the engine hears of the server's position this often.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// What the process remembers from one run of a source to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Has a snapshot been taken by this process?
    snapshot_taken: AtomicBool,
    /// The server process that streamed last.
    backend: Mutex<Option<Backend>>,
}

impl Memory {
    fn backend(&self) -> MutexGuard<'_, Option<Backend>> {
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source that has not started yet.
pub(crate) struct PostgresSource {
    config: Arc<Config>,
    selection: Arc<Selection>,
    memory: Arc<Memory>,
}

/// Where a stream starts once everything before it was handed over.
struct Departure {
    resume: Resume,
    recorded: Lsn,
}

impl PostgresSource {
    pub(crate) fn new(config: Arc<Config>, selection: Arc<Selection>, memory: Arc<Memory>) -> Self {
        Self { config, selection, memory }
    }
}

#[async_trait]
impl Source for PostgresSource {
    async fn run(self: Box<Self>, context: SourceContext) -> Result<()> {
        let reporter = Reporter::new(&context);
        reporter.state(ConnectorState::Starting, false);
        let outcome = self.follow(&context, &reporter).await;
        context.status.send_modify(|status| status.connected = false);
        outcome
    }
}

impl PostgresSource {
    async fn follow(&self, context: &SourceContext, reporter: &Reporter<'_>) -> Result<()> {
        let cancel = context.cancel.clone();
        let departure = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            departure = Box::pin(self.depart(context, reporter)) => departure?,
        };
        match departure {
            Some(departure) => Box::pin(self.stream(context, reporter, departure)).await,
            None => Ok(()),
        }
    }

    /// Does what comes before the stream. `None` when no stream follows.
    async fn depart(
        &self,
        context: &SourceContext,
        reporter: &Reporter<'_>,
    ) -> Result<Option<Departure>> {
        let config = &*self.config;
        let resume = context.resume.as_deref().map(Resume::from_bytes).transpose()?;
        let sql = connect_sql(config).await?;
        let mut replication = ReplicationClient::open(config).await?;
        let system = replication.identify().await?;
        self.describe(&replication, &system, reporter);
        let slot = match config.snapshot_mode.streams() {
            true => server::slot(config, &sql).await?,
            false => None,
        };
        let fresh = !self.memory.snapshot_taken.load(Ordering::Relaxed);
        let before = resume.as_ref().map_or(system.timeline, |resume| resume.timeline);
        let left = match before < system.timeline {
            true => Some(replication.left_timeline(system.timeline, before).await?),
            false => None,
        };
        let begin = decide(config, resume.as_ref(), (&system, left), slot.as_ref(), fresh)?;
        let state = self.state(&system, resume.as_ref());
        match begin {
            Begin::Stream { from, ordinal, recorded } => {
                warn_of_timeline(resume.as_ref(), &system);
                let kept = resume.map(|resume| (resume.backfill, resume.members));
                let (backfill, members) = kept.unwrap_or_default();
                let resume = Resume { lsn: from, ordinal, backfill, members, ..state };
                Ok(Some(Departure { resume, recorded }))
            }
            Begin::Snapshot { start_over, renew_slot } => {
                let renewed = match renew_slot {
                    true => Some(provision::renew_slot(config, &sql, &mut replication).await?),
                    false => None,
                };
                let streamed = resume.filter(|resume| resume.phase == Phase::Stream);
                let passed = streamed.as_ref().map(|streamed| streamed.lsn);
                let ends = [renewed, slot.map(|slot| slot.confirmed), passed];
                // A copy that keeps rows and was cut short keeps them again.
                let keep = context.compares && (streamed.is_some() || state.comparison_due);
                let first = FirstCopy {
                    source: self,
                    context,
                    reporter,
                    start_over,
                    keep,
                    stream_from: ends.into_iter().flatten().max().unwrap_or_default(),
                };
                let Some(resume) = first.take(&sql, &mut replication, state).await? else {
                    return Ok(None);
                };
                self.memory.snapshot_taken.store(true, Ordering::Relaxed);
                if resume.phase == Phase::Done {
                    self.idle(context, reporter, &sql, resume).await?;
                    return Ok(None);
                }
                Ok(Some(Departure { resume, recorded: Lsn::default() }))
            }
            Begin::Idle => {
                let resume = Resume { phase: Phase::Done, ..state };
                self.idle(context, reporter, &sql, resume).await?;
                Ok(None)
            }
        }
    }

    /// The server hears from us this often at least.
    async fn status_interval(&self, client: &Sql) -> Result<Duration> {
        let configured = self.config.status_interval();
        let limit = server::sender_timeout(&self.config, client).await?;
        Ok(limit.map_or(configured, |limit| configured.min(limit / STATUS_DIVISOR)))
    }

    /// What every batch of this run remembers.
    fn state(&self, system: &System, before: Option<&Resume>) -> Resume {
        let key = before.map(|before| before.order_key.clone()).filter(|key| !key.is_empty());
        Resume {
            phase: Phase::Stream,
            system_identifier: system.identifier.clone(),
            timeline: system.timeline,
            slot: self.config.slot_name.clone(),
            lsn: Lsn::default(),
            ordinal: 0,
            session: None,
            backfill: None,
            members: None,
            paused: before.is_some_and(|before| before.paused),
            comparison_due: before.is_some_and(|before| before.comparison_due),
            order_key: key.unwrap_or_else(order::new_key),
        }
    }

    fn describe(&self, replication: &ReplicationClient, system: &System, reporter: &Reporter<'_>) {
        let config = &*self.config;
        let mut details = BTreeMap::from([
            ("server_version".to_owned(), replication.server_version().to_owned()),
            ("server".to_owned(), config.server()),
            ("database".to_owned(), config.database.clone()),
            ("timeline".to_owned(), system.timeline.to_string()),
        ]);
        if config.snapshot_mode.streams() {
            details.insert("slot".to_owned(), config.slot_name.clone());
            details.insert("publication".to_owned(), config.publication_name.clone());
        }
        reporter.details(details);
    }

    async fn stream(
        &self,
        context: &SourceContext,
        reporter: &Reporter<'_>,
        departure: Departure,
    ) -> Result<()> {
        let config = &*self.config;
        let sql = Arc::new(SharedSql::new(config.clone()));
        let client = sql.get().await?;
        let Departure { mut resume, mut recorded } = departure;
        let members = reporter.members();
        members.remember(resume.members.take());
        members.look(config, &self.selection, &client).await?;
        let catalog = schema::load(&client, &self.selection).await?;
        let mut binary = catalog
            .tables
            .iter()
            .all(|table| schema::decoder(table, &catalog.types).binary_decodable());
        let copies =
            Copies::new(Arc::clone(&self.config), Arc::clone(&self.selection), Arc::clone(&sql));
        reporter.paused(resume.paused);
        let mut backfill = match resume.backfill.take() {
            Some(progress) => {
                self.memory.snapshot_taken.store(true, Ordering::Relaxed);
                copies.begin(&catalog, progress, resume.paused, reporter).await?
            }
            None => None,
        };
        let mut tables = Tables::new(Arc::clone(&self.selection), Arc::clone(&sql), catalog);
        let status_interval = self.status_interval(&client).await?;
        let leftover = context.resume.as_deref().and_then(|bytes| Resume::from_bytes(bytes).ok());
        let leftover = leftover.and_then(|resume| resume.session);
        let _monitor = reporter.watch_slot(config, &self.selection, &sql);
        let mut skip_through = resume.skip_through();
        loop {
            let ours = [leftover, *self.memory.backend()];
            let (stream, backend) =
                hold::start_stream(config, &client, resume.lsn, binary, &ours).await?;
            *self.memory.backend() = backend;
            resume.session = backend;
            reporter.streams(backfill.is_some());
            reporter.comparison_due(resume.comparison_due && backfill.is_none());
            let form = if binary { "binary" } else { "text" };
            reporter.details(BTreeMap::from([("values".to_owned(), form.to_owned())]));
            tracing::info!(from = %resume.lsn, values = form, "stream begins");
            let start = Start {
                resume: resume.clone(),
                skip_through,
                recorded,
                status_interval,
                binary,
                backfill: &mut backfill,
                copies: &copies,
            };
            tables.reconnect();
            let mut follower = Follower::new(config, context, reporter, &mut tables, stream, start);
            let ended = match follower.run().await {
                Ok(ended) => ended,
                Err(error) => return Err(explain(config, &sql, error).await),
            };
            match ended {
                Ended::Stopped => return Ok(()),
                Ended::NeedsText {
                    resume: left,
                    skip_through: handed_over,
                    recorded: confirmed,
                } => {
                    binary = false;
                    resume = *left;
                    skip_through = handed_over;
                    recorded = confirmed;
                }
            }
        }
    }

    /// Nothing is followed: tells the engine where the server stands until it is asked to stop.
    async fn idle(
        &self,
        context: &SourceContext,
        reporter: &Reporter<'_>,
        client: &tokio_postgres::Client,
        resume: Resume,
    ) -> Result<()> {
        reporter.state(ConnectorState::Running, true);
        let mut told = resume.lsn;
        loop {
            let lsn = server::current_position(&self.config, client).await?;
            if lsn > told {
                let resume = Resume { lsn, ..resume.clone() };
                if !beat(context, lsn, &resume).await {
                    return Ok(());
                }
                told = lsn;
            }
            tokio::time::sleep(IDLE_INTERVAL).await;
        }
    }
}

fn warn_of_timeline(resume: Option<&Resume>, system: &System) {
    if let Some(resume) = resume.filter(|resume| resume.timeline != system.timeline) {
        let (before, now) = (resume.timeline, system.timeline);
        tracing::warn!(before, now, "server changed its timeline");
    }
}

/// Sends a heartbeat; `false` when the pipeline is gone.
async fn beat(context: &SourceContext, lsn: Lsn, resume: &Resume) -> bool {
    let complete = resume.complete(resume.backfill.is_none(), context.compares);
    let (end, resume) = (lsn.heartbeat(), resume.to_bytes());
    let batch = ChangeBatch { changes: Vec::new(), end, resume, size_bytes: 0, complete };
    context.out.send(batch).await.is_ok()
}
