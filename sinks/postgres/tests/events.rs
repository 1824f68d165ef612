use crate::target::{Script, batch, checkpoint, context, target, user, users};
use cdc_core::{Retry, Row, Sink, Value, catalog::SinkConnector, sink::CommitBoundary};
use serde_json::json;

const ALL: &str = "
    SELECT event_key, event_value->>'op', event_value->'after'->>'name', source_topic,
           source_partition, source_offset
      FROM audit.\"Log\" ORDER BY source_offset";

async fn open(target: &crate::target::Target, extra: serde_json::Value) -> Box<dyn Sink> {
    let mut config = json!({"target_table": "audit.Log"});
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let mut sink = target.connector(config).open(&context()).await.unwrap();
    sink.claim(1).await.unwrap();
    sink
}

#[tokio::test]
async fn each_change_is_a_row_of_json() {
    let target = target().await;
    let mut sink = open(&target, json!({"batch_size": 2})).await;
    assert_eq!(sink.commit_boundary(), CommitBoundary::AnyChange);
    let mut script = Script::new(&users());
    let gone: Row = Box::new([Value::Int(1), Value::Unchanged, Value::Unchanged]);
    script.insert(user(1, "a", "x")).update(user(1, "b", "x")).delete(gone).truncate();
    sink.write(&batch(script.take())).await.unwrap();
    sink.commit(&checkpoint(1, 4)).await.unwrap();
    assert_eq!(
        target.rows(ALL).await,
        [
            r#"{"id": 1}|c|a|cdc.public.users|0|0"#,
            r#"{"id": 1}|u|b|cdc.public.users|0|1"#,
            r#"{"id": 1}|d|∅|cdc.public.users|0|2"#,
            "∅|t|∅|cdc.public.users|0|3",
        ]
    );
}

#[tokio::test]
async fn a_message_is_a_row_of_json_too() {
    let target = target().await;
    let mut sink = open(&target, json!({})).await;
    let mut script = Script::new(&users());
    script.insert(user(1, "a", "x")).message("orders", b"hi");
    sink.write(&batch(script.take())).await.unwrap();
    sink.commit(&checkpoint(1, 2)).await.unwrap();
    let message = "SELECT event_key, event_value->>'op', event_value->'message'->>'prefix',
        event_value->'message'->>'content', source_topic FROM audit.\"Log\" WHERE source_offset = 1";
    let rows = target.rows(message).await;
    assert_eq!(rows, [r#"{"prefix": "orders"}|m|orders|aGk=|cdc.message"#]);
}

#[tokio::test]
async fn upsert_takes_the_same_place_twice_and_plain_insert_keeps_both() {
    let target = target().await;
    for (upsert, expected) in [(true, 3), (false, 6)] {
        target.run("DROP SCHEMA IF EXISTS audit, cdc CASCADE").await;
        for _ in 0..2 {
            let mut sink = open(&target, json!({"upsert": upsert})).await;
            let mut script = Script::new(&users());
            (1..4).for_each(|id| _ = script.insert(user(id, "a", "x")));
            sink.write(&batch(script.take())).await.unwrap();
            sink.commit(&checkpoint(1, 3)).await.unwrap();
        }
        assert_eq!(target.rows(ALL).await.len(), expected);
    }
}

#[tokio::test]
async fn a_refused_change_is_left_out_and_the_rest_goes_on() {
    let target = target().await;
    target
        .run(
            "CREATE SCHEMA audit;
             CREATE TABLE audit.\"Log\" (event_key text, event_value text, source_topic text,
                 source_partition smallint, source_offset numeric,
                 CHECK (event_value NOT LIKE '%poison%'))",
        )
        .await;
    let mut sink = open(&target, json!({})).await;
    let mut script = Script::new(&users());
    (0..250)
        .for_each(|id| _ = script.insert(user(id, if id == 171 { "poison" } else { "a" }, "x")));
    let changes = script.take();
    let failed = sink.write(&batch(changes.clone())).await.unwrap_err();
    assert_eq!((failed.accepted, failed.rejected), (171, Some(171)));
    assert_eq!(failed.error.retry, Retry::Never);
    sink.write(&batch(changes[172..].to_vec())).await.unwrap();
    sink.commit(&checkpoint(1, 250)).await.unwrap();
    let count = "SELECT count(*), count(DISTINCT source_offset) FROM audit.\"Log\"";
    assert_eq!(target.rows(count).await, ["249|249"]);
}
