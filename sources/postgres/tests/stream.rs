//! What the stream makes of committed changes.

use crate::harness::{Pipeline, config, database, eventually, servers};
use cdc_core::{Change, Operation, Row, TableId, Value, catalog::SourceConnector};
use cdc_source_postgres::{Config, Connector};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

fn text(text: &str) -> Value {
    Value::text(text)
}

fn row(values: impl Into<Vec<Value>>) -> Option<Row> {
    Some(values.into().into_boxed_slice())
}

fn operations(changes: &[Change]) -> Vec<Operation> {
    changes.iter().map(|change| change.operation).collect()
}

fn names(changes: &[Change]) -> Vec<String> {
    changes.iter().map(|change| change.schema.table.to_string()).collect()
}

#[tokio::test]
async fn every_operation_arrives_with_what_the_server_logged() {
    for server in servers() {
        let (name, client) = database(
            server,
            "CREATE TABLE t (id int PRIMARY KEY, note text, amount numeric(10,2))",
        )
        .await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        client
            .batch_execute(
                "INSERT INTO t VALUES (1, 'one', 1.50), (2, NULL, NULL);
                 UPDATE t SET note = 'uno' WHERE id = 1;
                 UPDATE t SET id = 3 WHERE id = 2;
                 DELETE FROM t WHERE id = 1;
                 TRUNCATE t",
            )
            .await
            .unwrap();
        let mut running = pipeline.start().await;
        running.until_changes(6).await;
        running.stop().await.unwrap();

        let amount = Value::Decimal("1.50".into());
        let changes = &pipeline.changes;
        assert_eq!(
            operations(changes),
            [
                Operation::Insert,
                Operation::Insert,
                Operation::Update,
                Operation::Update,
                Operation::Delete,
                Operation::Truncate
            ]
        );
        assert_eq!(changes[0].after, row([Value::Int(1), text("one"), amount.clone()]));
        assert_eq!(changes[1].after, row([Value::Int(2), Value::Null, Value::Null]));
        assert_eq!(
            (&changes[2].before, &changes[2].after),
            (&None, &row([Value::Int(1), text("uno"), amount]))
        );
        let old_key = row([Value::Int(2), Value::Unchanged, Value::Unchanged]);
        assert_eq!(changes[3].before, old_key);
        assert_eq!(changes[3].after, row([Value::Int(3), Value::Null, Value::Null]));
        let deleted = row([Value::Int(1), Value::Unchanged, Value::Unchanged]);
        assert_eq!((&changes[4].before, &changes[4].after), (&deleted, &None));
        assert_eq!((&changes[5].before, &changes[5].after), (&None, &None));

        // One statement list is one transaction.
        let ends: Vec<bool> = changes.iter().map(|change| change.ends_transaction).collect();
        assert_eq!(ends, [false, false, false, false, false, true]);
        let ordinals: Vec<u64> = changes.iter().map(|change| change.position.ordinal).collect();
        assert_eq!(ordinals, [1, 2, 3, 4, 5, 6]);
        let schema = &changes[0].schema;
        assert!(changes.iter().all(|change| Arc::ptr_eq(&change.schema, schema)));
        assert_eq!(
            (schema.table.clone(), schema.key.clone()),
            (TableId::new("public", "t"), vec![0])
        );
    }
}

#[tokio::test]
async fn values_that_were_not_logged_are_marked_and_a_full_old_row_fills_them_in() {
    for server in servers() {
        let ddl = "CREATE TABLE plain (id int PRIMARY KEY, n int, big text);
                   ALTER TABLE plain ALTER big SET STORAGE EXTERNAL;
                   CREATE TABLE whole (id int PRIMARY KEY, n int, big text);
                   ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;
                   ALTER TABLE whole REPLICA IDENTITY FULL";
        let (name, client) = database(server, ddl).await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        client
            .batch_execute(
                "INSERT INTO plain VALUES (1, 1, repeat('x', 100000));
                 INSERT INTO whole VALUES (1, 1, repeat('y', 100000));
                 UPDATE plain SET n = 2;
                 UPDATE whole SET n = 2;
                 DELETE FROM whole",
            )
            .await
            .unwrap();
        let mut running = pipeline.start().await;
        running.until_changes(5).await;
        running.stop().await.unwrap();

        let changes = &pipeline.changes;
        let big = text(&"y".repeat(100_000));
        assert_eq!(changes[2].after, row([Value::Int(1), Value::Int(2), Value::Unchanged]));
        assert_eq!(changes[3].before, row([Value::Int(1), Value::Int(1), big.clone()]));
        assert_eq!(changes[3].after, row([Value::Int(1), Value::Int(2), big.clone()]));
        assert_eq!(changes[4].before, row([Value::Int(1), Value::Int(2), big]));
    }
}

