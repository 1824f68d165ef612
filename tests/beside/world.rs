//! The servers, and a workload that every contender reads to its end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cdc_registry::client::{Client as RegistryClient, Config};
use cdc_registry::embedded::{MemoryStore, Registry};
use cdc_registry::{Level, http};
use cdc_testkit::services::{Connect, Kafka, KafkaOptions, Options, Postgres, connect, skip};
use serde_json::Value;
use tokio_postgres::Client;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::contender::{Contender, Written};
use super::form::{Form, Registered, neutral};
use super::ours::Ours;
use super::{accepted, topics, workload};

const REACH_WAIT_MAX: Duration = Duration::from_secs(90);
// The end of a transaction is told right behind its last change.
const QUIET: Duration = Duration::from_millis(1500);
const DEAD_LETTERS: &str = ".dlq";
const POLL: Duration = Duration::from_millis(50);

/// What was written under one prefix, by the rest of the topic's name.
pub(super) type Topics = BTreeMap<String, Vec<Value>>;

/// One database, one cluster, one worker, and our registry.
pub(super) struct World {
    pub(super) server: Postgres,
    pub(super) database: String,
    pub(super) client: Client,
    pub(super) kafka: Kafka,
    pub(super) connect: Connect,
    pub(super) registry: String,
    _registry: DropGuard,
    ours: Vec<Ours>,
    marks: i32,
    /// Where the source was when everybody had made a first copy.
    began: u64,
}

impl World {
    /// Everything is started, and the database is empty; `None` where a server is missing, which is
    /// said.
    pub(super) async fn start(suite: &str) -> anyhow::Result<Option<Self>> {
        let major = Postgres::available().first().copied().unwrap_or(15);
        let missing = [Postgres::is_missing(major), Kafka::is_missing(), connect::missing()];
        if let Some(reason) = missing.into_iter().flatten().next() {
            skip(suite, &reason)?;
            return Ok(None);
        }
        let server = Postgres::start(Options { major, tls: false, ..Options::default() })?;
        let kafka = Kafka::start(&KafkaOptions::default())?;
        let connect = Connect::start(&kafka.bootstrap())?;
        let database = server.create_database("beside").await?;
        let client = server.connect(&database).await?;
        client.batch_execute("CREATE TABLE marks (number int PRIMARY KEY)").await?;
        let (registry, stop) = serve_registry().await?;
        // Columns change to types that nobody can read the old values with.
        let levels = RegistryClient::new(&Config::at(&registry))?;
        levels.set_level(None, Level::None).await?;
        Ok(Some(Self {
            server,
            database,
            client,
            kafka,
            connect,
            registry,
            _registry: stop,
            ours: Vec::new(),
            marks: 0,
            began: 0,
        }))
    }

    /// Starts Debezium on a publication of its own.
    pub(super) async fn start_debezium(&self, contender: &Contender) -> anyhow::Result<()> {
        self.publish(contender).await?;
        let (server, database) = (&self.server, self.database.as_str());
        contender.start_debezium(&self.connect, server, database, &self.registry)
    }

    /// Starts `cdc` likewise; its schemas are in this registry.
    pub(super) async fn start_ours(
        &mut self,
        contender: &Contender,
        registry: &str,
    ) -> anyhow::Result<()> {
        self.publish(contender).await?;
        let ours = Ours::start(self, contender, registry).await?;
        self.ours.push(ours);
        Ok(())
    }

    async fn publish(&self, contender: &Contender) -> anyhow::Result<()> {
        let sql = format!("CREATE PUBLICATION {} FOR ALL TABLES", contender.prefix);
        self.client.batch_execute(&sql).await.context("make a publication")
    }

    /// Runs the workload, each step once everybody has read the one before.
    pub(super) async fn work(&mut self, contenders: &[&Contender]) -> anyhow::Result<()> {
        // Behind the first copy, of which there is no telling how far it is.
        self.mark(contenders).await?;
        let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::text";
        self.began = self.client.query_one(sql, &[]).await?.get::<_, String>(0).parse()?;
        for step in workload::steps() {
            for statement in &step.sql {
                let done = self.client.batch_execute(statement).await;
                done.with_context(|| statement.clone())?;
            }
            self.mark(contenders).await?;
        }
        self.quiet(contenders).await
    }

    /// Waits until nobody writes any more.
    pub(super) async fn quiet(&self, contenders: &[&Contender]) -> anyhow::Result<()> {
        let mut before = BTreeMap::new();
        loop {
            let now = self.ends(contenders)?;
            if now == before {
                return Ok(());
            }
            before = now;
            tokio::time::sleep(QUIET).await;
        }
    }

