//! Replicas after the source had to be read once more: the comparison ends, whatever is in its way.

use serde_json::json;

use crate::compare;
use crate::scene::{Scene, any_server};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text);
                     INSERT INTO t SELECT n, 'v' FROM generate_series(1, 50) AS n";

/// Loses the slot between two runs, and what was deleted meanwhile with it.
async fn loses_its_slot(scene: &mut Scene) {
    scene.pipeline["source"]["snapshot_mode"] = json!("when_needed");
    scene.source.batch_execute(TABLE).await.unwrap();
    scene.run_until_current().await.exits_with(0);
    scene.slot_is_free().await;
    let drop = "SELECT pg_drop_replication_slot($1::text::name)";
    scene.source.query_one(drop, &[&scene.slot()]).await.unwrap();
    scene.source.batch_execute("DELETE FROM t WHERE id <= 10").await.unwrap();
}

#[tokio::test]
async fn rows_that_somebody_else_changes_in_the_replica_are_not_told_for_ever() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server).with_file();
    loses_its_slot(&mut scene).await;
    let meddle = "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
                      $$ BEGIN NEW.v := 'meddled'; RETURN NEW; END $$;
                  CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON t
                      FOR EACH ROW WHEN (NEW.id = 20) EXECUTE FUNCTION meddle();
                  ALTER TABLE t ENABLE ALWAYS TRIGGER meddle";
    scene.target.batch_execute(meddle).await.unwrap();
    let ended = scene.run_until_current().await.exits_with(0);
    ended.mentions(&["differ although they were delivered again"]);
    let left = compare::rows(&scene.target, "t").await;
    assert_eq!(left.len(), 40, "{left:?}");
    let told = std::fs::read_to_string(scene.file()).unwrap();
    let told = told.lines().filter(|line| line.contains(r#""after":{"id":20,"#)).count();
    assert!(
        (3..=4).contains(&told),
        "{told} times: once by each copy, and at most twice before the repair sees that it does not help"
    );
}

#[tokio::test]
async fn a_replica_that_is_gone_does_not_hold_up_the_run() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server).with_file();
    loses_its_slot(&mut scene).await;
    let port = scene.pipeline["sinks"][0]["postgres"]["port"].take();
    scene.pipeline["sinks"][0]["postgres"]["port"] = json!(1);
    scene.run_until_current().await.exits_with(1);
    // It is taken out of the pipeline: nobody is left to be compared.
    let mut replica = scene.pipeline["sinks"].as_array_mut().unwrap().remove(0);
    scene.run_until_current().await.exits_with(0);
    // It comes back, and what was deleted is still found.
    replica["postgres"]["port"] = port;
    scene.pipeline["sinks"].as_array_mut().unwrap().push(replica);
    scene.run_until_current().await.exits_with(0);
    assert_eq!(compare::difference(&scene.source, &scene.target, &["public.t"]).await, None);
}
