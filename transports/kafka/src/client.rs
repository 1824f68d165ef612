//! What every client of the library is made of: settings, and what it hears from the brokers.

use crate::{config::Config, error, token};
use cdc_core::Result;
use rdkafka::{
    ClientConfig, ClientContext, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode as Code,
};
use std::{
    error::Error as StdError,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// No transport waits longer for an idle connection to be noticed as dead.
const RECONNECT_WAIT_MAX_MS: u32 = 2_000;
/// How often clients ask where partitions and their leaders are.
const METADATA_AGE: Duration = Duration::from_secs(60);

/// The last thing that a broker, or the way to it, said was wrong.
#[derive(Debug, Default)]
pub(crate) struct Diagnosis(Mutex<Option<(Code, String)>>);

impl Diagnosis {
    fn note(&self, code: Code, reason: &str) {
        // A broker that ends the handshake is reported as a lost connection.
        let code = if reason.contains("SSL routines") { Code::SSL } else { code };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down follows from what was said before, which tells more.
        if code != Code::AllBrokersDown || last.is_none() {
            *last = Some((code, reason.to_owned()));
        }
    }

    pub(crate) fn last(&self) -> Option<(Code, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the library calls back for every kind of client.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) heard: Arc<Diagnosis>,
    tokens: Option<Arc<token::Source>>,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug => {
                tracing::trace!(target: "librdkafka", facility, message, "client log");
            }
            _ => tracing::debug!(target: "librdkafka", facility, message, "client log"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.heard.note(code, reason);
        }
        tracing::debug!(%error, reason, "kafka client error");
    }

    fn generate_oauth_token(
        &self,
        _config: Option<&str>,
    ) -> std::result::Result<OAuthToken, Box<dyn StdError>> {
        let source = self.tokens.as_ref().ok_or("no source of tokens is configured")?;
        source.token().map_err(|error| {
            self.heard.note(Code::Authentication, &error.context);
            tracing::warn!(code = error.code, error = %error.chain(), "no token for kafka");
            error.context.replace('\0', " ").into()
        })
    }
}

impl ConsumerContext for Context {}

/// The context of a client that tells somebody more than a log.
pub(crate) struct With<T> {
    pub(crate) client: Context,
    pub(crate) own: T,
}

impl<T: Send + Sync + 'static> ClientContext for With<T> {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> std::result::Result<OAuthToken, Box<dyn StdError>> {
        self.client.generate_oauth_token(config)
    }
}

/// Takes partitions without reading them: beginning at their ends and paused, it asks for no records.
pub(crate) fn hold<C: ConsumerContext>(
    member: &BaseConsumer<C>,
    list: &mut TopicPartitionList,
) -> KafkaResult<()> {
    list.set_all_offsets(rdkafka::Offset::End)?;
    member.incremental_assign(list)?;
    member.pause(list)
}

/// Makes clients of one configuration.
#[derive(Clone)]
pub(crate) struct Factory {
    pub(crate) config: Arc<Config>,
    tokens: Option<Arc<token::Source>>,
}

impl Factory {
    pub(crate) fn new(config: Config) -> Result<Self> {
        config.validate()?;
        let tokens = token::Source::of(&config)?.map(Arc::new);
        Ok(Self { config: Arc::new(config), tokens })
    }

    pub(crate) fn context(&self) -> Context {
        Context { heard: Arc::default(), tokens: self.tokens.clone() }
    }

    /// Settings of every client.
    pub(crate) fn settings(&self) -> ClientConfig {
        let config = &self.config;
        let mut out = ClientConfig::new();
        let mut set = |key: &str, value: String| {
            out.set(key, value);
        };
        set("bootstrap.servers", config.bootstrap_servers.clone());
        set("client.id", "cdc".to_owned());
        set("security.protocol", config.security_protocol.name().to_owned());
        set("socket.timeout.ms", config.request_timeout_ms.to_string());
        // A frozen broker takes connections and says nothing.
        set("socket.connection.setup.timeout.ms", config.request_timeout_ms.to_string());
        set("api.version.request.timeout.ms", config.request_timeout_ms.to_string());
        set("socket.keepalive.enable", "true".to_owned());
        set("reconnect.backoff.max.ms", RECONNECT_WAIT_MAX_MS.to_string());
        set("topic.metadata.refresh.interval.ms", METADATA_AGE.as_millis().to_string());
        if let Some(mechanism) = config.auth_mechanism.mechanism() {
            set("sasl.mechanism", mechanism.to_owned());
        }
        if let Some(user) = &config.sasl_username {
            set("sasl.username", user.clone());
        }
        for (key, secret) in [
            ("sasl.password", &config.sasl_password),
            ("ssl.key.password", &config.ssl_key_password),
        ] {
            if let Some(secret) = secret {
                set(key, secret.expose().to_owned());
            }
        }
        for (key, path) in [
            ("ssl.ca.location", &config.ssl_ca_location),
            ("ssl.certificate.location", &config.ssl_certificate_location),
            ("ssl.key.location", &config.ssl_key_location),
        ] {
            if let Some(path) = path {
                set(key, path.display().to_string());
            }
        }
        out
    }

    /// Settings of a producer that neither repeats, reorders nor leaves out.
    pub(crate) fn producer_settings(&self) -> ClientConfig {
        let config = &self.config;
        let mut out = self.settings();
        out.set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            // Only what can never succeed may fail: everything else is sent until it is there.
            .set("message.timeout.ms", "0")
            .set("request.timeout.ms", config.request_timeout_ms.to_string())
            .set("compression.type", config.compression.name())
            .set("linger.ms", config.linger_ms.to_string())
            .set("batch.size", "1048576")
            .set("batch.num.messages", "100000")
            .set("message.max.bytes", config.max_record_bytes.saturating_add(1 << 16).to_string())
            // The lanes count bytes, so the library's own limits are out of reach.
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", "2147483647");
        out
    }

    /// Settings of a consumer that is told where to read.
    pub(crate) fn consumer_settings(&self) -> ClientConfig {
        let config = &self.config;
        let mut out = self.settings();
        let fetch_bytes = config.max_record_bytes.max(config.fetch_buffer_bytes).max(1 << 20);
        out.set("group.id", config.group_id.as_str())
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // What retention has removed is an error, never skipped.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            .set("allow.auto.create.topics", "false")
            .set("fetch.min.bytes", config.fetch_min_bytes.to_string())
            .set("fetch.wait.max.ms", config.fetch_max_wait_ms.to_string())
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.error.backoff.ms", "100")
            .set("queued.max.messages.kbytes", (config.fetch_buffer_bytes >> 10).to_string())
            .set("fetch.message.max.bytes", config.fetch_buffer_bytes.to_string())
            .set("fetch.max.bytes", fetch_bytes.to_string())
            .set("receive.message.max.bytes", fetch_bytes.saturating_add(1 << 20).to_string())
            .set("session.timeout.ms", config.session_timeout_ms.to_string())
            .set(
                "heartbeat.interval.ms",
                (config.session_timeout_ms / 10).clamp(100, 3000).to_string(),
            )
            .set("max.poll.interval.ms", config.max_poll_interval_ms.to_string());
        out
    }
}

/// Runs a call of the library that waits for the brokers.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| error::answer("run a request", Code::Fail))?
}
