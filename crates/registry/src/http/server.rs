//! Listens and answers.

use super::{
    answer::{Shared, respond},
    schemas, settings, subjects,
};
use crate::embedded::{Refusal, Registry};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::Response,
    routing::{get, post},
};
use cdc_core::{Error, Origin, Result, Retry};
use serde_json::json;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

/// Open requests may end for so long after the server was told to stop.
const DRAIN_WAIT: Duration = Duration::from_secs(2);

/// The largest text, written as JSON, and what comes with it.
const BODY_BYTES_MAX: usize = 4 << 20;

/// A server that listens already and answers once it is served.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Takes the port.
    pub async fn bind(at: SocketAddr) -> Result<Self> {
        let failed = |error| cannot_listen(at, error);
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
    pub async fn serve(self, registry: Arc<Registry>, cancel: CancellationToken) -> Result<()> {
        let shutdown = cancel.clone().cancelled_owned();
        let serving = axum::serve(self.listener, router(registry)).with_graceful_shutdown(shutdown);
        let overdue = async {
            cancel.cancelled().await;
            sleep(DRAIN_WAIT).await;
        };
        tokio::select! {
            biased;
            served = async { serving.await } => served.map_err(broken),
            () = overdue => Ok(()),
        }
    }
}

/// All routes.
pub fn router(registry: Arc<Registry>) -> Router {
    let id = "/schemas/ids/{id}";
    let subject = "/subjects/{subject}";
    let versions = "/subjects/{subject}/versions";
    let version = "/subjects/{subject}/versions/{version}";
    let compatibility = "/compatibility/subjects/{subject}/versions";
    Router::new()
        .route("/", get(async || respond(Ok(json!({})))))
        .route("/schemas", get(schemas::list))
        .route("/schemas/types", get(schemas::types))
        .route(id, get(schemas::by_id))
        .route(&format!("{id}/schema"), get(schemas::text_by_id))
        .route(&format!("{id}/subjects"), get(schemas::subjects_of))
        .route(&format!("{id}/versions"), get(schemas::versions_of))
        .route("/schemas/guids/{guid}", get(schemas::by_guid))
        .route("/schemas/guids/{guid}/ids", get(schemas::ids_of_guid))
        .route("/subjects", get(subjects::list))
        .route(subject, post(subjects::lookup).delete(subjects::delete))
        .route(&format!("{subject}/metadata"), get(subjects::with_metadata))
        .route(versions, get(subjects::versions).post(subjects::register))
        .route(version, get(subjects::one).delete(subjects::delete_one))
        .route(&format!("{version}/schema"), get(subjects::text))
        .route(&format!("{version}/referencedby"), get(subjects::referenced_by))
        .route(compatibility, post(subjects::compatible_with_all))
        .route(&format!("{compatibility}/{{version}}"), post(subjects::compatible_with_one))
        .route(
            "/config",
            get(settings::get_global).put(settings::put_global).delete(settings::delete_global),
        )
        .route(
            "/config/{subject}",
            get(settings::get_one).put(settings::put_one).delete(settings::delete_one),
        )
        .route("/mode", get(settings::get_global_mode).put(settings::put_global_mode))
        .route(
            "/mode/{subject}",
            get(settings::get_mode).put(settings::put_mode).delete(settings::delete_mode),
        )
        .route("/contexts", get(async || respond(Ok(json!(["."])))))
        .route("/v1/metadata/id", get(identity))
        .route("/v1/metadata/version", get(release))
        .fallback(async || respond(Err(Refusal::new(404, "HTTP 404 Not Found"))))
        .method_not_allowed_fallback(async || {
            respond(Err(Refusal::new(405, "HTTP 405 Method Not Allowed")))
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(registry as Shared)
}

async fn identity() -> Response {
    let clusters = json!({ "kafka-cluster": "", "schema-registry-cluster": "cdc" });
    respond(Ok(json!({ "id": "", "scope": { "path": [], "clusters": clusters } })))
}

async fn release() -> Response {
    respond(Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "commitId": "" })))
}

fn cannot_listen(at: SocketAddr, error: io::Error) -> Error {
    let port = at.port();
    let (context, remedy) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            format!("the port {port} for the schema registry is in use on {}", at.ip()),
            format!("find who has it (ss -ltnp 'sport = :{port}'), or choose another port"),
        ),
        _ => (
            format!("the schema registry cannot listen on {at}"),
            "choose an address of this machine and a port above 1023".to_owned(),
        ),
    };
    Error::new("CDC-6005", Origin::Config, Retry::AfterOperator, context)
        .with_remedy(remedy)
        .with_source(error)
}

fn broken(error: io::Error) -> Error {
    let context = "the schema registry's HTTP server has stopped";
    Error::new("CDC-6006", Origin::Internal, Retry::Backoff, context)
        .with_remedy("start the pipeline again")
        .with_source(error)
}
