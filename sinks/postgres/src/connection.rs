//! One session on the target server.

use crate::{Config, error};
use cdc_core::{Error, Origin, Result};
use std::{error::Error as StdError, future::Future, io, time::Duration};
use tokio::time::timeout;
use tokio_postgres::{
    Client, NoTls, Row,
    config::SslMode,
    tls::MakeTlsConnect,
    types::{ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::AbortOnDropHandle;

/// How much longer than the server's own limit an answer may take before the connection counts as dead.
const ANSWER_GRACE: Duration = Duration::from_secs(30);
/// How long unacknowledged bytes may be in flight before the operating system gives the connection up.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(60);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Longest name that PostgreSQL keeps.
const APPLICATION_NAME_BYTES_MAX: usize = 63;
/// How long a farewell may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A parameter and its type.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection and the task that drives it.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
    driver: AbortOnDropHandle<()>,
    answer_timeout: Duration,
}

impl Connection {
    /// Connects and sets the session up.
    pub(crate) async fn open(config: &Config, application_name: &str) -> Result<Self> {
        let (client, driver) = connect(config, application_name).await?;
        let answer_timeout = config.statement_timeout() + ANSWER_GRACE;
        let connection = Self { client, driver, answer_timeout };
        connection.simple("setting the session up", &session_settings(config)).await?;
        Ok(connection)
    }

    /// The client, for statements that the caller bounds with [`bounded`](Self::bounded).
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Waits for an answer, but not for ever.
    pub(crate) async fn bounded<T>(
        &self,
        doing: &str,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        match timeout(self.answer_timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(error::from_postgres(doing, error)),
            Err(_) => Err(error::timed_out(doing)),
        }
    }

    /// Runs statements without parameters and without results.
    pub(crate) async fn simple(&self, doing: &str, sql: &str) -> Result<()> {
        self.bounded(doing, self.client.batch_execute(sql)).await
    }

    /// Runs one query; the server plans it anew each time.
    async fn rows(&self, doing: &str, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>> {
        self.bounded(doing, Box::pin(self.client.query_typed(sql, parameters))).await
    }

    /// Runs a query that answers with one row, and reads it.
    pub(crate) async fn one<T>(
        &self,
        doing: &str,
        sql: &str,
        parameters: &[Parameter<'_>],
        read: impl FnOnce(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T> {
        let row = Box::pin(self.client.query_typed_one(sql, parameters));
        let row = self.bounded(doing, row).await?;
        read(&row).map_err(|failure| error::from_postgres(doing, failure))
    }

    /// Runs a query and reads each of its rows.
    pub(crate) async fn all<T, C: FromIterator<T>>(
        &self,
        doing: &str,
        sql: &str,
        parameters: &[Parameter<'_>],
        read: impl Fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<C> {
        let rows = self.rows(doing, sql, parameters).await?;
        let read = rows.iter().map(read).collect::<Result<C, _>>();
        read.map_err(|failure| error::from_postgres(doing, failure))
    }

    /// The longest wait for one answer.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// Says goodbye to the server.
    pub(crate) async fn close(self) {
        drop(self.client);
        if timeout(CLOSE_TIMEOUT, self.driver).await.is_err() {
            tracing::debug!("the target did not take the farewell in time");
        }
    }
}

/// `cdc pipeline/sink`, cut to what PostgreSQL keeps.
pub(crate) fn application_name(pipeline_id: &str, sink_id: &str) -> String {
    let mut name = format!("cdc {pipeline_id}/{sink_id}");
    let mut end = name.len().min(APPLICATION_NAME_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.truncate(end);
    name
}

type Driven = (Client, AbortOnDropHandle<()>);

async fn connect(config: &Config, application_name: &str) -> Result<Driven> {
    let mut options = tokio_postgres::Config::new();
    options
        .host(&config.host)
        .port(config.port)
        .dbname(&config.database)
        .user(&config.username)
        .password(config.password.expose())
        .application_name(application_name)
        .connect_timeout(config.connect_timeout())
        .keepalives(true)
        .keepalives_idle(KEEPALIVE_IDLE)
        .tcp_user_timeout(UNACKNOWLEDGED_MAX);
    let Some(client_config) = config.tls.client_config()? else {
        options.ssl_mode(SslMode::Disable);
        return dial(config, &options, NoTls).await;
    };
    let optional = config.tls.allows_plain();
    options.ssl_mode(if optional { SslMode::Prefer } else { SslMode::Require });
    let tls = MakeRustlsConnect::new((*client_config).clone());
    match dial(config, &options, tls).await {
        Err(error) if optional && error.code.starts_with("CDC-11") => {
            options.ssl_mode(SslMode::Disable);
            dial(config, &options, NoTls).await
        }
        outcome => outcome,
    }
}

async fn dial<T>(config: &Config, options: &tokio_postgres::Config, tls: T) -> Result<Driven>
where
    T: MakeTlsConnect<tokio_postgres::Socket> + Send,
    T::Stream: Send + 'static,
    T::TlsConnect: Send,
    <T::TlsConnect as tokio_postgres::tls::TlsConnect<tokio_postgres::Socket>>::Future: Send,
{
    // `connect_timeout` of the options covers the TCP handshake only.
    let connecting = timeout(config.connect_timeout(), Box::pin(options.connect(tls))).await;
    let connected = connecting.map_err(|_| error::connect_timed_out(&config.address()))?;
    let (client, connection) = connected.map_err(|error| explain(config, error))?;
    #[expect(clippy::disallowed_methods, reason = "the handle aborts the task when it is dropped")]
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %error, "connection to the target ended");
        }
    });
    Ok((client, AbortOnDropHandle::new(driver)))
}

fn explain(config: &Config, error: tokio_postgres::Error) -> Error {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && let Some(explained) = cdc_tls::explain(io, &config.host, Origin::Sink)
        {
            return explained;
        }
        cause = inner.source();
    }
    error::unreachable(&config.address(), error)
}

/// Settings that the statements of this sink rely on. Joins are told to go by index: an empty or
/// freshly filled table has no statistics that would tell the planner so, and plans are kept.
fn session_settings(config: &Config) -> String {
    let statement = config.statement_timeout().as_millis();
    let lock = u64::from(config.lock_timeout_seconds) * 1_000;
    format!(
        "SET client_min_messages = warning; SET statement_timeout = {statement}; \
         SET lock_timeout = {lock}; SET datestyle = 'ISO, YMD'; SET intervalstyle = postgres; \
         SET timezone = 'UTC'; SET extra_float_digits = 1; SET bytea_output = hex; \
         SET standard_conforming_strings = on; SET xmloption = content; \
         SET default_transaction_isolation = 'read committed'; \
         SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
         SET jit = off; SET plan_cache_mode = force_generic_plan; \
         SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; \
         SET tcp_keepalives_count = 3"
    )
}
