//! An HTTP endpoint that remembers what it was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

use super::port::Port;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// When it arrived.
    pub at: tokio::time::Instant,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, unchanged.
    pub body: Bytes,
}

impl Request {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Seen {
    accepted: Vec<Request>,
    refused: u64,
    refusal: Option<u16>,
    keep: bool,
    count: u64,
}

/// The running endpoint; dropping it closes the port.
#[derive(Debug)]
pub struct Receiver {
    port: Port,
    seen: Arc<Mutex<Seen>>,
    closed: CancellationToken,
}

impl Receiver {
    /// Listens on a free port and keeps every accepted request.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        Self::on_free_port(true).await
    }

    /// Listens on a port that was reserved before.
    ///
    /// # Errors
    /// When the port cannot be listened on.
    pub async fn start_on(port: Port) -> anyhow::Result<Self> {
        Self::listen(port, true).await
    }

    /// Listens on a free port and counts requests without keeping them.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn counting() -> anyhow::Result<Self> {
        Self::on_free_port(false).await
    }

    /// Between reserving a port and listening on it, a program that reserves nothing may take it.
    async fn on_free_port(keep: bool) -> anyhow::Result<Self> {
        for _ in 0..10 {
            if let Ok(receiver) = Self::listen(Port::reserve()?, keep).await {
                return Ok(receiver);
            }
        }
        Self::listen(Port::reserve()?, keep).await
    }

    async fn listen(port: Port, keep: bool) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.number()))
            .await
            .with_context(|| format!("listen on port {}", port.number()))?;
        let seen = Arc::new(Mutex::new(Seen { keep, ..Seen::default() }));
        let router = Router::new().fallback(take).with_state(Arc::clone(&seen));
        let closed = CancellationToken::new();
        let end = closed.clone().cancelled_owned();
        #[expect(clippy::disallowed_methods, reason = "ends when the receiver is dropped")]
        tokio::spawn(async move {
            drop(axum::serve(listener, router).with_graceful_shutdown(end).await);
        });
        Ok(Self { port, seen, closed })
    }

    /// Where to send requests.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/events", self.port.number())
    }

    /// Answers every request with this status from now on; `None` accepts again.
    pub fn refuse_with(&self, status: Option<u16>) {
        self.seen().refusal = status;
    }

    /// The requests that were accepted, in the order of their arrival.
    #[must_use]
    pub fn accepted(&self) -> Vec<Request> {
        self.seen().accepted.clone()
    }

    /// How many requests were accepted.
    #[must_use]
    pub fn accepted_count(&self) -> u64 {
        self.seen().count
    }

    /// How many requests were refused.
    #[must_use]
    pub fn refused_count(&self) -> u64 {
        self.seen().refused
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

async fn take(State(seen): State<Arc<Mutex<Seen>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let at = tokio::time::Instant::now();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(status) = seen.refusal {
        seen.refused += 1;
        return StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    }
    seen.count += 1;
    if seen.keep {
        let text = |value: &axum::http::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        seen.accepted.push(Request { at, headers, body });
    }
    StatusCode::OK
}