#[tokio::test]
async fn one_truncate_of_several_tables_is_one_change_each() {
    for server in servers() {
        let ddl = "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
                   CREATE TABLE c (id int PRIMARY KEY)";
        let (name, client) = database(server, ddl).await;
        let tables = vec!["public.a".to_owned(), "public.c".to_owned()];
        let base = config(server, &name);
        let mut pipeline =
            Pipeline::provisioned(Config { tables: tables.clone(), ..base.clone() }).await;
        client
            .batch_execute(&format!(
                "ALTER PUBLICATION \"{}\" ADD TABLE b; TRUNCATE a, b, c; INSERT INTO c VALUES (1)",
                base.publication_name
            ))
            .await
            .unwrap();
        let mut running = pipeline.start().await;
        running.until_changes(3).await;
        running.stop().await.unwrap();
        assert_eq!(names(&pipeline.changes), ["public.a", "public.c", "public.c"]);
        // `b` is published but not selected: it is not captured, and counts all the same.
        let ordinals: Vec<u64> =
            pipeline.changes.iter().map(|change| change.position.ordinal).collect();
        assert_eq!(ordinals.iter().max(), Some(&4));
    }
}

#[tokio::test]
async fn partitions_appear_under_the_name_of_their_root() {
    for server in servers() {
        let ddl = "CREATE TABLE m (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
                   CREATE TABLE m_2024 PARTITION OF m FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
                   CREATE TABLE m_rest (extra_first text, at date NOT NULL, id int NOT NULL);
                   ALTER TABLE m_rest DROP extra_first;
                   ALTER TABLE m ATTACH PARTITION m_rest DEFAULT";
        let (name, client) = database(server, ddl).await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        client
            .batch_execute(
                "INSERT INTO m VALUES (1, '2024-05-01'); INSERT INTO m VALUES (2, '1999-01-01');
                 UPDATE m SET at = '2024-06-01' WHERE id = 2;
                 CREATE TABLE m_2030 PARTITION OF m FOR VALUES FROM ('2030-01-01') TO ('2031-01-01');
                 INSERT INTO m VALUES (3, '2030-01-01'); TRUNCATE m",
            )
            .await
            .unwrap();
        let mut running = pipeline.start().await;
        running.until_changes(6).await;
        running.stop().await.unwrap();
        let changes = &pipeline.changes;
        assert!(names(changes).iter().all(|name| name == "public.m"), "{:?}", names(changes));
        // A row that moves between partitions leaves one and enters the other.
        assert_eq!(operations(changes)[2..4], [Operation::Delete, Operation::Insert]);
        assert_eq!(changes[1].after.as_ref().unwrap()[0], Value::Int(2));
        assert_eq!(changes.last().unwrap().operation, Operation::Truncate);
    }
}

