//! `cdc snapshot`: tables are read once more while changes flow.

use cdc_testkit::services::Postgres;

use crate::compare;
use crate::process::eventually;
use crate::scene::{Scene, any_server};

const TABLES: &str = "
    CREATE TABLE orders (id bigint PRIMARY KEY, note text, big text);
    ALTER TABLE orders ALTER COLUMN big SET STORAGE EXTERNAL;
    INSERT INTO orders SELECT n, 'n' || n, repeat('x', 3000) FROM generate_series(1, 20000) AS n;
    CREATE TABLE bare (note text)";

async fn scene(server: &'static Postgres) -> Scene {
    let scene = Scene::on(server).await.with_replica(server).with_file();
    scene.source.batch_execute(TABLES).await.unwrap();
    scene
}

async fn is_equal(scene: &Scene) -> bool {
    let ended = scene.cdc(&["verify", "--table", "orders"]).await;
    match ended.code {
        Some(0) => true,
        Some(3) => false,
        _ => panic!("{}", ended.said()),
    }
}

#[tokio::test]
async fn a_damaged_replica_is_whole_again() {
    let Some(server) = any_server() else { return };
    let scene = scene(server).await;
    let mut running = scene.start();
    running.ready().await;
    eventually("the first snapshot is delivered", async || {
        let count = scene.target.query_one("SELECT count(*) FROM orders", &[]).await;
        count.is_ok_and(|row| row.get::<_, i64>(0) == 20_000)
    })
    .await;
    let damage =
        "DELETE FROM orders WHERE id % 100 = 1; UPDATE orders SET note = '?' WHERE id % 100 = 2";
    scene.target.batch_execute(damage).await.unwrap();
    assert!(!is_equal(&scene).await);
    // Only some of it.
    let some = ["snapshot", "--table", "public.orders", "--where", "id <= 10000"];
    scene.cdc(&some).await.exits_with(0).mentions(&["public.orders"]);
    let damaged = "SELECT (SELECT count(*) FROM orders WHERE note <> '?' AND id <= 10000) = 10000";
    eventually("the first half is whole", async || {
        scene.target.query_one(damaged, &[]).await.unwrap().get(0)
    })
    .await;
    assert!(!is_equal(&scene).await, "the second half was not read");
    scene.cdc(&["snapshot", "--table", "*.orders"]).await.exits_with(0);
    // Killed in the middle of it, it goes on.
    running.kill9();
    let mut running = scene.start();
    scene.source.batch_execute("UPDATE orders SET note = 'new' WHERE id % 10 = 0").await.unwrap();
    running.ready().await;
    compare::eventually_equal(&scene.source, &scene.target, &["orders"]).await;
    eventually("nothing is under way", async || {
        scene.cdc(&["snapshot"]).await.output.contains("complete")
            || scene.cdc(&["snapshot"]).await.output.contains("no snapshot")
    })
    .await;
    assert!(is_equal(&scene).await);
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn an_order_waits_for_a_pipeline_that_does_not_run() {
    let Some(server) = any_server() else { return };
    let scene = scene(server).await;
    let early = scene.cdc(&["snapshot", "--table", "public.orders"]).await;
    assert_ne!(early.code, Some(0));
    scene.run_until_current().await.exits_with(0);
    scene.target.batch_execute("DELETE FROM orders WHERE id < 500").await.unwrap();
    scene.cdc(&["snapshot", "--pause"]).await.exits_with(0);
    let ordered =
        scene.cdc(&["snapshot", "--table", "public.orders", "--json"]).await.exits_with(0);
    assert_eq!(ordered.json()["tables"][0], "public.orders");
    let mut running = scene.start();
    eventually("the pause is shown", async || {
        scene.cdc(&["snapshot"]).await.output.contains("paused")
    })
    .await;
    scene.cdc(&["snapshot", "--resume"]).await.exits_with(0);
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &["orders"]).await;
    let refused = scene.cdc(&["snapshot", "--table", "public.bare"]).await;
    refused.exits_with(1).mentions(&["CDC-1075", "public.bare", "ADD PRIMARY KEY"]);
    let refused = scene.cdc(&["snapshot", "--table", "public.orders", "--where", "nope = 1"]).await;
    refused.exits_with(1).mentions(&["CDC-1076", "nope"]);
    let senseless = scene.cdc(&["snapshot", "--where", "id = 1"]).await;
    assert_eq!(senseless.code, Some(2));
    running.stop().await.exits_with(0);
}
