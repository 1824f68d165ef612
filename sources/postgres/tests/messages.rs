//! Messages of `pg_logical_emit_message`.

use crate::harness::{Pipeline, config, database, servers};
use cdc_core::{Change, Operation, Position, Value};
use cdc_source_postgres::Config;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::time::Duration;

/// Prefix and content of a message, or the number in a row.
fn told(change: &Change) -> (String, Vec<u8>) {
    let row = change.after.as_ref().unwrap();
    match (change.operation, &row[0], row.get(1)) {
        (Operation::Message, Value::Text(prefix), Some(Value::Bytes(content))) => {
            assert!(change.schema.table.is_messages() && change.before.is_none());
            (String::from_utf8(prefix.to_vec()).unwrap(), content.to_vec())
        }
        (Operation::Insert, Value::Int(number), None) => {
            ("row".to_owned(), vec![u8::try_from(*number).unwrap()])
        }
        other => panic!("neither a message nor a row: {other:?}"),
    }
}

fn all_told(pipeline: &Pipeline) -> Vec<(String, Vec<u8>)> {
    pipeline.changes.iter().map(told).collect()
}

fn positions(pipeline: &Pipeline) -> Vec<Position> {
    pipeline.changes.iter().map(|change| change.position).collect()
}

fn tell(prefix: &str, content: &[u8]) -> (String, Vec<u8>) {
    (prefix.to_owned(), content.to_vec())
}

#[tokio::test]
async fn messages_arrive_in_their_transaction_or_by_themselves() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        client
            .batch_execute(
                "BEGIN;
                 INSERT INTO t VALUES (1);
                 SELECT pg_logical_emit_message(true, 'inside', '\\x00ff'::bytea);
                 SELECT pg_logical_emit_message(false, 'beside', 'first');
                 SELECT pg_logical_emit_message(true, 'cdc.watermark', 'ours');
                 INSERT INTO t VALUES (2);
                 SELECT pg_logical_emit_message(true, 'inside', '');
                 COMMIT;
                 BEGIN;
                 SELECT pg_logical_emit_message(true, 'inside', 'never');
                 SELECT pg_logical_emit_message(false, 'beside', 'although');
                 ROLLBACK;
                 SELECT pg_logical_emit_message(false, 'cdc.heartbeat', '');
                 SELECT pg_logical_emit_message(true, 'alone', 'whole')",
            )
            .await
            .unwrap();
        let last = "SELECT pg_logical_emit_message(false, 'last', 'end')::text";
        let last: String = client.query_one(last, &[]).await.unwrap().get(0);
        let mut running = pipeline.start().await;
        running.until_changes(8).await;
        running.until_current().await;
        running.stop().await.unwrap();

        assert_eq!(
            all_told(&pipeline),
            [
                // It lies before the commit of the transaction in which it was emitted.
                tell("beside", b"first"),
                tell("row", &[1]),
                tell("inside", b"\x00\xff"),
                tell("row", &[2]),
                tell("inside", b""),
                tell("beside", b"although"),
                tell("alone", b"whole"),
                tell("last", b"end"),
            ]
        );
        let changes = &pipeline.changes;
        let ordinals: Vec<u64> = changes.iter().map(|change| change.position.ordinal).collect();
        assert_eq!(ordinals, [1, 1, 2, 4, 5, 1, 1, 1], "what is left out is counted");
        let ends: Vec<bool> = changes.iter().map(|change| change.ends_transaction).collect();
        assert_eq!(ends, [true, false, false, false, true, true, true, true]);
        let outside: Vec<bool> = changes.iter().map(|change| change.transaction.id == 0).collect();
        assert_eq!(outside, [true, false, false, false, false, true, false, true]);
        let address: cdc_source_postgres::Lsn = last.parse().unwrap();
        assert_eq!(changes[7].log_address, address.0);
    }
}

