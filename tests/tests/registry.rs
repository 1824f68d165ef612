//! The registry of an embedded pipeline: what is in it, who can ask it, and what stops a pipeline.

use cdc_testkit::services::Port;
use serde_json::json;

use crate::process::{Running, eventually, run};
use crate::scene::{Scene, any_server};

const CREATE: &str = "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, age int);
    INSERT INTO users VALUES (1, 'Ada', 36)";

/// A scene whose registry has a port that is known.
async fn scene(port: &Port) -> Option<Scene> {
    let mut scene = Scene::on(any_server()?).await.with_file();
    scene.platform["registry"] = json!({ "port": port.number() });
    scene.source.batch_execute(CREATE).await.unwrap();
    Some(scene)
}

async fn schema(scene: &Scene, words: &[&str]) -> crate::process::Ended {
    let platform = scene.directory().join("platform.yaml");
    let mut arguments = vec!["schema"];
    arguments.extend(words);
    arguments.extend(["--platform-config", platform.to_str().unwrap()]);
    run(scene.directory(), &arguments).await
}

async fn logs(running: &Running, words: &[&str]) {
    eventually(&format!("the log has {words:?}"), async || {
        running.log().lines().any(|line| words.iter().all(|word| line.contains(word)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schemas_of_captured_tables_are_in_the_registry_and_their_versions_are_told() {
    let port = Port::reserve().unwrap();
    let Some(scene) = scene(&port).await else { return };
    let mut running = scene.start();
    running.follows().await;
    eventually("both subjects are there", async || {
        let listed = schema(&scene, &["list"]).await;
        ["cdc.public.users-key", "cdc.public.users-value"].iter().all(|s| listed.output.contains(s))
    })
    .await;
    let shown = schema(&scene, &["show", "cdc.public.users-value"]).await.exits_with(0);
    shown.mentions(&["cdc.public.users", "Envelope", "connect.name"]);
    scene
        .source
        .batch_execute(
            "ALTER TABLE users ADD COLUMN city text; INSERT INTO users VALUES (2, 'B', 1, 'X')",
        )
        .await
        .unwrap();
    logs(&running, &["schema.version_changed", "cdc.public.users-value", "city"]).await;
    scene
        .source
        .batch_execute("ALTER TABLE users ALTER COLUMN age TYPE text; INSERT INTO users VALUES (3, 'C', 'old', 'X')")
        .await
        .unwrap();
    logs(&running, &["schema.incompatible_change_detected", "cdc.public.users-value"]).await;
    eventually("the change is delivered all the same", async || {
        std::fs::read_to_string(scene.file()).unwrap().contains("old")
    })
    .await;
    running.stop().await.exits_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incompatible_schema_stops_the_pipeline_before_anything_is_delivered_under_it() {
    let port = Port::reserve().unwrap();
    let Some(mut scene) = scene(&port).await else { return };
    scene.platform["rest"]["stop_on_incompatible_schema"] = json!(true);
    let mut running = scene.start();
    running.follows().await;
    scene
        .source
        .batch_execute(
            "INSERT INTO users VALUES (2, 'before', 1);
             ALTER TABLE users ALTER COLUMN age TYPE text;
             INSERT INTO users VALUES (3, 'Grace', 'old')",
        )
        .await
        .unwrap();
    let status = running.end_within(std::time::Duration::from_secs(30)).await;
    assert_eq!(status.code(), Some(1), "{}", running.log());
    for words in ["CDC-0142", "cdc.public.users-value", "schema.incompatible_change_detected"] {
        assert!(running.log().contains(words), "{words}: {}", running.log());
    }
    scene.run_until_current().await.exits_with(1).mentions(&["CDC-0142"]);
    let delivered = std::fs::read_to_string(scene.file()).unwrap();
    assert!(!delivered.contains("Grace"), "{delivered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_was_asked_for_and_is_in_use_is_an_error() {
    let port = Port::reserve().unwrap();
    let Some(scene) = scene(&port).await else { return };
    let taken = std::net::TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    scene.cdc(&["run"]).await.exits_with(1).mentions(&["CDC-6005"]);
    drop(taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_column_with_a_default_stops_nobody() {
    let port = Port::reserve().unwrap();
    let Some(mut scene) = scene(&port).await else { return };
    scene.platform["rest"]["stop_on_incompatible_schema"] = json!(true);
    let mut running = scene.start();
    running.follows().await;
    scene
        .source
        .batch_execute(
            "INSERT INTO users VALUES (2, 'before', 1);
             ALTER TABLE users ADD COLUMN points int NOT NULL DEFAULT 5,
                ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
                ADD COLUMN joined timestamptz NOT NULL DEFAULT now();
             INSERT INTO users VALUES (3, 'Grace', NULL, 6)",
        )
        .await
        .unwrap();
    eventually("the change is delivered", async || {
        std::fs::read_to_string(scene.file()).is_ok_and(|lines| lines.contains("Grace"))
    })
    .await;
    logs(&running, &["schema.version_changed", "cdc.public.users-value", "points"]).await;
    let shown = schema(&scene, &["show", "cdc.public.users-value"]).await.exits_with(0);
    shown.mentions(&["connect.default"]);
    running.stop().await.exits_with(0);
}
