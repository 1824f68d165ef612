//! The first copy: complete, consistent, in our own forms, and with errors that say what to do.

mod refusals;

use crate::harness::{self, Pipeline, config, database, servers};
use bytes::Bytes;
use cdc_core::{
    Change, ChangeBatch, Error, Operation, SourceContext, TableId, Value,
    channel::{BatchReceiver, batch_channel},
    clock::SystemClock,
    status::SourceStatus,
};
use cdc_source_postgres::{
    Config, Lsn, SnapshotMode,
    schema::Selection,
    snapshot::{self, Request},
};
use cdc_testkit::services::Postgres;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::{sync::watch, task::JoinSet};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

const POINT: Lsn = Lsn(1_000);

/// What a snapshot handed over.
struct Copied {
    batches: Vec<ChangeBatch>,
    status: SourceStatus,
    outcome: Result<(), Error>,
}

impl Copied {
    fn changes(&self) -> impl Iterator<Item = &Change> {
        self.batches.iter().flat_map(|batch| &batch.changes)
    }

    fn of<'a>(&'a self, table: &'a str) -> Vec<&'a Change> {
        self.changes().filter(|change| change.schema.table.name == table).collect()
    }

    fn tables(&self) -> Vec<&TableId> {
        let mut tables: Vec<&TableId> = self.changes().map(|change| &change.schema.table).collect();
        tables.dedup();
        tables
    }

    fn failure(self) -> Error {
        self.outcome.expect_err("the snapshot fails")
    }
}

/// A snapshot to take.
struct Copy<'a> {
    server: &'a Postgres,
    config: Config,
    tables: Vec<&'a str>,
    publication: Option<&'a str>,
    start_over: bool,
    snapshot_name: Option<String>,
}

impl<'a> Copy<'a> {
    fn new(server: &'a Postgres, database: &str, tables: &[&'a str]) -> Self {
        Self {
            server,
            config: config(server, database),
            tables: tables.to_vec(),
            publication: None,
            start_over: false,
            snapshot_name: None,
        }
    }

    /// Exports a snapshot as of now and copies it.
    async fn run(self) -> Copied {
        let (_session, exported) = export(self.server, &self.config.database).await;
        let name = self.snapshot_name.clone().unwrap_or(exported);
        self.import(name).await
    }

    async fn import(self, snapshot_name: String) -> Copied {
        let (context, mut batches, seen) = context(4, 8 << 20);
        let patterns: Vec<String> = self.tables.iter().map(|text| (*text).to_owned()).collect();
        let selection = Selection::parse(&patterns).unwrap();
        let publication = self.publication.map(str::to_owned);
        let (config, start_over) = (self.config, self.start_over);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let request = Request {
                config: &config,
                selection: &selection,
                publication: publication.as_deref(),
                snapshot_name: &snapshot_name,
                consistent_point: POINT,
                resume: Bytes::from_static(b"resume"),
                start_over,
                only: None,
            };
            let outcome = snapshot::run(request, &context).await;
            (outcome, context)
        });
        let mut received = Vec::new();
        let all = async {
            loop {
                tokio::select! {
                    biased;
                    Some(batch) = batches.recv() => received.push(batch.batch),
                    Some(ended) = task.join_next() => {
                        let (outcome, context) = ended.unwrap();
                        drop(context);
                        while let Some(batch) = batches.recv().await {
                            received.push(batch.batch);
                        }
                        return outcome;
                    }
                }
            }
        };
        let outcome = tokio::time::timeout(harness::PATIENCE, all).await.expect("it ends in time");
        let copied = Copied { batches: received, status: seen.borrow().clone(), outcome };
        check_promises(&copied);
        copied
    }
}

/// What a source is lent, with room for so many batches and bytes.
fn context(
    batches: usize,
    bytes: u32,
) -> (SourceContext, BatchReceiver, watch::Receiver<SourceStatus>) {
    let (out, batches) = batch_channel(batches, bytes);
    let (status, seen) = watch::channel(SourceStatus::default());
    let (_, durable) = watch::channel(None);
    let context = SourceContext {
        compares: false,
        resume: None,
        out,
        durable,
        status,
        clock: Arc::new(SystemClock),
        cancel: CancellationToken::new(),
    };
    (context, batches, seen)
}

/// A session that exports a snapshot as long as it lives, and the snapshot's name.
async fn export(server: &Postgres, database: &str) -> (Client, String) {
    let session = server.connect(database).await.unwrap();
    session.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let exported = session.query_one("SELECT pg_export_snapshot()", &[]).await.unwrap();
    (session, exported.get(0))
}

