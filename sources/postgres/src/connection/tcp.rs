//! A TCP stream that can stop listening.
//!
//! The reactor is woken by every packet of a socket that it watches, whether anybody waits for it or
//! not, and each wakeup is paid by the sender too. While more data is let gather, nobody watches.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// A TCP stream that the reactor watches, or not.
pub(crate) struct Tcp(State);

enum State {
    Listening(TcpStream),
    Deaf(std::net::TcpStream),
    /// Between the two others, or after a failure there.
    Broken,
}

impl Tcp {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self(State::Listening(stream))
    }

    /// Lets data gather unheard until the next read or write.
    pub(crate) fn stop_listening(&mut self) -> io::Result<()> {
        self.0 = match std::mem::replace(&mut self.0, State::Broken) {
            State::Listening(stream) => State::Deaf(stream.into_std()?),
            other @ (State::Deaf(_) | State::Broken) => other,
        };
        Ok(())
    }

    fn listening(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if let State::Deaf(_) = &self.0
            && let State::Deaf(stream) = std::mem::replace(&mut self.0, State::Broken)
        {
            self.0 = State::Listening(TcpStream::from_std(stream)?);
        }
        match &mut self.0 {
            State::Listening(stream) => Ok(Pin::new(stream)),
            State::Deaf(_) | State::Broken => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().listening()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().listening()?.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().listening()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().listening()?.poll_shutdown(cx)
    }
}
