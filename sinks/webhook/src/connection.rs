//! Opening sessions.

use crate::config::{self, Config, Method};
use crate::encode::Identity;
use crate::writer::{Session, Target};
use crate::{check, error};
use async_trait::async_trait;
use cdc_codec::debezium::Encoder;
use cdc_core::catalog::{CapturedTable, SinkConnector, SinkContext};
use cdc_core::clock::{Clock, SystemClock};
use cdc_core::{Finding, Result, Sink};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, redirect};
use std::sync::Arc;
use std::time::Duration;

/// Connecting may not take longer than this, nor longer than a whole request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens and checks webhook sinks.
#[derive(Clone)]
pub struct Connector {
    config: Config,
    clock: Arc<dyn Clock>,
}

impl Connector {
    /// Takes a configuration.
    ///
    /// # Errors
    /// When the configuration cannot work.
    pub fn new(config: Config) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, clock: Arc::new(SystemClock) })
    }

    /// Takes the time from another clock than the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

#[async_trait]
impl SinkConnector for Connector {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    async fn check(&self, _: &SinkContext, _: &[CapturedTable]) -> Vec<Finding> {
        check::findings(&self.config).await
    }

    async fn open(&self, context: &SinkContext) -> Result<Box<dyn Sink>> {
        let config = &self.config;
        let url = config.parsed_url()?;
        let target = Target {
            receiver: config::shown(&url),
            client: client(config)?,
            method: match config.method {
                Method::Post => reqwest::Method::POST,
                Method::Put => reqwest::Method::PUT,
                Method::Patch => reqwest::Method::PATCH,
            },
            url,
            batch: config.batch,
            signing_secret: config.signing_secret.clone(),
            identity: Identity::new(&context.pipeline_id, &context.sink_id),
            clock: Arc::clone(&self.clock),
        };
        let lanes = usize::try_from(config.concurrency).unwrap_or(1);
        let encoder = Encoder::new(&context.topic_prefix).with_database(&context.database);
        Ok(Box::new(Session::new(target, encoder, lanes)))
    }
}

/// A client with connections of its own. It neither reads the environment nor follows redirects.
fn client(config: &Config) -> Result<Client> {
    let timeout = Duration::from_secs(u64::from(config.timeout_seconds));
    let mut headers: HeaderMap = config.parsed_headers()?.into_iter().collect();
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    let mut builder = Client::builder()
        .user_agent(concat!("cdc/", env!("CARGO_PKG_VERSION")))
        .default_headers(headers)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .timeout(timeout);
    if config.parsed_url()?.scheme() == "https"
        && let Some(tls) = config.tls.verified().client_config()?
    {
        let mut tls = Arc::unwrap_or_clone(tls);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        builder = builder.tls_backend_preconfigured(tls);
    } else {
        builder = builder.tls_backend_preconfigured(cdc_tls::without_authorities()?);
    }
    builder.build().map_err(error::client)
}
