//! Sinks that are fed by what Debezium writes: the pipeline makes the connector, and delivers.

use std::time::Duration;

use cdc_testkit::services::Port;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::Client;

use super::consumers::{CHANGES, TABLE};
use super::process::{Running, eventually, run};
use super::world::World;

const COPY: &str = "copied";
const ALL: &str = "SELECT coalesce(json_agg(c ORDER BY id)::text, '') FROM consumed c";

/// The files of a pipeline whose changes Debezium captures.
struct Fed {
    directory: TempDir,
    http: Port,
    target: Client,
}

impl Fed {
    async fn new(world: &World, encoding: &str) -> Self {
        let database = world.server.create_database(COPY).await.unwrap();
        let (server, http) = (&world.server, Port::reserve().unwrap());
        let on = |database: &str| {
            json!({
                "host": server.host(),
                "port": server.port(),
                "database": database,
                "username": server.superuser(),
                "password": server.password(),
            })
        };
        let mut source = on(&world.database);
        source["tables"] = json!(["public.con*"]);
        source["slot_name"] = json!("fed");
        source["publication_name"] = json!("fed");
        let pipeline = json!({
            "pipeline_id": "fed",
            "topic_prefix": "fed",
            "source": source,
            "sinks": [{ "sink_id": "replica", "sink_type": "postgres", "postgres": on(&database) }],
        });
        let platform = json!({
            "transport_mode": "kafka",
            "kafka": {
                "bootstrap_servers": world.kafka.bootstrap(),
                "topic_num_partitions": 1,
                "session_timeout_ms": 6000,
                "schema_registry_url": world.registry,
            },
            "connector": { "connect_url": world.connect.url() },
            "format": { "key": encoding, "value": encoding, "skipped_operations": "none" },
            "rest": { "health_port": http.number() },
            "retry": { "initial_wait_seconds": 0.1, "max_wait_seconds": 1 },
        });
        let directory = TempDir::new().unwrap();
        for (name, content) in [("pipeline.yaml", pipeline), ("platform.yaml", platform)] {
            let text = serde_json::to_string_pretty(&content).unwrap();
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let target = server.connect(&database).await.unwrap();
        Self { directory, http, target }
    }

    async fn cdc(&self, command: &str) -> super::process::Ended {
        run(self.directory.path(), &arguments(command)).await
    }

    fn start(&self) -> Running {
        Running::start(self.directory.path(), &arguments("run"), self.http.number())
    }

    /// Waits until the copy is the source.
    async fn equals(&self, world: &World, running: &mut Running) {
        let wanted: String = world.client.query_one(ALL, &[]).await.unwrap().get(0);
        eventually("the copy is the source", async || {
            assert!(running.is_running(), "{}", running.log());
            let row = self.target.query_one(ALL, &[]).await;
            row.is_ok_and(|row| row.get::<_, String>(0) == wanted)
        })
        .await;
    }
}

fn arguments(command: &str) -> [&str; 4] {
    [command, "pipeline.yaml", "--platform-config", "platform.yaml"]
}

/// Deploys, runs, kills, goes on, and removes everything.
pub(super) async fn deliver(world: &World, encoding: &str) {
    world.client.batch_execute(TABLE).await.unwrap();
    let fed = Fed::new(world, encoding).await;
    fed.cdc("check").await.exits_with(0).mentions(&["PostgresConnector", "ready to run"]);
    fed.cdc("deploy").await.exits_with(0).mentions(&["made the connector fed"]);
    let mut running = fed.start();
    fed.equals(world, &mut running).await;
    for (number, statement) in CHANGES.iter().enumerate() {
        world.client.batch_execute(statement).await.unwrap();
        if number == 2 {
            running.kill9();
            running = fed.start();
        }
    }
    fed.equals(world, &mut running).await;
    world.client.batch_execute("TRUNCATE consumed").await.unwrap();
    world.client.batch_execute("INSERT INTO consumed (id, t) VALUES (9, 'new')").await.unwrap();
    fed.equals(world, &mut running).await;
    let status: Value = serde_json::from_str(&running.answers("/healthz", 200).await).unwrap();
    assert_eq!(status["source"]["connector"]["state"], "RUNNING", "{status}");
    // What somebody removes is made again.
    world.connect.remove("fed").unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.client.batch_execute("INSERT INTO consumed (id, t) VALUES (10, 'newer')").await.unwrap();
    fed.equals(world, &mut running).await;
    running.stop().await.exits_with(0);
    fed.cdc("undeploy").await.exits_with(0).mentions(&["removed the connector fed", "fed"]);
    let left = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'fed'";
    assert_eq!(world.client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
}
