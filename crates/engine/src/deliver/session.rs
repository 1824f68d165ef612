//! One life of a sink: claim it, read, write, commit.

use super::{
    Memory, Target,
    write::{Writer, newest, release},
};
use crate::{commit::Progress, dead_letter::Parked, error, intake, readers::Readers, refill};
use cdc_core::{
    Checkpoint, Offset, RecordBatch, Result, Sink, TopicPartition, catalog::SinkContext,
    format::Decoder, status::ConnectorState, transport::MembershipEvent, transport::Ordering,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often an operator's wish to retry dead letters is looked for.
const LETTERS_INTERVAL: Duration = Duration::from_secs(2);

/// How often it is looked how far other processes are.
const OTHERS_INTERVAL: Duration = Duration::from_millis(500);

/// How a session ended without an error.
pub(crate) enum End {
    /// The pipeline stops.
    Stopped,
    /// The sink has everything that it was to get.
    Current,
    /// A change was set aside; the sink must be opened anew without a wait.
    Again,
}

/// One life of a sink.
pub(crate) struct Session<'a> {
    target: &'a Target,
    pub(super) readers: Readers,
    decoder: Box<dyn Decoder>,
    pub(super) writer: Writer<'a>,
    /// Where each partition must be read to before the sink is current.
    goals: Option<BTreeMap<TopicPartition, Offset>>,
    /// When it was last looked how far other processes are.
    others_asked_at: Instant,
}

impl<'a> Session<'a> {
    pub(crate) async fn run(
        target: &'a Target,
        memory: &'a mut Memory,
        stop: &CancellationToken,
    ) -> Result<End> {
        let opened = tokio::select! { biased;
            () = stop.cancelled() => return Ok(End::Stopped),
            opened = Self::open(target, memory) => opened?,
        };
        let mut session = opened;
        let end = session.follow(stop).await?;
        if matches!(end, End::Stopped | End::Current) {
            session.writer.finish().await?;
            target.state(ConnectorState::Stopped);
        }
        Ok(end)
    }

    async fn open(target: &'a Target, memory: &'a mut Memory) -> Result<Self> {
        let shared = &target.shared;
        let mut sink = target.spec.connector.open(&target.context).await?;
        let (progress, kept_by_sink) = match shared.spec.transport.ordering() {
            Ordering::Total => {
                let claimed = claim(target, memory, &mut *sink).await?;
                let progress = Progress::new(claimed.checkpoint, sink.commit_boundary());
                (progress, claimed.kept_by_sink)
            }
            // Partitions are claimed as they are assigned.
            Ordering::PerPartition => {
                let log = Some(shared.spec.transport.log());
                let none = Checkpoint { epoch: 0, log, ..Checkpoint::default() };
                (Progress::shared(none), true)
            }
        };
        let parked =
            Parked::load(&*shared.spec.dead_letters, target, progress.checkpoint()).await?;
        for (partition, place) in &progress.checkpoint().partitions {
            release(target, partition, place.offset).await?;
        }
        let delivery = sink.delivery();
        let newest = newest(progress.checkpoint());
        shared.update_sink(target.index, |status| {
            status.delivery = Some(delivery);
            status.position = newest;
            status.state = ConnectorState::Running;
            status.dead_letters = parked.count();
            status.parked_tables = parked.tables();
        });
        let transport = std::sync::Arc::clone(&shared.spec.transport);
        Ok(Self {
            target,
            readers: Readers::new(transport, shared.read_bytes_max()),
            decoder: shared.spec.format.decoder(),
            writer: Writer::new(target, memory, sink, kept_by_sink, progress, parked),
            goals: None,
            others_asked_at: Instant::now(),
        })
    }

    async fn follow(&mut self, stop: &CancellationToken) -> Result<End> {
        let shared = &self.target.shared;
        let group = &self.target.spec.sink_id;
        let mut membership = shared.spec.transport.join(group).await?;
        let mut letters_at = Instant::now();
        loop {
            let commit_at = self.writer.commit_due_at();
            tokio::select! { biased;
                () = stop.cancelled() => return Ok(End::Stopped),
                event = membership.events.recv() => match event {
                    Some(event) => self.member(event).await?,
                    None => return Err(error::membership_ended()),
                },
                () = shared.currency.log_is_current(), if self.goals.is_none() => {
                    self.set_goals().await?;
                }
                () = tokio::time::sleep(OTHERS_INTERVAL),
                    if self.goals.is_some() && shared.is_shared() => {}
                () = tokio::time::sleep_until(commit_at.unwrap_or_else(Instant::now)),
                    if commit_at.is_some() => self.writer.commit_what_is_due().await?,
                () = tokio::time::sleep_until(letters_at), if self.writer.may_redeliver() => {
                    letters_at = Instant::now() + LETTERS_INTERVAL;
                    if let Some(end) = self.writer.redeliver().await? {
                        return Ok(end);
                    }
                }
                Some((partition, batch, idle)) = self.readers.next(), if !self.readers.is_empty() => {
                    if let Some(end) = self.take(&partition, batch?).await? {
                        return Ok(end);
                    }
                    self.readers.resume(idle);
                }
            }
            if self.goals.is_some() && self.is_current().await? {
                return Ok(End::Current);
            }
        }
    }

