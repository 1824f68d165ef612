//! Single rows on their way from an INSERT through `cdc` to a webhook.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use cdc_testkit::services::Receiver;
use tokio::time::{Instant, sleep};

use super::arena::Arena;
use super::measure::Running;
use super::percentile::milliseconds;
use super::subject::{Pipeline, Subject};
use super::workload;

const ARRIVAL_WAIT_MAX: Duration = Duration::from_secs(120);

/// A running `cdc` whose only sink is our webhook.
pub(super) struct Webhook<'a> {
    arena: &'a Arena<'a>,
    receiver: Receiver,
    running: Running,
    _files: Subject,
    /// When each row was sent; the place is the row's id.
    sent: Vec<Instant>,
}

impl<'a> Webhook<'a> {
    /// Creates the table, starts `cdc` and waits until a first row has arrived.
    pub(super) async fn start(arena: &'a Arena<'a>) -> anyhow::Result<Self> {
        workload::create_table(&arena.client).await?;
        let receiver = Receiver::start().await?;
        let sink = format!(
            "{{ sink_id: webhook, sink_type: webhook, webhook: {{ url: \"{}\" }} }}",
            receiver.url()
        );
        let pipeline = Pipeline { snapshot_mode: "initial", sink: Some(&sink), ..Pipeline::STREAM };
        let files = Subject::new(arena, &pipeline)?;
        let running = Running::start(&mut files.command("run"))?;
        let mut webhook = Self { arena, receiver, running, _files: files, sent: Vec::new() };
        webhook.insert().await?;
        webhook.wait_for_all().await?;
        Ok(webhook)
    }

    /// Number of the process of `cdc`.
    pub(super) fn process(&self) -> u32 {
        self.running.id()
    }

    /// How many rows were sent.
    pub(super) fn sent_count(&self) -> usize {
        self.sent.len()
    }

    /// Inserts one row and returns how long that took.
    pub(super) async fn insert(&mut self) -> anyhow::Result<Duration> {
        let sql = format!(
            "INSERT INTO events VALUES ({}, 1, 'kind', 9.99, now(), true, repeat('x', 72))",
            self.sent.len()
        );
        let before = Instant::now();
        self.sent.push(before);
        self.arena.client.batch_execute(&sql).await.context("insert a row")?;
        Ok(before.elapsed())
    }

    /// Waits until every row has arrived.
    pub(super) async fn wait_for_all(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + ARRIVAL_WAIT_MAX;
        while self.receiver.accepted_count() < self.sent.len() as u64 {
            ensure!(self.running.runs()?, "cdc ended by itself");
            ensure!(Instant::now() < deadline, "the webhook did not get every change");
            sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// How long each row from this one on took to arrive, in milliseconds.
    pub(super) fn delays(&self, first: usize) -> anyhow::Result<Vec<f64>> {
        let mut delays = Vec::new();
        for request in self.receiver.accepted() {
            let body = request.json();
            let id = body.pointer("/value/after/id").and_then(serde_json::Value::as_u64);
            let id = usize::try_from(id.context("a request without an id")?)?;
            if id >= first {
                let sent = self.sent.get(id).context("an unknown id")?;
                delays.push(milliseconds(request.at.duration_since(*sent)));
            }
        }
        Ok(delays)
    }
}
