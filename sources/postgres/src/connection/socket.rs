//! A byte stream to the server: TCP or a unix socket, encrypted or not.

use super::tcp::Tcp;
use crate::{config::Config, error};
use bytes::BytesMut;
use cdc_core::Result;
use postgres_protocol::message::frontend;
use rustix::net::sockopt;
use rustls_pki_types::ServerName;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A peer that vanished is noticed after the first silence and this many unanswered probes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Whether to encrypt a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// As the `tls` block says.
    AsConfigured,
    /// Not, whatever the block says.
    Off,
}

/// A connected byte stream.
pub(crate) enum Socket {
    Tcp(Tcp),
    Unix(UnixStream),
    Tls(Box<TlsStream<Tcp>>),
}

/// Connects, and agrees on encryption with the server.
pub(crate) async fn connect(config: &Config, encryption: Encryption) -> Result<Socket> {
    if config.is_local() {
        let path = config.server();
        let stream = UnixStream::connect(path).await;
        return stream.map(Socket::Unix).map_err(|cause| error::unreachable(config, cause));
    }
    let address = (config.host.as_str(), config.port);
    let stream =
        TcpStream::connect(address).await.map_err(|cause| error::unreachable(config, cause))?;
    tune(&stream).map_err(|cause| error::unreachable(config, cause))?;
    let client = match encryption {
        Encryption::AsConfigured => config.tls.client_config()?,
        Encryption::Off => None,
    };
    match client {
        None => Ok(Socket::Tcp(Tcp::new(stream))),
        Some(client) => encrypt(config, stream, TlsConnector::from(client)).await,
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    Ok(())
}

async fn encrypt(
    config: &Config,
    mut stream: TcpStream,
    connector: TlsConnector,
) -> Result<Socket> {
    let lost = |cause| error::connection_lost(config, cause);
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await.map_err(lost)?;
    match stream.read_u8().await.map_err(lost)? {
        b'S' => {}
        b'N' if config.tls.mode == cdc_tls::Mode::Prefer => {
            return Ok(Socket::Tcp(Tcp::new(stream)));
        }
        b'N' => return Err(error::tls_not_offered(config)),
        _ => {
            return Err(lost(io::Error::new(
                io::ErrorKind::InvalidData,
                "no answer to the request for encryption: is this PostgreSQL?",
            )));
        }
    }
    let name = ServerName::try_from(config.host.clone()).map_err(|_| {
        error::invalid_config(
            format!("source.host `{}` is not a host name", config.host),
            "set source.host to a name or an address, without a port".to_owned(),
        )
    })?;
    let encrypted = connector.connect(name, Tcp::new(stream)).await;
    let encrypted = encrypted.map_err(|cause| error::tls_failed(config, cause))?;
    Ok(Socket::Tls(Box::new(encrypted)))
}

impl Socket {
    /// Is the stream encrypted?
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The hash of the server's certificate that binds authentication to this very channel.
    pub(crate) fn end_point_binding(&self) -> Option<Vec<u8>> {
        match self {
            Self::Tls(stream) => {
                let certificate = stream.get_ref().1.peer_certificates()?.first()?;
                cdc_tls::end_point_binding(certificate)
            }
            Self::Tcp(_) | Self::Unix(_) => None,
        }
    }

    /// Does waiting let more data gather? A unix socket's buffer is too small to gain from it.
    pub(crate) fn gathers(&self) -> bool {
        !matches!(self, Self::Unix(_))
    }

    /// Hears nothing of arriving data until the next read.
    pub(crate) fn stop_listening(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.stop_listening(),
            Self::Tls(stream) => stream.get_mut().0.stop_listening(),
            Self::Unix(_) => Ok(()),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