    /// Passes one batch on and commits where it is time to.
    async fn take(&mut self, from: &TopicPartition, batch: RecordBatch) -> Result<Option<End>> {
        let (next, end) = (batch.next, batch.end);
        let newest = self.writer.progress.newest(from);
        let mut fresh = intake::fresh(&mut *self.decoder, batch, newest).await?;
        let caught_up = next >= end;
        self.target.shared.update_sink(self.target.index, |status| {
            status.lag_records = end.0.saturating_sub(next.0) + fresh.len() as u64;
        });
        let whole = fresh.iter().rposition(|f| f.delivered.change.ends_transaction);
        let rest = fresh.split_off(whole.map_or(0, |last| last + 1));
        for part in [fresh, rest] {
            if let Some(end) = self.writer.write(from, part).await? {
                return Ok(Some(end));
            }
            let now = Instant::now();
            if self.writer.progress.due(now) || (caught_up && self.writer.is_worth_a_commit()) {
                self.writer.commit().await?;
            }
        }
        self.writer.progress.moved(from, next, None);
        self.writer.note_moved();
        Ok(None)
    }

    async fn member(&mut self, event: MembershipEvent) -> Result<()> {
        match event {
            MembershipEvent::Assigned(partitions) => self.assign(partitions).await?,
            MembershipEvent::Revoked { partitions, done } => {
                self.revoke(&partitions).await?;
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the revoked partitions");
                }
            }
        }
        Ok(())
    }

    async fn set_goals(&mut self) -> Result<()> {
        let mut goals = BTreeMap::new();
        let transport = &self.target.shared.spec.transport;
        for partition in transport.partitions().await? {
            let end = transport.end(&partition).await?;
            if end > Offset(0) {
                goals.insert(partition, end);
            }
        }
        self.goals = Some(goals);
        Ok(())
    }

    /// Has the sink everything that it was to get, what other processes deliver included?
    async fn is_current(&mut self) -> Result<bool> {
        let Some(goals) = &self.goals else { return Ok(false) };
        let progress = &self.writer.progress;
        if progress.uncommitted() > 0 {
            return Ok(false);
        }
        let mut elsewhere = Vec::new();
        for (at, goal) in goals {
            match progress.checkpoint().partitions.get(at) {
                Some(place) if place.offset < *goal => return Ok(false),
                Some(_) => {}
                None => elsewhere.push(at.clone()),
            }
        }
        if elsewhere.is_empty() {
            return Ok(true);
        }
        if !self.target.shared.is_shared() || self.others_asked_at.elapsed() < OTHERS_INTERVAL {
            return Ok(false);
        }
        self.others_asked_at = Instant::now();
        let group = &self.target.spec.sink_id;
        let told = self.target.shared.spec.transport.committed(group, &elsewhere).await?;
        let reached = |at: &TopicPartition| {
            let place = told.get(at).map_or(Offset(0), |place| place.offset);
            goals.get(at).is_none_or(|goal| place >= *goal)
        };
        Ok(elsewhere.iter().all(reached))
    }
}

/// What a sink said when it was claimed.
struct Claimed {
    checkpoint: Checkpoint,
    kept_by_sink: bool,
}

/// Makes this session the sink's only writer, and finds where it goes on.
async fn claim(target: &Target, memory: &mut Memory, sink: &mut dyn Sink) -> Result<Claimed> {
    let shared = &target.shared;
    let log = shared.spec.transport.log();
    let mut epoch = shared.epoch.current();
    let kept_by_sink = sink.claim(epoch).await?;
    let (mut checkpoint, kept_by_sink) = match kept_by_sink {
        Some(stored) => (stored, true),
        None => (shared.spec.checkpoints.load(&consumer(&target.context)).await?, false),
    };
    if kept_by_sink && checkpoint.epoch > epoch {
        let other_log = checkpoint.log.is_some_and(|theirs| theirs != log);
        if memory.claimed || !other_log {
            return Err(error::fenced(
                &format!("sink {}", target.spec.sink_id),
                epoch,
                checkpoint.epoch,
            ));
        }
        epoch = shared.epoch.raise_above(checkpoint.epoch).await?;
        checkpoint = sink.claim(epoch).await?.unwrap_or_default();
    }
    memory.claimed = true;
    checkpoint.epoch = epoch;
    if checkpoint.log.is_some_and(|theirs| theirs != log) {
        // Offsets of another log mean nothing here; positions still tell what was delivered.
        for place in checkpoint.partitions.values_mut() {
            place.offset = Offset(0);
        }
        if sink.keeps_rows() && shared.spec.source.begins_with_rows() {
            refill::begin(&mut checkpoint);
        }
    }
    checkpoint.log = Some(log);
    Ok(Claimed { checkpoint, kept_by_sink })
}

/// The name under which the engine keeps a sink's checkpoint.
pub(crate) fn consumer(context: &SinkContext) -> String {
    format!("sink/{}", context.sink_id)
}