#[tokio::test]
async fn tables_without_a_key_and_with_odd_names_are_captured() {
    for server in servers() {
        let ddl = "CREATE SCHEMA \"Odd.Name\";
                   CREATE TABLE \"Odd.Name\".\"Tab le\" (\"Spaß \"\"x\" int, \"select\" text);
                   CREATE TABLE \"Odd.Name\".\"日本\" (v int);
                   ALTER TABLE \"Odd.Name\".\"日本\" REPLICA IDENTITY FULL;
                   CREATE TABLE left_out (v int)";
        let (name, client) = database(server, ddl).await;
        let tables = vec!["\"Odd.Name\".\"Tab le\"".to_owned(), "\"Odd.Name\".日*".to_owned()];
        let mut pipeline = Pipeline::provisioned(Config { tables, ..config(server, &name) }).await;
        client
            .batch_execute(
                "INSERT INTO left_out VALUES (0);
                 INSERT INTO \"Odd.Name\".\"Tab le\" VALUES (1, 'a');
                 INSERT INTO \"Odd.Name\".\"日本\" VALUES (1);
                 UPDATE \"Odd.Name\".\"日本\" SET v = 2;
                 DELETE FROM \"Odd.Name\".\"日本\"",
            )
            .await
            .unwrap();
        let mut running = pipeline.start().await;
        running.until_changes(4).await;
        running.stop().await.unwrap();
        let changes = &pipeline.changes;
        let odd = TableId::new("Odd.Name", "Tab le");
        assert_eq!(changes[0].schema.table, odd);
        assert_eq!(changes[0].schema.columns[0].name, "Spaß \"x");
        assert!(!changes[0].schema.has_key());
        assert_eq!(changes[2].before, row([Value::Int(1)]));
        assert_eq!(changes[3].before, row([Value::Int(2)]));
        // Update on a table without any identity is refused by the server itself.
        client
            .batch_execute("UPDATE \"Odd.Name\".\"Tab le\" SET \"select\" = 'b'")
            .await
            .unwrap_err();
    }
}

#[tokio::test]
async fn a_changed_table_and_a_table_that_joins_are_followed() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY, a text)").await;
        let base = config(server, &name);
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let mut running = pipeline.start().await;
        client.batch_execute("INSERT INTO t VALUES (1, 'x')").await.unwrap();
        running.until_changes(1).await;
        client
            .batch_execute(
                "CREATE TYPE mood AS ENUM ('sad', 'happy');
                 ALTER TABLE t ADD b mood DEFAULT 'happy' NOT NULL; INSERT INTO t VALUES (2, 'y')",
            )
            .await
            .unwrap();
        client.batch_execute("INSERT INTO t VALUES (3, 'z', 'sad')").await.unwrap();
        // What the log does not say of a column is read from the catalog, which must not be ahead.
        running.until_changes(3).await;
        client
            .batch_execute(&format!(
                "ALTER TABLE t RENAME a TO c; ALTER TABLE t DROP b; INSERT INTO t VALUES (4, 'w');
                 CREATE TABLE late (id int PRIMARY KEY);
                 ALTER PUBLICATION \"{}\" ADD TABLE late; INSERT INTO late VALUES (7)",
                base.publication_name
            ))
            .await
            .unwrap();
        running.until_changes(5).await;
        running.stop().await.unwrap();
        let changes = &pipeline.changes;
        let columns = |index: usize| -> Vec<&str> {
            changes[index].schema.columns.iter().map(|column| column.name.as_str()).collect()
        };
        assert_eq!(columns(0), ["id", "a"]);
        assert_eq!(columns(1), ["id", "a", "b"]);
        assert_eq!(changes[1].after, row([Value::Int(2), text("y"), text("happy")]));
        assert!(Arc::ptr_eq(&changes[1].schema, &changes[2].schema));
        assert_eq!(columns(3), ["id", "c"]);
        assert_eq!(names(changes)[4], "public.late");
    }
}

/// A type that the server sends in a binary form that nobody knows.
pub(crate) const ODD: &str = "CREATE TYPE odd;
    CREATE FUNCTION odd_in(cstring) RETURNS odd LANGUAGE internal IMMUTABLE STRICT AS 'textin';
    CREATE FUNCTION odd_out(odd) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
    CREATE FUNCTION odd_send(odd) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'pg_ndistinct_send';
    CREATE TYPE odd (INPUT = odd_in, OUTPUT = odd_out, SEND = odd_send, STORAGE = extended)";