#[tokio::test]
async fn a_message_that_was_the_last_event_is_not_repeated_after_a_restart() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        for round in 0..4_usize {
            let transactional = round % 2 == 0;
            let emit = format!("SELECT pg_logical_emit_message({transactional}, 'm', '{round}')");
            client.batch_execute(&emit).await.unwrap();
            let mut running = pipeline.start().await;
            running.until_changes(round + 1).await;
            running.stop().await.unwrap();
        }
        assert_eq!(pipeline.repeated, 0);
        assert_eq!(pipeline.changes.len(), 4);
    }
}

#[tokio::test]
async fn a_source_that_is_dropped_anywhere_tells_each_message_once_at_one_position() {
    let seed = rand::rng().random::<u64>();
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int)").await;
        let mut pipeline = Pipeline::provisioned(config(server, &name)).await;
        let mut expected = Vec::new();
        for _ in 0..25 {
            let mut statements = String::from("BEGIN;");
            let (mut beside, mut inside) = (Vec::new(), Vec::new());
            for _ in 0..dice.random_range(0..60) {
                let number = dice.random_range(0..100_u8);
                let content = vec![b'x'; usize::from(number) * 20];
                let text = String::from_utf8(content.clone()).unwrap();
                match dice.random_range(0..3) {
                    0 => {
                        statements.push_str(&format!("INSERT INTO t VALUES ({number});"));
                        inside.push(tell("row", &[number]));
                    }
                    1 => {
                        statements.push_str(&format!(
                            "SELECT pg_logical_emit_message(true, 'in', '{text}');"
                        ));
                        inside.push(tell("in", &content));
                    }
                    _ => {
                        statements.push_str(&format!(
                            "SELECT pg_logical_emit_message(false, 'out', '{text}');"
                        ));
                        beside.push(tell("out", &content));
                    }
                }
            }
            statements.push_str("COMMIT");
            client.batch_execute(&statements).await.unwrap();
            expected.extend(beside);
            expected.extend(inside);
            let mut running = pipeline.start_with(dice.random_range(1..4), 1 << 16).await;
            for _ in 0..dice.random_range(0..4) {
                let step = tokio::time::timeout(Duration::from_millis(300), running.step()).await;
                assert!(step != Ok(None), "{:?}", running.outcome().await);
            }
        }
        let mut running = pipeline.start().await;
        running.until_current().await;
        running.stop().await.unwrap();
        assert_eq!(all_told(&pipeline), expected);
        let positions = positions(&pipeline);
        assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
    }
}

#[tokio::test]
async fn prefixes_choose_and_do_not_move_the_others() {
    for server in servers() {
        let (name, client) = database(server, "CREATE TABLE t (id int PRIMARY KEY)").await;
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let chosen = Config {
            message_prefixes: list(&["orders.*", "carts"]),
            message_prefixes_excluded: list(&["*.secret"]),
            ..config(server, &name)
        };
        let everything = Config {
            slot_name: format!("all_{name}"),
            publication_name: format!("all_{name}"),
            ..config(server, &name)
        };
        let mut pipeline = Pipeline::provisioned(chosen).await;
        let mut whole = Pipeline::provisioned(everything).await;
        client
            .batch_execute(
                "SELECT pg_logical_emit_message(true, prefix, '') FROM
                 unnest(array['orders.eu', 'other', 'orders.secret', 'cdc.x', 'carts']) prefix;
                 SELECT pg_logical_emit_message(false, prefix, '') FROM
                 unnest(array['other', 'carts']) prefix",
            )
            .await
            .unwrap();
        for pipeline in [&mut pipeline, &mut whole] {
            let mut running = pipeline.start().await;
            running.until_current().await;
            running.stop().await.unwrap();
        }
        let prefixes = |pipeline: &Pipeline| -> Vec<String> {
            all_told(pipeline).into_iter().map(|(prefix, _)| prefix).collect()
        };
        // The simple query is one transaction, so the lone messages come first.
        assert_eq!(prefixes(&pipeline), ["carts", "orders.eu", "carts"]);
        let chosen =
            whole.changes.iter().filter(|change| prefixes(&pipeline).contains(&told(change).0));
        let chosen: Vec<Position> = chosen.map(|change| change.position).collect();
        assert_eq!(positions(&pipeline), chosen);
        assert_eq!(whole.changes.len(), 6);
    }
}