    /// Writes a row and waits until everybody has sent it.
    pub(super) async fn mark(&mut self, contenders: &[&Contender]) -> anyhow::Result<()> {
        self.marks += 1;
        let sql = "INSERT INTO marks VALUES ($1)";
        self.client.execute(sql, &[&self.marks]).await.context("write a mark")?;
        let deadline = Instant::now() + REACH_WAIT_MAX;
        for contender in contenders {
            while !self.has_sent(contender) {
                self.check(contender)?;
                let (who, mark) = (contender.prefix, self.marks);
                ensure!(Instant::now() < deadline, "{who} does not come to mark {mark}");
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Has it sent as many marks as there are?
    fn has_sent(&self, contender: &Contender) -> bool {
        let topic = format!("{}.public.marks", contender.prefix);
        let sent = topics::end(&self.kafka.bootstrap(), &topic).unwrap_or_default();
        sent >= i64::from(self.marks)
    }

    /// Fails when one of them has ended.
    fn check(&mut self, contender: &Contender) -> anyhow::Result<()> {
        self.ours.iter_mut().try_for_each(Ours::is_running)?;
        self.connect.runs(contender.prefix).map(drop)
    }

    fn ends(&self, contenders: &[&Contender]) -> anyhow::Result<BTreeMap<String, i64>> {
        let bootstrap = self.kafka.bootstrap();
        let theirs = |name: &String| {
            contenders.iter().any(|one| name.starts_with(&format!("{}.", one.prefix)))
        };
        let names = topics::names(&bootstrap)?.into_keys().filter(theirs);
        names.map(|name| Ok((name.clone(), topics::end(&bootstrap, &name)?))).collect()
    }

    /// What one of them wrote, as it is stored.
    pub(super) fn stored(
        &self,
        contender: &Contender,
    ) -> anyhow::Result<BTreeMap<String, Vec<topics::Stored>>> {
        let (bootstrap, start) = (self.kafka.bootstrap(), format!("{}.", contender.prefix));
        let mut all = BTreeMap::new();
        for (topic, partitions) in topics::names(&bootstrap)? {
            if let Some(rest) = topic.strip_prefix(&start) {
                all.insert(rest.to_owned(), topics::read(&bootstrap, &topic, partitions)?);
            }
        }
        Ok(all)
    }

    /// The same as trees, without the names that only this one has.
    pub(super) async fn told(&self, contender: &Contender) -> anyhow::Result<Topics> {
        let mut form = match contender.written {
            Written::Json | Written::Plain | Written::JsonSchema | Written::Protobuf => Form::Json,
            Written::Avro => Form::Avro(Registered::at(&self.registry)?),
        };
        let mut all = Topics::new();
        // Copies of dead letters are in the log's own form.
        let told = |(topic, _): &(String, _)| !topic.ends_with(DEAD_LETTERS);
        for (topic, records) in self.stored(contender)?.into_iter().filter(told) {
            let mut trees = Vec::new();
            for record in &records {
                let tree = form.tree(record).await.with_context(|| topic.clone())?;
                let tree = neutral(tree, contender.prefix);
                if !accepted::is_scaffold(&topic, &tree, self.began) {
                    trees.push(tree);
                }
            }
            if topic == "transaction" {
                trees.sort_by_key(accepted::transaction);
            }
            in_order(&mut trees);
            all.insert(topic, trees);
        }
        Ok(all)
    }

    /// How many versions of schemas it registered, by the rest of the subject's name.
    pub(super) async fn versions(
        &self,
        contender: &Contender,
    ) -> anyhow::Result<BTreeMap<String, usize>> {
        let start = format!("{}.", contender.prefix);
        let all = Registered::at(&self.registry)?.versions().await?;
        let of = |(subject, count): (String, usize)| {
            Some((subject.strip_prefix(&start)?.to_owned(), count))
        };
        Ok(all.into_iter().filter_map(of).collect())
    }
}

/// Those of no key behind the others, without their partition: every producer spreads them as it likes.
fn in_order(records: &mut [Value]) {
    for record in records.iter_mut().filter(|record| record["key"].is_null()) {
        record["partition"] = Value::Null;
    }
    records.sort_by_key(|record| record["key"].is_null());
}

async fn serve_registry() -> anyhow::Result<(String, DropGuard)> {
    let registry = Arc::new(Registry::open(Arc::new(MemoryStore::default()))?);
    let server = http::Server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let url = format!("http://{}", server.address());
    let cancel = CancellationToken::new();
    tokio::spawn(server.serve(registry, cancel.clone()));
    Ok((url, cancel.drop_guard()))
}