/// What every snapshot promises, whatever its tables.
fn check_promises(copied: &Copied) {
    let mut ordinal = 0;
    let mut ended = BTreeSet::new();
    let mut open: Option<&TableId> = None;
    for change in copied.changes() {
        ordinal += 1;
        assert_eq!(change.position.commit, POINT.commit() - 1);
        assert_eq!(change.position.ordinal, ordinal, "ordinals count through all tables");
        assert_eq!(change.log_address, POINT.0);
        let table = &change.schema.table;
        assert!(!ended.contains(table), "nothing follows the end of a table");
        assert!(open.is_none_or(|open| open == table), "a table ends before the next begins");
        open = (!change.ends_transaction).then_some(table);
        if change.ends_transaction {
            ended.insert(table);
        }
        if let Some(row) = &change.after {
            assert_eq!(row.len(), change.schema.columns.len());
        }
    }
    assert!(copied.outcome.is_err() || open.is_none(), "the last table ends");
    for batch in &copied.batches {
        let last = batch.changes.last().expect("no empty batches");
        assert_eq!(batch.end, last.position);
        assert_eq!(batch.resume, "resume");
        let bytes: usize = batch.changes.iter().map(Change::size_bytes).sum();
        assert_eq!(batch.size_bytes, bytes);
        assert!(batch.changes.len() == 1 || bytes <= 1 << 20, "batches are bounded by bytes");
    }
}

fn ints(changes: &[&Change]) -> Vec<i64> {
    let first = |change: &&Change| match change.after.as_ref().map(|row| row[0].clone()) {
        Some(Value::Int(number)) => number,
        other => panic!("not a number: {other:?}"),
    };
    changes.iter().map(first).collect()
}

#[tokio::test]
async fn all_rows_of_all_tables_come_once_in_bounded_batches() {
    for server in servers() {
        let (name, _client) = database(
            server,
            "CREATE TABLE a (id int PRIMARY KEY, t text); CREATE TABLE empty (id int); CREATE TABLE z (id int);
             INSERT INTO a SELECT n, repeat('x', 100) FROM generate_series(1, 50000) AS n; INSERT INTO z VALUES (7);
             ANALYZE a",
        )
        .await;
        let copied = Copy::new(server, &name, &["public.*"]).run().await;
        copied.outcome.as_ref().unwrap();
        assert_eq!(ints(&copied.of("a")), (1..=50_000).collect::<Vec<_>>());
        assert_eq!(ints(&copied.of("z")), [7]);
        assert_eq!(copied.tables().len(), 3);
        assert!(copied.batches.len() > 10);
        for change in copied.changes() {
            let empty = change.schema.table.name == "empty";
            let expected = if empty { Operation::Truncate } else { Operation::Snapshot };
            assert_eq!(change.operation, expected, "only a truncate tells of an empty table");
        }
        let first = &copied.batches[0].changes[0];
        let all = copied.changes().filter(|change| change.schema.table == first.schema.table);
        for change in all {
            assert!(Arc::ptr_eq(&change.schema, &first.schema), "one schema, one allocation");
        }
        let progress = &copied.status.snapshot;
        let rows: Vec<u64> = progress.iter().map(|table| table.rows).collect();
        assert_eq!(rows, [50_000, 0, 1]);
        assert!(progress.iter().all(|table| table.done));
        assert_eq!(progress[0].rows_estimated, Some(50_000));
        assert_eq!(progress[1].rows_estimated, None, "never analysed");
    }
}

#[tokio::test]
async fn a_snapshot_that_starts_over_empties_each_table_first() {
    let server = servers()[0];
    let (name, _client) = database(
        server,
        "CREATE TABLE a (id int); CREATE TABLE empty (id int); INSERT INTO a VALUES (1), (2)",
    )
    .await;
    let mut copy = Copy::new(server, &name, &[]);
    copy.start_over = true;
    let copied = copy.run().await;
    copied.outcome.as_ref().unwrap();
    let operations =
        |table| copied.of(table).iter().map(|change| change.operation).collect::<Vec<_>>();
    assert_eq!(operations("a"), [Operation::Truncate, Operation::Snapshot, Operation::Snapshot]);
    assert_eq!(operations("empty"), [Operation::Truncate]);
    assert!(copied.of("a")[0].after.is_none());
    assert!(copied.of("empty")[0].ends_transaction);
}

