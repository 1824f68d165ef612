//! A session that runs simple queries and hands over the bytes of COPY as they arrive.

use super::{
    establish,
    startup::{self, Session},
    wire::Wire,
};
use crate::{
    config::Config,
    error::{self, ServerError, from_server},
    protocol::Chunk,
    schema::SESSION_SETTINGS,
};
use bytes::{Bytes, BytesMut};
use cdc_core::Result;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::{
    backend::{COPY_DONE_TAG, ERROR_RESPONSE_TAG, Message, READY_FOR_QUERY_TAG},
    frontend,
};
use std::{io, ops::Range};

/// Tag of CopyBothResponse, which the protocol library does not know.
const COPY_BOTH_RESPONSE_TAG: u8 = b'W';

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Replication commands, and SQL besides. Occupies one of `max_wal_senders`.
    Replication,
    /// SQL.
    Sql,
}

/// A session of our own, below any client library. Dropping it closes it.
pub(crate) struct RawConnection {
    config: Box<Config>,
    wire: Wire,
    session: Session,
    copy: CopyState,
}

/// How far a COPY is.
#[derive(Default)]
enum CopyState {
    /// None runs, or the last one ended well.
    #[default]
    Idle,
    /// Data may follow.
    Running,
    /// The server reported an error; the session is not ready again yet.
    Failing(ServerError),
    /// The session is ready, and this error is to be returned.
    Failed(ServerError),
}

impl RawConnection {
    /// Connects, authenticates and sets the session's settings.
    pub(crate) async fn open(config: &Config, mode: Mode) -> Result<Self> {
        let application = config.application_name();
        let mut parameters = vec![
            ("user", config.username.as_str()),
            ("database", config.database.as_str()),
            ("application_name", application.as_str()),
        ];
        parameters.extend_from_slice(SESSION_SETTINGS);
        if mode == Mode::Replication {
            parameters.push(("replication", "database"));
        }
        let parameters: Vec<(String, String)> = parameters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        establish(config, |socket| {
            let parameters = parameters.clone();
            Box::pin(async move {
                let mut wire = Wire::new(socket);
                let session = startup::start(config, &mut wire, &parameters).await?;
                let config = Box::new(config.clone());
                Ok(Self { config, wire, session, copy: CopyState::Idle })
            })
        })
        .await
    }

    /// Number of the server process behind the session.
    #[must_use]
    pub(crate) fn backend(&self) -> i32 {
        self.session.backend
    }

    /// A setting that the server reported when the session started: `server_version`.
    #[must_use]
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.session.parameters.get(name).map(String::as_str)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Does waiting before a read let more data gather?
    pub(crate) fn gathers(&self) -> bool {
        self.wire.socket().gathers()
    }

