use serde_json::json;

use crate::compare;
use crate::scene::{Scene, any_server};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)";

#[tokio::test]
async fn verified_tls_with_a_password_works_on_both_ends() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_replica(server);
    scene.source.batch_execute(TABLE).await.unwrap();
    let tls = json!({ "mode": "verify-full", "ca_file": server.ca_file() });
    scene.pipeline["source"]["tls"] = tls.clone();
    scene.pipeline["sinks"][0]["postgres"]["tls"] = tls;
    let mut running = scene.start();
    running.follows().await;
    compare::eventually_equal(&scene.source, &scene.target, &["public.t"]).await;
    let sql = "SELECT count(*), bool_and(s.ssl) FROM pg_stat_activity a
               JOIN pg_stat_ssl s USING (pid) WHERE a.application_name ~ 'cdc'
               AND a.datname IN ($1, $2)";
    let row = scene.source.query_one(sql, &[&scene.source_database, &scene.target_database]).await;
    let row = row.unwrap();
    assert!(row.get::<_, i64>(0) >= 2, "connections are named after cdc");
    assert!(row.get::<_, bool>(1), "every connection is encrypted");
    running.stop().await.exits_with(0);
}

#[tokio::test]
async fn a_client_certificate_replaces_the_password() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_file();
    scene.source.batch_execute(TABLE).await.unwrap();
    let source = scene.pipeline["source"].as_object_mut().unwrap();
    source.remove("password");
    source.insert("username".to_owned(), json!(server.certificate_user()));
    source.insert(
        "tls".to_owned(),
        json!({
            "mode": "verify-full",
            "ca_file": server.ca_file(),
            "certificate_file": server.client_cert(),
            "key_file": server.client_key(),
        }),
    );
    scene.run_until_current().await.exits_with(0);
    assert_eq!(std::fs::read_to_string(scene.file()).unwrap().lines().count(), 2);
}

#[tokio::test]
async fn a_server_with_another_authority_is_refused() {
    let Some(server) = any_server() else { return };
    let mut scene = Scene::on(server).await.with_file();
    let directory = scene.directory().join("other");
    std::fs::create_dir(&directory).unwrap();
    let other = cdc_testkit::services::Certificates::create(&directory, "nobody").unwrap();
    scene.pipeline["source"]["tls"] = json!({ "mode": "verify-full", "ca_file": other.ca() });
    scene.cdc(&["check"]).await.exits_with(1).mentions(&["CDC-", "certificate"]);
}