#[tokio::test]
async fn names_that_need_quotes_are_copied_by_name() {
    for server in servers() {
        let (name, _client) = database(
            server,
            r#"CREATE SCHEMA "Odd.Schema"; CREATE TABLE "Odd.Schema"."Größe ""x"" 漢" ("select" int PRIMARY KEY, "a""b" text, "naïve Spalte" int);
               INSERT INTO "Odd.Schema"."Größe ""x"" 漢" VALUES (1, 'ü', 2)"#,
        )
        .await;
        let copied = Copy::new(server, &name, &[r#""Odd.Schema"."Größe ""x"" 漢""#]).run().await;
        copied.outcome.as_ref().unwrap();
        let change = copied.changes().next().unwrap();
        assert_eq!(change.schema.table, TableId::new("Odd.Schema", "Größe \"x\" 漢"));
        let names: Vec<&str> =
            change.schema.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["select", "a\"b", "naïve Spalte"]);
        assert_eq!(
            change.after.as_deref(),
            Some([Value::Int(1), Value::text("ü"), Value::Int(2)].as_slice())
        );
        assert_eq!(change.schema.key, [0]);
    }
}

#[tokio::test]
async fn partitions_are_read_by_their_root_and_inheritance_is_not_followed() {
    for server in servers() {
        let (name, _client) = database(
            server,
            "CREATE TABLE m (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
             CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (10);
             CREATE TABLE m2 PARTITION OF m FOR VALUES FROM (10) TO (20) PARTITION BY LIST (id);
             CREATE TABLE m2a PARTITION OF m2 DEFAULT;
             INSERT INTO m SELECT n, n FROM generate_series(1, 19) AS n; ANALYZE m1; ANALYZE m2a;
             CREATE TABLE parent (id int); CREATE TABLE child () INHERITS (parent);
             INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2)",
        )
        .await;
        let copied = Copy::new(server, &name, &[]).run().await;
        copied.outcome.as_ref().unwrap();
        let mut ids = ints(&copied.of("m"));
        ids.sort_unstable();
        assert_eq!(ids, (1..=19).collect::<Vec<_>>());
        assert_eq!(ints(&copied.of("parent")), [1]);
        assert_eq!(ints(&copied.of("child")), [2]);
        assert_eq!(copied.tables().len(), 3);
        let m = copied.status.snapshot.iter().find(|table| table.table.name == "m").unwrap();
        assert_eq!(m.rows_estimated, Some(19));
        let leaf = Copy::new(server, &name, &["public.m2a"]).run().await;
        assert_eq!(leaf.of("m2a").len(), 10);
    }
}

#[tokio::test]
async fn columns_that_the_stream_leaves_out_are_left_out() {
    for server in servers() {
        let (name, client) = database(
            server,
            "CREATE TABLE t (id int PRIMARY KEY, gone int, a int, s int GENERATED ALWAYS AS (a * 2) STORED, b text);
             ALTER TABLE t DROP COLUMN gone; INSERT INTO t (id, a, b) VALUES (1, 2, 'x'), (2, 20, 'y');
             CREATE TABLE none (); INSERT INTO none DEFAULT VALUES",
        )
        .await;
        let copied = Copy::new(server, &name, &[]).run().await;
        copied.outcome.as_ref().unwrap();
        let row = |change: &Change| change.after.clone().unwrap().into_vec();
        assert_eq!(row(copied.of("t")[0]), [Value::Int(1), Value::Int(2), Value::text("x")]);
        assert_eq!(row(copied.of("none")[0]), []);
        client
            .batch_execute("CREATE PUBLICATION narrow FOR TABLE t (id, b) WHERE (id > 1)")
            .await
            .unwrap();
        let mut copy = Copy::new(server, &name, &["public.t"]);
        copy.publication = Some("narrow");
        let copied = copy.run().await;
        let rows: Vec<_> = copied.changes().map(row).collect();
        assert_eq!(rows, [[Value::Int(2), Value::text("y")]]);
        let version =
            client.query_one("SELECT current_setting('server_version_num')::int", &[]).await;
        if version.unwrap().get::<_, i32>(0) >= 180_000 {
            let publish = "CREATE PUBLICATION generated FOR TABLE t WITH (publish_generated_columns = stored)";
            client.batch_execute(publish).await.unwrap();
            let mut copy = Copy::new(server, &name, &["public.t"]);
            copy.publication = Some("generated");
            let copied = copy.run().await;
            copied.outcome.as_ref().unwrap();
            assert_eq!(row(copied.of("t")[0])[2], Value::Int(4));
        }
    }
}

