//! Runs a source as the engine would: one reader of its batches, which deduplicates by position, says
//! what is durable, and keeps the resume bytes.

use bytes::Bytes;
use cdc_core::{
    Change, Complete, Position, Result, SourceContext,
    catalog::SourceConnector,
    channel::{BatchReceiver, batch_channel},
    clock::SystemClock,
    status::SourceStatus,
};
use cdc_source_postgres::{Config, Connector, SnapshotMode};
use cdc_testkit::services::Postgres;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The servers that the suite runs against.
pub(crate) fn servers() -> Vec<&'static Postgres> {
    let majors = [15, 17, 18];
    let shared = |major| Postgres::shared_or_skip("source-postgres", major).expect("a server");
    majors.into_iter().filter_map(shared).collect()
}

/// The copy of a table under load may take longer, on a machine that does other things too.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(300);

/// A configuration for a database of a test server.
pub(crate) fn config(server: &Postgres, database: &str) -> Config {
    Config {
        host: server.host().to_owned(),
        port: server.port(),
        username: server.superuser().to_owned(),
        password: cdc_core::Secret::new(server.password()),
        slot_name: format!("slot_{database}"),
        publication_name: format!("Publication {database}"),
        snapshot_mode: SnapshotMode::Never,
        ..Config::new(database)
    }
}

/// A fresh database with the given tables, and a session in it.
pub(crate) async fn database(server: &Postgres, ddl: &str) -> (String, Client) {
    let name = server.create_database("stream").await.unwrap();
    let client = server.connect(&name).await.unwrap();
    client.batch_execute(ddl).await.unwrap();
    (name, client)
}

/// A pipeline that forgets nothing between runs of its source.
pub(crate) struct Pipeline {
    pub(crate) connector: Connector,
    /// Every change that was new, in order.
    pub(crate) changes: Vec<Change>,
    /// End of the newest batch.
    pub(crate) end: Position,
    /// End of the newest batch up to which everything has come, rows of the first copy included.
    pub(crate) complete: Position,
    /// The resume bytes that are durable.
    pub(crate) resume: Option<Bytes>,
    /// Are destinations compared when the source asks for it?
    pub(crate) compares: bool,
    /// Changes that came again.
    pub(crate) repeated: usize,
}

impl Pipeline {
    /// Creates what the source needs.
    pub(crate) async fn provisioned(config: Config) -> Self {
        let connector = Connector::new(config).unwrap();
        connector.provision().await.unwrap();
        Self::new(connector)
    }

    pub(crate) fn new(connector: Connector) -> Self {
        Self {
            connector,
            changes: Vec::new(),
            end: Position::default(),
            complete: Position::default(),
            resume: None,
            compares: false,
            repeated: 0,
        }
    }

    /// The same pipeline with another connector, as after a change of the configuration.
    pub(crate) fn with(mut self, connector: Connector) -> Self {
        self.connector = connector;
        self
    }

    pub(crate) async fn start(&mut self) -> Running<'_> {
        self.start_with(64, 8 << 20).await
    }

    /// Starts the source with room for so many batches and bytes.
    pub(crate) async fn start_with(&mut self, batches: usize, bytes: u32) -> Running<'_> {
        let (out, batches) = batch_channel(batches, bytes);
        let (durable, durable_seen) = watch::channel(None);
        let (status, status_seen) = watch::channel(SourceStatus::default());
        let cancel = CancellationToken::new();
        let context = SourceContext {
            compares: self.compares,
            resume: self.resume.clone(),
            out,
            durable: durable_seen,
            status,
            clock: Arc::new(SystemClock),
            cancel: cancel.clone(),
        };
        let source = self.connector.open().await.unwrap();
        let mut task = JoinSet::new();
        task.spawn(source.run(context));
        Running { pipeline: self, batches, durable, status: status_seen, cancel, task }
    }
}

/// A source that runs. Dropping it is a crash.
pub(crate) struct Running<'a> {
    pub(crate) pipeline: &'a mut Pipeline,
    pub(crate) batches: BatchReceiver,
    pub(crate) durable: watch::Sender<Option<Position>>,
    pub(crate) status: watch::Receiver<SourceStatus>,
    pub(crate) cancel: CancellationToken,
    task: JoinSet<Result<()>>,
}

