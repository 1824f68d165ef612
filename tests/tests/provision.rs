use crate::scene::{Scene, any_server};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)";

async fn count(scene: &Scene, sql: &str) -> i64 {
    scene.source.query_one(sql, &[&scene.slot()]).await.unwrap().get(0)
}

const SLOTS: &str = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1";
const PUBLICATIONS: &str =
    "SELECT count(*) FROM pg_publication WHERE pubname = 'cdc_shop' AND $1::text IS NOT NULL";

#[tokio::test]
async fn deploy_creates_and_undeploy_drops_slot_and_publication() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    scene.cdc(&["deploy"]).await.exits_with(0);
    assert_eq!((count(&scene, SLOTS).await, count(&scene, PUBLICATIONS).await), (1, 1));
    scene.cdc(&["deploy"]).await.exits_with(0);
    scene.run_until_current().await.exits_with(0);
    assert_eq!(std::fs::read_to_string(scene.file()).unwrap().lines().count(), 2);
    scene.cdc(&["undeploy"]).await.exits_with(0);
    assert_eq!((count(&scene, SLOTS).await, count(&scene, PUBLICATIONS).await), (0, 0));
    scene.cdc(&["undeploy"]).await.exits_with(0);
}

#[tokio::test]
async fn the_server_may_drop_its_log_once_everything_is_delivered() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    scene.source.batch_execute("INSERT INTO t SELECT generate_series(3, 500)").await.unwrap();
    let row = scene.source.query_one("SELECT pg_current_wal_lsn()::text", &[]).await.unwrap();
    let now: String = row.get(0);
    crate::process::eventually("the slot has moved past the last change", async || {
        let sql = format!(
            "SELECT count(*) FROM pg_replication_slots
             WHERE slot_name = $1 AND confirmed_flush_lsn >= '{now}'"
        );
        count(&scene, &sql).await == 1
    })
    .await;
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_slot_that_was_dropped_behind_our_back_is_an_error() {
    let Some(server) = any_server() else { return };
    let scene = Scene::on(server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    scene.slot_is_free().await;
    let drop = "SELECT count(pg_drop_replication_slot(slot_name))
                FROM pg_replication_slots WHERE slot_name = $1";
    assert_eq!(count(&scene, drop).await, 1);
    scene.source.batch_execute("INSERT INTO t VALUES (3)").await.unwrap();
    let slot = scene.slot();
    scene.run_until_current().await.exits_with(1).mentions(&["CDC-10", &slot]);
}