#[tokio::test]
async fn sums_hold_while_transfers_go_on() {
    for server in servers() {
        let (name, _client) = database(
            server,
            "CREATE TABLE a (id int PRIMARY KEY, balance int8); CREATE TABLE b (id int PRIMARY KEY, balance int8);
             INSERT INTO a SELECT n, 100 FROM generate_series(1, 2000) AS n; INSERT INTO b SELECT * FROM a",
        )
        .await;
        let mut load = JoinSet::new();
        for writer in 0..3 {
            let session = server.connect(&name).await.unwrap();
            load.spawn(async move {
                for round in 0.. {
                    let (from, to) = (round * 7 % 2000 + 1, round * 13 % 2000 + 1);
                    let (x, y) = if (round + writer) % 2 == 0 { ("a", "b") } else { ("b", "a") };
                    let transfer = format!(
                        "BEGIN; UPDATE {x} SET balance = balance - 3 WHERE id = {from}; UPDATE {y} SET balance = balance + 3 WHERE id = {to}; COMMIT"
                    );
                    if session.batch_execute(&transfer).await.is_err() {
                        session.batch_execute("ROLLBACK").await.unwrap();
                    }
                }
            });
        }
        let mut pipeline = Pipeline::provisioned(Config {
            snapshot_mode: SnapshotMode::Initial,
            ..config(server, &name)
        })
        .await;
        let mut running = pipeline.start().await;
        running.until_changes(6_000).await;
        load.shutdown().await;
        running.until_current().await;
        running.stop().await.unwrap();
        let mut tables: BTreeMap<(String, i64), i64> = BTreeMap::new();
        let of_snapshot = |change: &Change| change.operation == Operation::Snapshot;
        let last_copied = pipeline.changes.iter().rposition(of_snapshot).unwrap();
        for (place, change) in pipeline.changes.iter().enumerate() {
            let Some([Value::Int(id), Value::Int(balance)]) = change.after.as_deref() else {
                panic!("{change:?}")
            };
            tables.insert((change.schema.table.name.clone(), *id), *balance);
            if place >= last_copied && change.ends_transaction {
                assert_eq!(tables.values().sum::<i64>(), 400_000, "at {}", change.position);
            }
        }
        let client = server.connect(&name).await.unwrap();
        for row in client
            .query("SELECT 'a', id, balance FROM a UNION ALL SELECT 'b', id, balance FROM b", &[])
            .await
            .unwrap()
        {
            let key = (row.get::<_, String>(0), i64::from(row.get::<_, i32>(1)));
            assert_eq!(tables.remove(&key), Some(row.get(2)), "{key:?}");
        }
        assert!(tables.is_empty());
    }
}

#[tokio::test]
async fn the_widest_table_and_the_widest_value_come_through() {
    let server = servers()[0];
    let columns: Vec<String> = (0..1_600).map(|index| format!("c{index} int2")).collect();
    let values: Vec<String> = (0..1_600).map(|index| index.to_string()).collect();
    let (name, _client) = database(
        server,
        &format!(
            "CREATE TABLE wide ({}); INSERT INTO wide VALUES ({}); CREATE TABLE deep (id int, t text, b bytea);
             INSERT INTO deep SELECT 1, repeat('0123456789', 5000000), decode(repeat('00ff', 10000000), 'hex');
             INSERT INTO deep VALUES (2, NULL, '')",
            columns.join(","),
            values.join(",")
        ),
    )
    .await;
    let copied = Copy::new(server, &name, &[]).run().await;
    copied.outcome.as_ref().unwrap();
    let row = copied.of("wide")[0].after.clone().unwrap();
    assert!(
        row.iter()
            .enumerate()
            .all(|(index, value)| *value == Value::Int(i64::try_from(index).unwrap()))
    );
    let row = copied.of("deep")[0].after.clone().unwrap();
    let Value::Text(text) = &row[1] else { panic!("text") };
    assert_eq!(text.len(), 50_000_000);
    assert!(text.chunks(10).all(|digits| digits == b"0123456789"));
    let Value::Bytes(bytes) = &row[2] else { panic!("bytes") };
    assert_eq!(bytes.len(), 20_000_000);
    assert_eq!(copied.of("deep").len(), 2);
}

#[tokio::test]
async fn a_thousand_tables_take_as_many_catalog_queries_as_one() {
    let server = servers()[0];
    let (name, client) = database(server, "").await;
    let create: Vec<String> = (0..1_000)
        .map(|index| format!("CREATE TABLE t{index:04} (id int PRIMARY KEY, v text); INSERT INTO t{index:04} VALUES ({index});"))
        .collect();
    for some in create.chunks(100) {
        client.batch_execute(&some.concat()).await.unwrap();
    }
    let copied = Copy::new(server, &name, &[]).run().await;
    copied.outcome.as_ref().unwrap();
    assert_eq!(copied.tables().len(), 1_000);
    let all: Vec<&Change> = copied.changes().collect();
    assert_eq!(ints(&all), (0..1_000).collect::<Vec<_>>());
    assert!(all.iter().all(|change| change.ends_transaction));
}
