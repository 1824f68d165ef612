//! The first copy of the tables: those that can be are copied beside the stream, the others before it.

use super::{PostgresSource, beat, beside::copied_beside};
use crate::{
    backfill::Progress,
    connection::Sql,
    position::{Lsn, Phase, Resume},
    replication::ReplicationClient,
    snapshot,
    stream::{Members, Reporter},
};
use bytes::Bytes;
use cdc_core::{ChangeBatch, Complete, Position, Result, SourceContext, status::ConnectorState};
use std::{collections::BTreeSet, time::Duration};

/// An operator is told what a snapshot waits for after this time.
const SNAPSHOT_WAIT_WARNED: Duration = Duration::from_secs(5);

/// What a first copy needs to know.
pub(super) struct FirstCopy<'a> {
    pub(super) source: &'a PostgresSource,
    pub(super) context: &'a SourceContext,
    pub(super) reporter: &'a Reporter<'a>,
    /// Have rows of an earlier copy been handed over?
    pub(super) start_over: bool,
    /// Do destinations keep those rows of it that can be told apart? They are compared later.
    pub(super) keep: bool,
    /// Where the stream begins, when nothing is read before it.
    pub(super) stream_from: Lsn,
}

impl FirstCopy<'_> {
    /// Reads what has to be read before the stream, and returns where that begins; `None` when asked to
    /// stop.
    pub(super) async fn take(
        &self,
        sql: &Sql,
        replication: &mut ReplicationClient,
        state: Resume,
    ) -> Result<Option<Resume>> {
        let config = &*self.source.config;
        let streams = config.snapshot_mode.streams();
        // What joins from here on may not be part of the copy.
        let members = match streams {
            true => Some(Members::now(config, sql).await?),
            false => None,
        };
        let beside = match streams {
            true => copied_beside(config, &self.source.selection, sql).await?,
            false => None,
        };
        // Rows are told apart, and later ordered, beside the stream only.
        let keep = self.keep && beside.is_some();
        let state = Resume { members, comparison_due: keep, ..state };
        let from = match &beside {
            Some(beside) if beside.others.is_empty() => Some(self.stream_from),
            Some(beside) => self.at_one_point(replication, &state, Some(&beside.others)).await?,
            None => self.at_one_point(replication, &state, None).await?,
        };
        let Some(lsn) = from else { return Ok(None) };
        let phase = if streams { Phase::Stream } else { Phase::Done };
        let backfill = beside.map(|_| Progress::beginning(self.start_over && !keep));
        let resume = Resume { phase, lsn, backfill, ..state };
        Ok(beat(self.context, lsn, &resume).await.then_some(resume))
    }

    /// Reads all rows of all tables, or of some, at one point of the log, and returns that point;
    /// `None` when asked to stop.
    async fn at_one_point(
        &self,
        replication: &mut ReplicationClient,
        state: &Resume,
        only: Option<&BTreeSet<u32>>,
    ) -> Result<Option<Lsn>> {
        let Self { context, reporter, start_over, .. } = *self;
        let config = &*self.source.config;
        reporter.state(ConnectorState::Snapshotting, true);
        let exported = {
            let create = replication.create_temporary_slot();
            tokio::pin!(create);
            tokio::select! {
                biased;
                exported = &mut create => exported?,
                () = tokio::time::sleep(SNAPSHOT_WAIT_WARNED) => {
                    reporter.warning(Some(
                        "the snapshot waits for transactions that are open on the server to end".to_owned(),
                    ));
                    let exported = create.await?;
                    reporter.warning(None);
                    exported
                }
            }
        };
        tracing::info!(consistent_point = %exported.consistent_point, "snapshot begins");
        let resume =
            Resume { phase: Phase::Snapshot, lsn: exported.consistent_point, ..state.clone() };
        if !start_over && !announce(context, resume.to_bytes()).await {
            return Ok(None);
        }
        let publication =
            config.snapshot_mode.streams().then_some(config.publication_name.as_str());
        let request = snapshot::Request {
            config,
            selection: &self.source.selection,
            publication,
            snapshot_name: &exported.snapshot_name,
            consistent_point: exported.consistent_point,
            resume: resume.to_bytes(),
            start_over,
            only,
        };
        snapshot::run(request, context).await?;
        if context.cancel.is_cancelled() {
            return Ok(None);
        }
        tracing::info!("snapshot is complete at one point");
        Ok(Some(exported.consistent_point))
    }
}

/// Has it recorded that a snapshot begins, before the first row of it goes out: a snapshot that is cut
/// short must be known to have begun, so that the next one empties the tables first. `false` when the
/// pipeline is gone.
async fn announce(context: &SourceContext, resume: Bytes) -> bool {
    let end = Position::default();
    let batch =
        ChangeBatch { changes: Vec::new(), end, resume, size_bytes: 0, complete: Complete::No };
    if context.out.send(batch).await.is_err() {
        return false;
    }
    let mut durable = context.durable.clone();
    durable.wait_for(Option::is_some).await.is_ok()
}
