//! Listens and answers.

use crate::{
    Counters, PartitionLag, dead_letters,
    error::{self, Refusal},
    exposition::exposition,
    health::health,
    snapshots,
    throughput::{self, Throughput},
};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use cdc_core::{
    Result, SchemaId,
    catalog::SharedSourceConnector,
    dead_letter::DeadLetterStore,
    store::{CheckpointStore, SchemaStore},
};
use cdc_engine::PipelineStatus;
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

/// Open requests may end for so long after the server was told to stop.
const DRAIN_WAIT: Duration = Duration::from_secs(2);

/// What the server speaks about.
#[derive(Clone)]
pub struct Parts {
    /// The pipeline that this process runs.
    pub pipeline_id: String,
    /// What it says about itself.
    pub status: watch::Receiver<PipelineStatus>,
    /// How far the sinks are behind in each partition; `None` for a log of one, whose status tells it.
    pub lag: Option<watch::Receiver<Vec<PartitionLag>>>,
    /// The source, for orders about snapshots.
    pub source: SharedSourceConnector,
    /// How far capture has got.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// Changes set aside.
    pub dead_letters: Arc<dyn DeadLetterStore>,
    /// Table schemas by number, for those who read the log from its middle.
    pub schemas: Arc<dyn SchemaStore>,
    /// What the parts of the process count.
    pub counters: Counters,
}

/// A server that listens already and answers once it is served.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the port.
    pub async fn bind(at: SocketAddr) -> Result<Self> {
        let failed = |error| error::cannot_listen(at, error);
        let listener = TcpListener::bind(at).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens: the port that was asked for, or the one it got for port 0.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until cancelled, and then lets open requests end.
    pub async fn serve(self, parts: Parts, cancel: CancellationToken) -> Result<()> {
        let app = App { parts: Arc::new(parts), throughput: Arc::default() };
        let sampling = sample(app.clone());
        let shutdown = cancel.clone().cancelled_owned();
        let serving = axum::serve(self.listener, router(app)).with_graceful_shutdown(shutdown);
        let overdue = async {
            cancel.cancelled().await;
            sleep(DRAIN_WAIT).await;
        };
        tokio::select! {
            biased;
            served = async { serving.await } => served.map_err(error::broken),
            () = overdue => Ok(()),
            () = sampling => Ok(()),
        }
    }
}

/// What every answer is made from.
#[derive(Clone)]
pub(crate) struct App {
    parts: Arc<Parts>,
    throughput: Arc<Throughput>,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl App {
    fn health(&self) -> Value {
        let lag = self.lag.as_ref().map(|lag| lag.borrow());
        health(&self.status.borrow(), lag.as_ref().map(|lag| lag.as_slice()))
    }

    /// Refuses a request for another pipeline.
    pub(crate) fn own(&self, pipeline: &str) -> Result<(), Refusal> {
        if pipeline == self.pipeline_id {
            return Ok(());
        }
        Err(error::no_such_pipeline(pipeline, &self.pipeline_id))
    }
}

/// Looks at the status once a second, for as long as it is polled.
async fn sample(app: App) {
    let mut ticks = interval(throughput::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        app.throughput.sample(now, &app.status.borrow());
        app.counters.upkeep();
    }
}

fn router(app: App) -> Router {
    let letters = "/api/v1/pipelines/{id}/dead-letters";
    Router::new()
        .route("/healthz", get(get_health))
        .route("/readyz", get(get_ready))
        .route("/metrics", get(get_metrics))
        .route("/api/v1/pipelines", get(get_pipelines))
        .route("/api/v1/pipelines/{id}", get(get_pipeline))
        .route("/api/v1/pipelines/{id}/schemas/{schema}", get(get_schema))
        .route(
            "/api/v1/pipelines/{id}/snapshots",
            get(snapshots::get_progress).post(snapshots::post_order),
        )
        .route(letters, get(dead_letters::get_list).delete(dead_letters::delete_some))
        .route(&format!("{letters}/retry"), post(dead_letters::post_retry))
        .route(
            &format!("{letters}/{{letter}}"),
            get(dead_letters::get_one).delete(dead_letters::delete_one),
        )
        .route(&format!("{letters}/{{letter}}/retry"), post(dead_letters::post_retry_one))
        .with_state(app)
}

async fn get_health(State(app): State<App>) -> Json<Value> {
    Json(app.health())
}

async fn get_ready(State(app): State<App>) -> Response {
    let reasons = app.status.borrow().not_ready();
    let ready = reasons.is_empty();
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": ready, "reasons": reasons }))).into_response()
}

async fn get_metrics(State(app): State<App>) -> Response {
    let lag = app.lag.as_ref().map(|lag| lag.borrow().clone()).unwrap_or_default();
    let mut text = exposition(&app.status.borrow(), &lag, &app.throughput, Instant::now());
    text.push_str(&app.counters.render());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn get_pipelines(State(app): State<App>) -> Json<Value> {
    Json(json!({ "pipelines": [app.pipeline_id] }))
}

async fn get_pipeline(
    State(app): State<App>,
    Path(pipeline): Path<String>,
) -> Result<Json<Value>, Refusal> {
    app.own(&pipeline)?;
    Ok(Json(app.health()))
}

async fn get_schema(
    State(app): State<App>,
    Path((pipeline, schema)): Path<(String, u32)>,
) -> Result<Response, Refusal> {
    app.own(&pipeline)?;
    match app.schemas.get(SchemaId(schema)).await? {
        Some(schema) => Ok(Json(&*schema).into_response()),
        None => Err(error::no_such_schema(schema)),
    }
}
