//! Sessions for queries, by `tokio-postgres` over our own socket.

use super::{establish, socket::Socket};
use crate::{
    config::Config,
    error::{self, from_sql},
    schema::SESSION_SETTINGS,
};
use cdc_core::Result;
use std::{
    future::{Ready, ready},
    io,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::JoinSet,
};
use tokio_postgres::{
    Client,
    config::{SslMode, SslNegotiation},
    tls::{ChannelBinding, TlsConnect, TlsStream},
};

/// Catalog queries and small commands answer within this time or not at all.
const SQL_SECONDS_MAX: Duration = Duration::from_secs(60);

/// A session for queries. Dropping it closes it.
pub(crate) struct Sql {
    client: Client,
    /// Holds the one task that moves the session's bytes; aborted on drop.
    _connection: JoinSet<()>,
}

impl Deref for Sql {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Opens a session for queries with the session settings that decoding relies on.
pub(crate) async fn connect_sql(config: &Config) -> Result<Sql> {
    let mut options = tokio_postgres::Config::new();
    options
        .user(&config.username)
        .password(config.password.expose())
        .dbname(&config.database)
        .application_name(config.application_name());
    let options = &options;
    establish(config, |socket| Box::pin(start(config, options.clone(), socket))).await
}

async fn start(
    config: &Config,
    mut options: tokio_postgres::Config,
    socket: Socket,
) -> Result<Sql> {
    if socket.is_encrypted() {
        // The socket is encrypted already: "direct" makes the library take it as it is.
        options.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    } else {
        options.ssl_mode(SslMode::Disable);
    }
    let failed = |cause| refused(config, cause);
    let (client, connection) = options.connect_raw(socket, Established).await.map_err(failed)?;
    let mut task = JoinSet::new();
    task.spawn(async move {
        if let Err(cause) = connection.await {
            // Whoever uses the session gets an error of its own.
            tracing::debug!(error = %cause, "sql session ended");
        }
    });
    let settings: Vec<String> =
        SESSION_SETTINGS.iter().map(|(name, value)| format!("SET {name} TO '{value}'")).collect();
    client.batch_execute(&settings.join(";")).await.map_err(failed)?;
    Ok(Sql { client, _connection: task })
}

/// One session for queries that several users share, opened anew when it was lost.
pub(crate) struct SharedSql {
    config: Config,
    session: tokio::sync::Mutex<Option<Arc<Sql>>>,
}

impl SharedSql {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, session: tokio::sync::Mutex::new(None) }
    }

    /// The session, opened where there is none.
    pub(crate) async fn get(&self) -> Result<Arc<Sql>> {
        let mut session = self.session.lock().await;
        if let Some(open) = session.as_ref().filter(|open| !open.is_closed()) {
            return Ok(Arc::clone(open));
        }
        let opened = Arc::new(connect_sql(&self.config).await?);
        *session = Some(Arc::clone(&opened));
        Ok(opened)
    }
}

fn refused(config: &Config, cause: tokio_postgres::Error) -> cdc_core::Error {
    from_sql(config, "start a session", cause)
}

/// Bounds a query, and names what it was for when it fails.
pub(crate) async fn bounded<T>(
    config: &Config,
    doing: &str,
    query: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
) -> Result<T> {
    match tokio::time::timeout(SQL_SECONDS_MAX, query).await {
        Ok(outcome) => outcome.map_err(|cause| from_sql(config, doing, cause)),
        Err(_) => Err(error::statement_timeout(config, doing, SQL_SECONDS_MAX)),
    }
}

/// Hands an encrypted socket to the library, which would encrypt it itself otherwise.
struct Established;

impl TlsConnect<Socket> for Established {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Ready<io::Result<Encrypted>>;

    fn connect(self, socket: Socket) -> Self::Future {
        ready(Ok(Encrypted(socket)))
    }
}

struct Encrypted(Socket);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        match self.0.end_point_binding() {
            Some(hash) => ChannelBinding::tls_server_end_point(hash),
            None => ChannelBinding::none(),
        }
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
