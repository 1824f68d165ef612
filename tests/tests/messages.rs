use std::path::Path;

use cdc_testkit::services::Receiver;
use serde_json::Value;

use crate::compare;
use crate::process::eventually;
use crate::scene::{Scene, any_server};

/// Position, prefix and content of each message in the file.
fn messages(file: &Path) -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_messages = lines.filter(|line| line["value"]["op"] == "m");
    of_messages
        .map(|line| {
            assert_eq!(line["topic"], "cdc.message");
            let message = &line["value"]["message"];
            let part = |value: &Value| value.as_str().unwrap().to_owned();
            assert_eq!(line["key"]["prefix"], message["prefix"]);
            (part(&line["position"]), part(&message["prefix"]), part(&message["content"]))
        })
        .collect()
}

#[tokio::test]
async fn messages_reach_every_place_but_the_replica_and_come_once_after_kills() {
    let Some(server) = any_server() else { return };
    let receiver = Receiver::start().await.unwrap();
    let scene = Scene::on(server).await;
    scene.source.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
    let scene = scene.with_replica(server).with_events(server).with_file().with_webhook(&receiver);
    let mut running = scene.start();
    running.follows().await;
    for round in 0..5 {
        let statements = format!(
            "BEGIN; INSERT INTO t VALUES ({round}, 'x');
             SELECT pg_logical_emit_message(true, 'inside', 'hi');
             SELECT pg_logical_emit_message(false, 'beside', 'hi'); COMMIT;
             SELECT pg_logical_emit_message(false, 'cdc.own', 'never')"
        );
        scene.source.batch_execute(&statements).await.unwrap();
        if round == 0 {
            // A snapshot that is cut short starts over behind what was emitted meanwhile.
            let here = "SELECT pg_current_wal_insert_lsn()::text";
            let here: String = scene.source.query_one(here, &[]).await.unwrap().get(0);
            let confirmed = format!(
                "SELECT confirmed_flush_lsn >= '{here}' FROM pg_replication_slots
                 WHERE slot_name = '{}'",
                scene.slot()
            );
            eventually("the snapshot is recorded", async || {
                scene.source.query_one(&confirmed, &[]).await.unwrap().get(0)
            })
            .await;
        }
        if round % 2 == 0 {
            running.kill9();
            running = scene.start();
        }
    }
    compare::eventually_equal(&scene.source, &scene.target, &["public.t"]).await;
    eventually("the file has every message", async || messages(&scene.file()).len() >= 10).await;
    let count = "SELECT count(*) FROM public.events WHERE event_value->>'op' = 'm'
                 AND event_value->'message'->>'content' = 'aGk='";
    eventually("the table of events has every message", async || {
        scene.target.query_one(count, &[]).await.unwrap().get::<_, i64>(0) == 10
    })
    .await;
    eventually("the webhook has every message", async || {
        let accepted = receiver.accepted();
        let bodies = accepted.iter().map(cdc_testkit::services::Request::json);
        let of_messages = bodies.filter(|body| body["value"]["op"] == "m");
        let identities = of_messages.map(|body| body["metadata"]["offset"].to_string());
        identities.collect::<std::collections::BTreeSet<_>>().len() == 10
    })
    .await;
    let metrics = running.answers("/metrics", 200).await;
    assert!(
        metrics.contains("cdc_source_slot_wal_status{pipeline=\"shop\",status=\"reserved\"} 1")
    );
    running.stop().await.exits_with(0);

    let messages = messages(&scene.file());
    let prefixes: Vec<&str> = messages.iter().map(|(_, prefix, _)| prefix.as_str()).collect();
    assert_eq!(prefixes, ["beside", "inside"].repeat(5));
    let table = "SELECT count(*) FROM pg_class WHERE relname = 'message'";
    assert_eq!(scene.target.query_one(table, &[]).await.unwrap().get::<_, i64>(0), 0);
}
