//! Requests over HTTP, to whichever of several URLs answers.

use super::{
    config::{Config, Credentials, Endpoint},
    error,
};
use cdc_core::{Error, Result, Retry};
use reqwest::{Client, Method, Response, header::RETRY_AFTER, redirect};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Connecting may not take longer than this, nor longer than a whole request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// No answer is larger; schemas are a mebibyte at most, written as JSON.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Nobody is made to wait longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// The way to a registry.
#[derive(Debug)]
pub(super) struct Connection {
    client: Client,
    endpoints: Vec<Endpoint>,
    /// The one that answered last.
    preferred: AtomicUsize,
}

/// A request: where to, and what for, in words that fit behind "cannot".
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<&'a Value>,
    pub(super) what: &'a str,
}

impl Connection {
    pub(super) fn new(config: &Config) -> Result<Self> {
        let endpoints = config.endpoints()?;
        let timeout = Duration::from_secs(u64::from(config.timeout_seconds));
        let encrypted = endpoints.iter().any(|endpoint| endpoint.url.scheme() == "https");
        let tls = if encrypted { config.tls().client_config()? } else { None };
        let tls =
            tls.map_or_else(cdc_tls::without_authorities, |tls| Ok(Arc::unwrap_or_clone(tls)))?;
        let client = Client::builder()
            .user_agent(concat!("cdc/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .tls_backend_preconfigured(tls)
            .build()
            .map_err(|error| error::config("HTTP cannot be set up").with_source(error))?;
        Ok(Self { client, endpoints, preferred: AtomicUsize::new(0) })
    }

    /// Asks the URL that answered last, and then each of the others. Every request may be repeated:
    /// registering what is registered changes nothing.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Value> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = None;
        for turn in 0..self.endpoints.len() {
            let index = (first + turn) % self.endpoints.len();
            let Some(endpoint) = self.endpoints.get(index) else { continue };
            match self.ask(endpoint, &request).await {
                Ok(answer) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                // What the next one may do better.
                Err(error) if error.retry == Retry::Backoff => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failure.unwrap_or_else(|| error::config("the registry's URL is empty")))
    }

    async fn ask(&self, endpoint: &Endpoint, asked: &Request<'_>) -> Result<Value> {
        let (at, host) = (endpoint.shown(), endpoint.url.host_str().unwrap_or_default());
        let mut url = endpoint.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(asked.path);
        }
        if !asked.query.is_empty() {
            url.query_pairs_mut().extend_pairs(asked.query);
        }
        let mut request =
            self.client.request(asked.method.clone(), url).header("accept", MEDIA_TYPE);
        if let Some(body) = asked.body {
            request = request.header("content-type", MEDIA_TYPE).body(body.to_string());
        }
        request = match &endpoint.credentials {
            Credentials::None => request,
            Credentials::Basic(user, password) => request.basic_auth(user, Some(password.expose())),
            Credentials::Bearer(token) => request.bearer_auth(token.expose()),
        };
        let failed = |error| error::unreachable(&at, host, error);
        let answer = request.send().await.map_err(failed)?;
        let (status, wait) = (answer.status().as_u16(), wait(&answer));
        let body: Value = match read(answer).await.map_err(failed)? {
            Some(body) => serde_json::from_slice(&body).unwrap_or_default(),
            None => return Err(error::strange(&at, asked.what)),
        };
        refuse(&at, asked.what, status, &body, wait)?;
        if body.is_null() { Err(error::strange(&at, asked.what)) } else { Ok(body) }
    }
}

/// The body, unless it is far too large.
async fn read(mut answer: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn refuse(
    at: &str,
    what: &str,
    status: u16,
    body: &Value,
    wait: Option<Duration>,
) -> Result<(), Error> {
    if (200..300).contains(&status) {
        return Ok(());
    }
    let code = body.get("error_code").and_then(Value::as_u64);
    let message = body.get("message").and_then(Value::as_str).unwrap_or_default();
    // A page of a proxy says 404 too; only a registry numbers its refusals.
    if status == 404 && code.is_none() {
        return Err(error::strange(at, what));
    }
    Err(error::answered(at, what, status, code, message, wait))
}

fn wait(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}