    /// Runs statements and returns the rows of the last one, as text. `doing` names the purpose in an
    /// error: `read the catalog`.
    pub(crate) async fn query(
        &mut self,
        doing: &str,
        sql: &str,
    ) -> Result<Vec<Vec<Option<Bytes>>>> {
        self.send_query(sql).await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            let message = match self.wire.message().await {
                Ok(message) => message,
                Err(cause) => return Err(self.ended(doing, failure, cause)),
            };
            match message {
                Message::RowDescription(_) => rows.clear(),
                Message::DataRow(body) => {
                    let ranges: Vec<Option<Range<usize>>> =
                        body.ranges().collect().map_err(|cause| self.lost(cause))?;
                    let value = |range: Option<Range<usize>>| {
                        range.map(|range| {
                            Bytes::copy_from_slice(body.buffer().get(range).unwrap_or_default())
                        })
                    };
                    rows.push(ranges.into_iter().map(value).collect());
                }
                Message::ErrorResponse(body) => {
                    let parsed = ServerError::parse(body.fields());
                    failure = Some(parsed.map_err(|cause| self.lost(cause))?);
                }
                Message::ReadyForQuery(_) => {
                    return match failure {
                        None => Ok(rows),
                        Some(reported) => Err(from_server(&self.config, doing, reported)),
                    };
                }
                _ => {}
            }
        }
    }

    /// Starts `COPY … TO STDOUT`; [`next_chunk`](Self::next_chunk) reads it.
    pub(crate) async fn copy_out(&mut self, sql: &str) -> Result<()> {
        self.send_query(sql).await?;
        let doing = "copy a table";
        let mut failure = None;
        loop {
            let message = match self.wire.message().await {
                Ok(message) => message,
                Err(cause) => return Err(self.ended(doing, failure, cause)),
            };
            match message {
                Message::CopyOutResponse(_) => {
                    self.copy = CopyState::Running;
                    return Ok(());
                }
                Message::ErrorResponse(body) => {
                    let parsed = ServerError::parse(body.fields());
                    failure = Some(parsed.map_err(|cause| self.lost(cause))?);
                }
                Message::ReadyForQuery(_) => {
                    return Err(match failure {
                        Some(reported) => from_server(&self.config, doing, reported),
                        None => self.lost(unexpected("the statement is not COPY TO STDOUT")),
                    });
                }
                _ => {}
            }
        }
    }

    /// The next messages of a COPY; `None` once it is complete and the session takes statements
    /// again. Cancel-safe.
    pub(crate) async fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        loop {
            match std::mem::take(&mut self.copy) {
                CopyState::Idle => return Ok(None),
                CopyState::Failed(reported) => {
                    return Err(from_server(&self.config, "copy a table", reported));
                }
                open @ (CopyState::Running | CopyState::Failing(_)) => self.copy = open,
            }
            let chunk = self.wire.take_chunk().map_err(error::protocol)?;
            if let Some(chunk) = chunk {
                if self.note_copy(&chunk)? {
                    return Ok(Some(chunk));
                }
                continue;
            }
            if let Err(cause) = self.wire.fill().await {
                let failure = match std::mem::take(&mut self.copy) {
                    CopyState::Failing(reported) => Some(reported),
                    CopyState::Idle | CopyState::Running | CopyState::Failed(_) => None,
                };
                return Err(self.ended("copy a table", failure, cause));
            }
        }
    }

    /// Follows the state of a COPY through a chunk, and says whether the chunk holds data.
    fn note_copy(&mut self, chunk: &Chunk) -> Result<bool> {
        let mut data = false;
        for (tag, payload) in chunk.messages() {
            match tag {
                b'd' => data = true,
                ERROR_RESPONSE_TAG => {
                    let end = payload.end;
                    let start = payload.start.saturating_sub(5);
                    let mut message = BytesMut::from(chunk.bytes.slice(start..end));
                    let parsed = Message::parse(&mut message).map_err(|cause| self.lost(cause))?;
                    if let Some(Message::ErrorResponse(body)) = parsed {
                        let reported =
                            ServerError::parse(body.fields()).map_err(|cause| self.lost(cause))?;
                        self.copy = CopyState::Failing(reported);
                    }
                }
                READY_FOR_QUERY_TAG => {
                    self.copy = match std::mem::take(&mut self.copy) {
                        CopyState::Failing(reported) => CopyState::Failed(reported),
                        CopyState::Idle | CopyState::Running | CopyState::Failed(_) => {
                            CopyState::Idle
                        }
                    };
                }
                _ => {}
            }
        }
        Ok(data)
    }

    /// Sends `START_REPLICATION` and waits until the server streams.
    pub(crate) async fn copy_both(&mut self, command: &str) -> Result<()> {
        self.send_query(command).await?;
        let doing = "start streaming";
        loop {
            let tag = self.wire.peek_tag().await.map_err(|cause| self.lost(cause))?;
            if tag == COPY_BOTH_RESPONSE_TAG {
                return self.skip_copy_both_response().await;
            }
            let message = self.wire.message().await.map_err(|cause| self.lost(cause))?;
            match message {
                Message::ErrorResponse(body) => {
                    let reported =
                        ServerError::parse(body.fields()).map_err(|cause| self.lost(cause))?;
                    return Err(from_server(&self.config, doing, reported));
                }
                Message::ReadyForQuery(_) => {
                    return Err(self.lost(unexpected("the server does not stream")));
                }
                _ => {}
            }
        }
    }

    async fn skip_copy_both_response(&mut self) -> Result<()> {
        loop {
            if self.wire.skip_message().map_err(error::protocol)? {
                return Ok(());
            }
            self.wire.fill().await.map_err(|cause| self.lost(cause))?;
        }
    }

    async fn send_query(&mut self, sql: &str) -> Result<()> {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message).map_err(|cause| self.lost(cause))?;
        self.wire.send(&message).await.map_err(|cause| self.lost(cause))
    }

    pub(crate) fn lost(&self, cause: io::Error) -> cdc_core::Error {
        error::connection_lost(&self.config, cause)
    }

    /// The server's last words explain a lost connection better than the loss itself.
    fn ended(
        &self,
        doing: &str,
        failure: Option<ServerError>,
        cause: io::Error,
    ) -> cdc_core::Error {
        match failure {
            Some(reported) => from_server(&self.config, doing, reported),
            None => self.lost(cause),
        }
    }
}

fn unexpected(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// What a chunk of a stream holds besides data: the end, or an error.
pub(crate) fn stream_end(tag: u8) -> bool {
    matches!(tag, COPY_DONE_TAG | READY_FOR_QUERY_TAG)
}