#[tokio::test]
async fn a_type_without_a_known_binary_form_turns_the_stream_to_text() {
    for server in servers() {
        let ddl = format!("CREATE TABLE t (id int PRIMARY KEY, v text); {ODD}");
        let (name, client) = database(server, &ddl).await;
        let base = config(server, &name);
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let mut running = pipeline.start().await;
        running.until_current().await;
        assert_eq!(running.status.borrow().details["values"], "binary");
        client
            .batch_execute(
                "BEGIN; INSERT INTO t SELECT n, 'before' FROM generate_series(1, 20000) n;
                 ALTER TABLE t ADD o odd DEFAULT 'x'; INSERT INTO t VALUES (20001, 'after', 'strange');
                 COMMIT; INSERT INTO t VALUES (20002, 'then', NULL)",
            )
            .await
            .unwrap();
        running.until_changes(20_002).await;
        assert_eq!(running.status.borrow().details["values"], "text");
        running.stop().await.unwrap();
        let last = &pipeline.changes[20_000];
        assert_eq!(last.after, row([Value::Int(20_001), text("after"), text("strange")]));
        assert!(last.ends_transaction && !pipeline.changes[0].ends_transaction);
        assert_eq!(pipeline.repeated, 0);

        // The next start knows from the catalog.
        client.batch_execute("INSERT INTO t VALUES (20003, 'x', 'y')").await.unwrap();
        let mut running = pipeline.start().await;
        running.until_changes(20_003).await;
        assert_eq!(running.status.borrow().details["values"], "text");
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_large_transaction_comes_in_pieces_and_ends_once() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        client
            .batch_execute(
                "INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 50000) n",
            )
            .await
            .unwrap();
        client.batch_execute("INSERT INTO t VALUES (0, repeat('big', 7000000))").await.unwrap();
        // Room for one batch: the source waits for the reader all the time.
        let mut running = pipeline.start_with(1, 1 << 20).await;
        running.until_changes(50_001).await;
        running.stop().await.unwrap();
        let changes = &pipeline.changes;
        let ends = changes[..50_000].iter().filter(|change| change.ends_transaction).count();
        assert_eq!((ends, changes[49_999].ends_transaction), (1, true));
        let sum: i64 = changes
            .iter()
            .map(|change| match change.after.as_ref().unwrap()[0] {
                Value::Int(n) => n,
                _ => panic!("not a number"),
            })
            .sum();
        assert_eq!(sum, 50_000 * 50_001 / 2);
        assert_eq!(changes[50_000].after.as_ref().unwrap()[1].heap_bytes(), 21_000_000);
    }
}

#[tokio::test]
async fn rolled_back_changes_leave_no_trace() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        client
            .batch_execute(
                "BEGIN;
                 SAVEPOINT s; INSERT INTO t VALUES (1); ROLLBACK TO s; INSERT INTO t VALUES (2); COMMIT;
                 BEGIN; INSERT INTO t VALUES (3); ROLLBACK",
            )
            .await
            .unwrap();
        let mut running = pipeline.start().await;
        running.until_current().await;
        running.stop().await.unwrap();
        let rows: Vec<_> = pipeline.changes.iter().map(|change| change.after.clone()).collect();
        assert_eq!(rows, [row([Value::Int(2)])]);
    }
}

#[tokio::test]
async fn quiet_tables_beside_a_busy_one_let_the_server_discard_its_log() {
    for server in servers() {
        let ddl = "CREATE TABLE quiet (id int PRIMARY KEY); CREATE TABLE busy (id int)";
        let (name, client) = database(server, ddl).await;
        let tables = vec!["public.quiet".to_owned()];
        let base = config(server, &name);
        let mut pipeline = Pipeline::provisioned(Config { tables, ..base.clone() }).await;
        let before: String = client
            .query_one("SELECT pg_current_wal_lsn()::text", &[])
            .await
            .map(|row| row.get(0))
            .unwrap();
        client.batch_execute("INSERT INTO busy SELECT generate_series(1, 100000)").await.unwrap();
        let mut running = pipeline.start().await;
        running.until_current().await;
        let query = format!(
            "SELECT confirmed_flush_lsn > '{before}'::pg_lsn + 1000000 FROM pg_replication_slots \
             WHERE slot_name = '{}'",
            base.slot_name
        );
        let wait = eventually(&client, &query);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                () = &mut wait => break,
                step = running.step() => step.unwrap(),
            }
        }
        running.stop().await.unwrap();
        assert!(pipeline.changes.is_empty());
    }
}

