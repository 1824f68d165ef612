use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::serve::IncomingStream;
use bytes::Bytes;
use cdc_core::catalog::{SinkConnector as _, SinkContext};
use cdc_core::{Delivered, Offset, Result, Sink, TableId, WriteError};
use cdc_sink_webhook::{Config, Connector};
use cdc_testkit::generate::{Generator, batch, delivered};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The other end of a connection, plain or encrypted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// One request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
    pub(crate) from: SocketAddr,
}

impl Request {
    pub(crate) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Each change in it with its identity.
    pub(crate) fn records(&self) -> Vec<(String, Json)> {
        match self.json() {
            Json::Array(records) => records
                .into_iter()
                .map(|record| {
                    let identity = record["metadata"]["idempotency_key"].as_str().unwrap();
                    (identity.to_owned(), record)
                })
                .collect(),
            record => vec![(self.headers["idempotency-key"].clone(), record)],
        }
    }
}

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) takes: bool,
    pub(crate) delay: Duration,
    /// `None` breaks the connection.
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::status(200)
    }

    /// Takes what it answers with 2xx.
    pub(crate) fn status(status: u16) -> Self {
        let takes = (200..300).contains(&status);
        let (headers, body) = (Vec::new(), "why".to_owned());
        Self { takes, delay: Duration::ZERO, status: Some(status), headers, body }
    }

    pub(crate) fn broken(takes: bool) -> Self {
        Self { takes, status: None, ..Self::ok() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type Manner = Box<dyn FnMut(&Request) -> Reply + Send>;

struct Shared {
    manner: Manner,
    all: Vec<Request>,
    taken: Vec<Request>,
    under_way: usize,
    under_way_most: usize,
}

/// A receiver on a port of its own; gone when dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    server: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[expect(clippy::disallowed_methods, reason = "ends with the receiver")]
impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self::serve(address, |service| async move {
            axum::serve(listener, service).await.unwrap();
        })
    }

    pub(crate) fn serve<F: Future<Output = ()> + Send + 'static>(
        address: SocketAddr,
        run: impl FnOnce(axum::extract::connect_info::IntoMakeServiceWithConnectInfo<Router, Peer>) -> F,
    ) -> Self {
        let shared = Arc::new(Mutex::new(Shared {
            manner: Box::new(|_| Reply::ok()),
            all: Vec::new(),
            taken: Vec::new(),
            under_way: 0,
            under_way_most: 0,
        }));
        let router = Router::new()
            .fallback(handle)
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let service = router.into_make_service_with_connect_info::<Peer>();
        let server = tokio::spawn(run(service));
        Self { address, shared, server }
    }

    pub(crate) fn behave(&self, manner: impl FnMut(&Request) -> Reply + Send + 'static) {
        self.shared.lock().unwrap().manner = Box::new(manner);
    }

    /// Gives these replies, then takes everything.
    pub(crate) fn reply(&self, replies: impl IntoIterator<Item = Reply>) {
        let mut replies: Vec<Reply> = replies.into_iter().collect();
        replies.reverse();
        self.behave(move |_| replies.pop().unwrap_or_else(Reply::ok));
    }

    pub(crate) fn all(&self) -> Vec<Request> {
        self.shared.lock().unwrap().all.clone()
    }

    /// What the receiver took, in order.
    pub(crate) fn taken(&self) -> Vec<(String, Json)> {
        let taken = self.shared.lock().unwrap().taken.clone();
        taken.iter().flat_map(Request::records).collect()
    }

    pub(crate) fn identities(&self) -> Vec<String> {
        self.taken().into_iter().map(|(identity, _)| identity).collect()
    }

    pub(crate) fn under_way_most(&self) -> usize {
        self.shared.lock().unwrap().under_way_most
    }

    pub(crate) fn config(&self) -> Config {
        config(&json!({"url": format!("http://{}/hook/topsecret", self.address)}))
    }

    pub(crate) async fn open(&self) -> Box<dyn Sink> {
        open(self.config()).await.unwrap()
    }
}

async fn handle(
    State(shared): State<Arc<Mutex<Shared>>>,
    ConnectInfo(Peer(from)): ConnectInfo<Peer>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let request = Request { method: method.to_string(), headers, body, from };
    let reply = {
        let mut shared = shared.lock().unwrap();
        let reply = (shared.manner)(&request);
        shared.all.push(request.clone());
        shared.under_way += 1;
        shared.under_way_most = shared.under_way_most.max(shared.under_way);
        reply
    };
    tokio::time::sleep(reply.delay).await;
    {
        let mut shared = shared.lock().unwrap();
        shared.under_way -= 1;
        if reply.takes {
            shared.taken.push(request);
        }
    }
    let Some(status) = reply.status else {
        // Ends the connection's task, and with it the connection, without an answer.
        std::panic::resume_unwind(Box::new("the connection breaks"));
    };
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).unwrap()
}

pub(crate) fn config(json: &Json) -> Config {
    serde_json::from_value(json.clone()).unwrap()
}

/// A configuration of this URL with more keys.
pub(crate) fn with(config: &Config, more: &Json) -> Config {
    let mut keys = json!({"url": config.url.expose()});
    keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    self::config(&keys)
}

pub(crate) fn context() -> SinkContext {
    SinkContext {
        database: "shop".to_owned(),
        pipeline_id: "shop".to_owned(),
        sink_id: "hook".to_owned(),
        topic_prefix: "cdc".to_owned(),
        memory_bytes: 8 << 20,
    }
}

pub(crate) async fn open(config: Config) -> Result<Box<dyn Sink>> {
    let mut sink = Connector::new(config)?.open(&context()).await?;
    sink.claim(1).await?;
    Ok(sink)
}

/// Changes of two tables without truncates.
pub(crate) fn changes(count: usize) -> Vec<Delivered> {
    let mut generator = Generator::new(5);
    generator.add_table(TableId::new("public", "a"));
    generator.add_table(TableId::new("public", "b"));
    let mut changes = generator.transactions(count * 2, 2);
    changes.retain(|change| change.row().is_some());
    changes.truncate(count);
    delivered(changes, Offset(0))
}

pub(crate) fn identities(changes: &[Delivered]) -> Vec<String> {
    changes.iter().map(|d| format!("shop/hook/{}", d.change.position)).collect()
}

pub(crate) async fn write(
    sink: &mut dyn Sink,
    changes: &[Delivered],
) -> std::result::Result<(), WriteError> {
    sink.write(&batch(changes.to_vec())).await
}

/// Writes what must be taken.
pub(crate) async fn deliver(sink: &mut dyn Sink, changes: &[Delivered]) {
    if let Err(failed) = write(sink, changes).await {
        panic!("{}", failed.error.chain());
    }
}

/// Writes what must fail.
pub(crate) async fn fail(sink: &mut dyn Sink, changes: &[Delivered]) -> WriteError {
    let failed = write(sink, changes).await.expect_err("an error was expected");
    let chain = failed.error.chain();
    assert!(!chain.contains("topsecret") && failed.error.remedy.is_some(), "{chain}");
    failed
}
