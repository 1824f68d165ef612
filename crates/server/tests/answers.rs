use crate::{
    client::get,
    world::{problem, world},
};
use cdc_core::{SchemaId, TableId, TableSchema, status::ConnectorState, store::SchemaStore as _};
use cdc_server::{METRICS, reference};
use serde_json::json;

#[tokio::test]
async fn health_has_what_monitoring_looks_for() {
    let world = world().await;
    let answer = get(world.at, "/healthz").await;
    assert_eq!(answer.code, 200);
    let body = answer.json();
    assert_eq!(body["pipeline_id"], "shop");
    assert_eq!(body["source"]["connector"], json!({ "state": "RUNNING" }));
    assert_eq!(body["source"]["tasks"], json!([{ "state": "RUNNING" }]));
    assert_eq!(body["source"]["state"], "running");
    assert_eq!(body["sinks"][0]["sink_id"], "copy");
    assert_eq!(body["sinks"][0]["status"], "running");
    assert_eq!(
        body["consumer_lag"][0],
        json!({ "topic": "shop", "partition": 0, "lag": 7, "offset": 93, "sink_id": "copy" })
    );
    assert_eq!(get(world.at, "/api/v1/pipelines/shop").await.json(), body);
}

#[tokio::test]
async fn liveness_does_not_depend_on_readiness() {
    let world = world().await;
    assert_eq!(get(world.at, "/readyz").await.code, 200);
    world.status.send_modify(|status| {
        status.sinks[1].state = ConnectorState::Parked;
        status.sinks[1].error = Some(problem());
        status.transport.paused = Some("disk full".to_owned());
    });
    let answer = get(world.at, "/readyz").await;
    assert_eq!(answer.code, 503);
    assert_eq!(
        answer.json(),
        json!({ "ready": false, "reasons": [
            "log: disk full",
            "sink hook \"1\": parked until an operator acts: CDC-3101: the endpoint does not answer",
        ]})
    );
    assert_eq!(get(world.at, "/healthz").await.code, 200);
}

#[tokio::test]
async fn another_pipeline_is_not_found() {
    let world = world().await;
    let answer = get(world.at, "/api/v1/pipelines/other").await;
    assert_eq!(answer.code, 404);
    assert_eq!(answer.json()["error"]["code"], "CDC-5003");
    assert_eq!(get(world.at, "/api/v1/pipelines").await.json(), json!({ "pipelines": ["shop"] }));
}

#[tokio::test]
async fn schemas_are_had_by_number() {
    let world = world().await;
    let schema = TableSchema {
        table: TableId::new("public", "t"),
        dialect: "postgres".to_owned(),
        columns: Vec::new(),
        key: Vec::new(),
        number: None,
    };
    let SchemaId(id) = world.letters.register(&[&schema]).await.unwrap()[0];
    let path = "/api/v1/pipelines/shop/schemas";
    let got = get(world.at, &format!("{path}/{id}")).await.json();
    assert_eq!(serde_json::from_value::<TableSchema>(got).unwrap(), schema);
    let missing = get(world.at, &format!("{path}/{}", id + 1)).await;
    assert_eq!((missing.code, &missing.json()["error"]["code"]), (404, &json!("CDC-5006")));
}

#[tokio::test]
async fn metrics_carry_the_status_with_escaped_labels() {
    let world = world().await;
    let answer = get(world.at, "/metrics").await;
    assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
    for line in [
        "replication_lag_seconds{pipeline=\"shop\",sink=\"copy\"} 2.5",
        "dead_letter_queue_size{pipeline=\"shop\",sink=\"hook \\\"1\\\"\"} 1",
        "cdc_source_state{pipeline=\"shop\",state=\"running\"} 1",
        "cdc_source_state{pipeline=\"shop\",state=\"parked\"} 0",
        "cdc_source_retained_bytes{pipeline=\"shop\"} 4096",
        "cdc_source_slot_safe_wal_bytes{pipeline=\"shop\"} -5",
        "cdc_source_slot_wal_status{pipeline=\"shop\",status=\"extended\"} 1",
        "cdc_source_slot_wal_status{pipeline=\"shop\",status=\"lost\"} 0",
        "cdc_source_lag_seconds{pipeline=\"shop\"} 1.5",
        "cdc_sink_lag_records{pipeline=\"shop\",sink=\"copy\"} 7",
        "cdc_log_records_total{pipeline=\"shop\"} 100",
        "cdc_pipeline_ready{pipeline=\"shop\"} 1",
        "process_start_time_seconds 1700000000.5",
        "# TYPE event_throughput_msgs gauge",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "{line}\n{}", answer.body);
    }
}

#[tokio::test]
async fn every_metric_of_the_answer_is_documented() {
    let world = world().await;
    let body = get(world.at, "/metrics").await.body;
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once(['{', ' ']).expect("a sample");
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not documented"));
        for label in metric.labels {
            assert!(labels.contains(&format!("{label}=\"")), "{line} has no {label}");
        }
    }
}

#[test]
fn the_documented_list_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    if std::env::var_os("CDC_UPDATE_DOCS").is_some() {
        std::fs::write(path, reference()).expect("written");
    }
    let written = std::fs::read_to_string(path).expect("docs/metrics.md");
    assert_eq!(written, reference(), "run the test with CDC_UPDATE_DOCS=1 to write it anew");
}