#[tokio::test]
async fn nothing_is_confirmed_before_it_is_durable() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let confirmed = format!(
            "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = '{}'",
            base.slot_name
        );
        let read = async || -> String {
            client.query_one(&confirmed, &[]).await.map(|row| row.get(0)).unwrap()
        };
        let before = read().await;
        client.batch_execute("INSERT INTO t SELECT generate_series(1, 1000)").await.unwrap();
        let running = pipeline.start().await;
        // The reader takes nothing and says nothing is durable, while the source reports every second.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(read().await, before);
        drop(running);
        assert_eq!(read().await, before);
    }
}

#[tokio::test]
async fn a_blocked_pipeline_keeps_its_connection() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
        client
            .batch_execute(&format!("ALTER DATABASE \"{name}\" SET wal_sender_timeout = '1500ms'"))
            .await
            .unwrap();
        let base = config(server, &name);
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        client
            .batch_execute(
                "INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 30000) n",
            )
            .await
            .unwrap();
        let pid = format!(
            "SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{}'",
            base.slot_name
        );
        let mut running = pipeline.start_with(1, 1 << 16).await;
        running.step().await.unwrap();
        eventually(&client, &pid.replace("active_pid", "active_pid IS NOT NULL")).await;
        let before: Option<i32> = client.query_one(&pid, &[]).await.unwrap().get(0);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let after: Option<i32> = client.query_one(&pid, &[]).await.unwrap().get(0);
        assert!(before.is_some() && before == after, "{before:?} {after:?}");
        running.until_changes(30_000).await;
        running.stop().await.unwrap();
        assert_eq!(pipeline.repeated, 0);
    }
}

#[tokio::test]
async fn an_idle_server_tells_its_position_at_once() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        let mut running = pipeline.start().await;
        running.until_current().await;
        for id in 0..3 {
            client.execute("INSERT INTO t VALUES ($1)", &[&id]).await.unwrap();
            let started = Instant::now();
            running.until_current().await;
            assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        }
        running.stop().await.unwrap();
        assert_eq!(pipeline.changes.len(), 3);
    }
}

#[tokio::test]
async fn the_status_tells_where_the_stream_stands() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let base = config(server, &name);
        let mut pipeline = Pipeline::provisioned(base.clone()).await;
        let mut running = pipeline.start().await;
        client.batch_execute("INSERT INTO t VALUES (1)").await.unwrap();
        running.until_changes(1).await;
        running.until_current().await;
        let mut seen = running.status.clone();
        let status = seen.wait_for(|status| status.retained_bytes.is_some()).await.unwrap().clone();
        running.stop().await.unwrap();
        assert!(status.connected);
        assert!(status.position_text.contains('/'), "{status:?}");
        assert_eq!(status.details.get("slot"), Some(&base.slot_name));
        assert!(status.details["server_version"].starts_with(|c: char| c.is_ascii_digit()));
        assert!(status.lag_ms.is_some_and(|lag| lag < 60_000), "{status:?}");
        assert_eq!(status.warning, None);
    }
}

#[tokio::test]
async fn what_was_provisioned_is_retired() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let connector = Connector::new(config(server, &name)).unwrap();
        let said = connector.provision().await.unwrap();
        assert!(said.iter().any(|line| line.contains("created publication")), "{said:?}");
        let again = connector.provision().await.unwrap();
        assert!(again.iter().all(|line| !line.contains("created")), "{again:?}");
        connector.retire().await.unwrap();
        let left = "SELECT (SELECT count(*) FROM pg_publication) = 0 AND NOT EXISTS \
                    (SELECT FROM pg_replication_slots WHERE database = current_database())";
        assert!(client.query_one(left, &[]).await.unwrap().get::<_, bool>(0));
        connector.retire().await.unwrap();
    }
}
