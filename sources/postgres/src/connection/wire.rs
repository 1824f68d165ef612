//! Whole backend messages out of a socket, and bytes into it, with limits on memory and time.

use super::socket::Socket;
use crate::protocol::{Chunk, Malformed, Messages, whole_messages};
use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::Message;
use std::{io, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Room made for one read.
const READ_BYTES: usize = 256 * 1024;
/// With less room than this left, new room is made.
const READ_BYTES_MIN: usize = 32 * 1024;
/// A server that takes nothing for so long is gone.
const WRITE_SECONDS_MAX: Duration = Duration::from_secs(30);

/// A socket with what was received and not taken yet.
pub(crate) struct Wire {
    socket: Socket,
    inbox: BytesMut,
    pending: usize,
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, inbox: BytesMut::new(), pending: 0 }
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Writes all of `bytes`. After a cancellation the connection is of no more use.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let write = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        tokio::time::timeout(WRITE_SECONDS_MAX, write)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Lets data gather unheard until the next read or write.
    pub(crate) fn stop_listening(&mut self) -> io::Result<()> {
        self.socket.stop_listening()
    }

    /// Waits for more bytes and says how many came. Cancel-safe: a cancelled call has lost nothing.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        let missing = self.pending.saturating_sub(self.inbox.len());
        if self.inbox.capacity() - self.inbox.len() < missing.max(READ_BYTES_MIN) {
            self.inbox.reserve(missing.max(READ_BYTES));
        }
        match self.socket.read_buf(&mut self.inbox).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    /// All whole messages received so far; `None` when there is none.
    pub(crate) fn take_chunk(&mut self) -> Result<Option<Chunk>, Malformed> {
        let (whole, pending) = whole_messages(&self.inbox)?;
        self.pending = pending;
        if whole == 0 {
            return Ok(None);
        }
        Ok(Some(Chunk { bytes: self.inbox.split_to(whole).freeze() }))
    }

    /// Tag of the next message, waiting for it.
    pub(crate) async fn peek_tag(&mut self) -> io::Result<u8> {
        loop {
            if let Some(tag) = self.inbox.first() {
                return Ok(*tag);
            }
            self.fill().await?;
        }
    }

    /// Takes one message away when all of it is there, and says whether it was.
    pub(crate) fn skip_message(&mut self) -> Result<bool, Malformed> {
        let end = Messages::first(&self.inbox)?;
        if let Some(end) = end {
            self.inbox.advance(end);
        }
        Ok(end.is_some())
    }

    /// The next message, waiting for it. Cancel-safe.
    pub(crate) async fn message(&mut self) -> io::Result<Message> {
        loop {
            // The library's parser takes any length and makes room for it; ours is bounded.
            let (whole, pending) = whole_messages(&self.inbox).map_err(invalid)?;
            self.pending = pending;
            if whole > 0
                && let Some(message) = Message::parse(&mut self.inbox)?
            {
                return Ok(message);
            }
            self.fill().await?;
        }
    }
}

fn invalid(problem: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
