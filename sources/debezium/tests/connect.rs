//! As much of Kafka Connect's REST interface as the connector asks for.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{delete, get, post},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio_util::sync::{CancellationToken, DropGuard};

#[derive(Default)]
struct Worker {
    settings: BTreeMap<String, Value>,
    traces: BTreeMap<String, String>,
    refuses: bool,
}

type Shared = Arc<Mutex<Worker>>;

/// A running worker; dropping it stops it.
pub(crate) struct Connect {
    address: std::net::SocketAddr,
    worker: Shared,
    _stop: DropGuard,
}

impl Connect {
    pub(crate) async fn start() -> Self {
        let worker = Shared::default();
        let routes = Router::new()
            .route("/connector-plugins", get(async || Json(json!([]))))
            .route("/connectors/{name}/config", get(config).put(put))
            .route("/connectors/{name}/status", get(status))
            .route("/connectors/{name}/restart", post(restart))
            .route("/connectors/{name}", delete(remove))
            .with_state(Arc::clone(&worker));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move {
            axum::serve(listener, routes).with_graceful_shutdown(stopped).await.unwrap();
        });
        Self { address, worker, _stop: stop.drop_guard() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn setting(&self, name: &str, key: &str) -> Option<String> {
        let worker = self.worker.lock().unwrap();
        Some(worker.settings.get(name)?.get(key)?.as_str()?.to_owned())
    }

    pub(crate) fn put(&self, name: &str, settings: &[(&str, &str)]) {
        let settings: BTreeMap<_, _> = settings.iter().copied().collect();
        self.worker.lock().unwrap().settings.insert(name.to_owned(), json!(settings));
    }

    pub(crate) fn put_raw(&self, name: &str, answer: Value) {
        self.worker.lock().unwrap().settings.insert(name.to_owned(), answer);
    }

    pub(crate) fn fail(&self, name: &str, trace: &str) {
        self.worker.lock().unwrap().traces.insert(name.to_owned(), trace.to_owned());
    }

    /// The next request to change something comes while connectors are shared out.
    pub(crate) fn refuse_once(&self) {
        self.worker.lock().unwrap().refuses = true;
    }
}

async fn config(
    State(worker): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    let worker = worker.lock().unwrap();
    worker.settings.get(&name).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn put(
    State(worker): State<Shared>,
    Path(name): Path<String>,
    Json(mut settings): Json<Value>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let mut worker = worker.lock().unwrap();
    if std::mem::take(&mut worker.refuses) {
        return Err((StatusCode::CONFLICT, Json(json!({"message": "rebalance in progress"}))));
    }
    settings["name"] = json!(name);
    worker.settings.insert(name, settings.clone());
    Ok(Json(settings))
}

async fn status(
    State(worker): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, StatusCode> {
    let worker = worker.lock().unwrap();
    if !worker.settings.contains_key(&name) {
        return Err(StatusCode::NOT_FOUND);
    }
    let task = match worker.traces.get(&name) {
        Some(trace) => json!({"id": 0, "state": "FAILED", "worker_id": "w", "trace": trace}),
        None => json!({"id": 0, "state": "RUNNING", "worker_id": "w"}),
    };
    Ok(Json(json!({"name": name, "connector": {"state": "RUNNING"}, "tasks": [task]})))
}

async fn restart(State(worker): State<Shared>, Path(name): Path<String>) -> StatusCode {
    worker.lock().unwrap().traces.remove(&name);
    StatusCode::NO_CONTENT
}

async fn remove(State(worker): State<Shared>, Path(name): Path<String>) -> StatusCode {
    let removed = worker.lock().unwrap().settings.remove(&name);
    if removed.is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}