impl Running<'_> {
    /// Takes one batch in, durably. `None` when the source has ended.
    pub(crate) async fn step(&mut self) -> Option<()> {
        let batch = tokio::time::timeout(PATIENCE, self.batches.recv())
            .await
            .expect("the source says something in time")?
            .batch;
        let pipeline = &mut *self.pipeline;
        let mut inside = Position::default();
        for change in batch.changes {
            assert!(change.position > inside, "positions grow inside a batch");
            assert!(change.position <= batch.end, "a batch ends with its last change");
            inside = change.position;
            let newest = pipeline.changes.last().map(|change| change.position);
            if newest.is_some_and(|newest| change.position <= newest) {
                pipeline.repeated += 1;
                continue;
            }
            if let Some(last) = pipeline.changes.last().filter(|last| last.transaction.id > 0) {
                let same = last.position.commit == change.position.commit
                    && last.schema.table == change.schema.table;
                assert!(!(same && last.ends_transaction), "nothing follows the end");
                if last.position.commit != change.position.commit {
                    assert!(last.ends_transaction, "a transaction that is over says so");
                }
            }
            pipeline.changes.push(change);
        }
        pipeline.end = pipeline.end.max(batch.end);
        if batch.complete == Complete::Yes {
            pipeline.complete = pipeline.complete.max(batch.end);
        }
        pipeline.resume = Some(batch.resume);
        self.durable.send_replace(Some(pipeline.end));
        Some(())
    }

    /// Takes batches in until there are so many changes.
    pub(crate) async fn until_changes(&mut self, count: usize) {
        while self.pipeline.changes.len() < count {
            let before = self.pipeline.changes.len();
            if self.step().await.is_none() {
                panic!("the source ended after {before} changes: {:?}", self.outcome().await);
            }
        }
    }

    /// Takes batches in until everything up to `position` has come.
    pub(crate) async fn until(&mut self, position: Position) {
        let started = tokio::time::Instant::now();
        while self.pipeline.complete < position {
            assert!(
                started.elapsed() < PATIENCE_IN_ALL,
                "{:?} does not reach {position:?}: {:?}",
                self.pipeline.complete,
                self.pipeline.resume.as_deref().map(String::from_utf8_lossy)
            );
            if self.step().await.is_none() {
                panic!("the source ended early: {:?}", self.outcome().await);
            }
        }
    }

    /// Takes batches in until everything that is committed by now has come.
    pub(crate) async fn until_current(&mut self) {
        let position = self.pipeline.connector.current_position().await.unwrap();
        self.until(position).await;
    }

    /// Takes batches in until a query that gives one boolean says yes.
    pub(crate) async fn until_true(&mut self, client: &Client, query: &str) {
        let wait = eventually(client, query);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                () = &mut wait => return,
                step = self.step() => step.unwrap(),
            }
        }
    }

    /// Takes batches in until the source ends by itself.
    pub(crate) async fn until_end(mut self) -> Result<()> {
        while self.step().await.is_some() {}
        self.outcome().await
    }

    /// How the source ended.
    pub(crate) async fn outcome(&mut self) -> Result<()> {
        let ended = tokio::time::timeout(PATIENCE, self.task.join_next()).await;
        ended.expect("the source ends in time").expect("a task").expect("no panic")
    }

    /// Asks the source to stop and takes in what it still has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.cancel.cancel();
        while self.step().await.is_some() {}
        self.outcome().await
    }
}

/// Waits until no session reads from the slot any more.
pub(crate) async fn slot_is_free(client: &Client, slot: &str) {
    let free =
        format!("SELECT active_pid IS NULL FROM pg_replication_slots WHERE slot_name = '{slot}'");
    eventually(client, &free).await;
}

/// Waits until a query that gives one boolean says yes.
pub(crate) async fn eventually(client: &Client, query: &str) {
    let wait = async {
        loop {
            let row = client.query_one(query, &[]).await.unwrap();
            if row.get::<_, Option<bool>>(0) == Some(true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never true: {query}"));
}
