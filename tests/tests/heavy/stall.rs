use std::time::Instant;

use cdc_testkit::services::Postgres;
use rustix::process::{Pid, Signal, kill_process};

use super::finally;
use crate::compare;
use crate::scene::{Scene, any_server};

/// A server process that hangs answers nothing, while its connection stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "heavy: run by make test-heavy"]
async fn heavy_stall() {
    let Some(target) = any_server() else { return };
    let source = Postgres::start(super::options()).unwrap();
    let scene = Scene::between(&source, target).await.with_replica(target);
    let table = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)";
    scene.source.batch_execute(table).await.unwrap();
    let mut running = scene.start();
    running.follows().await;
    let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
    let pid: i32 = scene.source.query_one(sql, &[&scene.slot()]).await.unwrap().get(0);
    let pid = Pid::from_raw(pid).unwrap();

    kill_process(pid, Signal::STOP).unwrap();
    scene.source.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    let started = Instant::now();
    finally("the pipeline says that it is not ready", async || {
        running.get("/readyz").is_some_and(|(status, _)| status == 503)
    })
    .await;
    eprintln!("heavy_stall: not ready {:.0?} after the server fell silent", started.elapsed());
    kill_process(pid, Signal::CONT).unwrap();
    let started = Instant::now();
    finally("the change is in the replica", async || {
        compare::difference(&scene.source, &scene.target, &["public.t"]).await.is_none()
    })
    .await;
    eprintln!("heavy_stall: delivered {:.0?} after the process went on", started.elapsed());
    running.stop().await.exits_with(0);
}
