//! The commands of a replication session.

use crate::{
    config::Config,
    connection::{Mode, RawConnection, stream_end},
    error::{self, ServerError, from_server},
    position::Lsn,
    protocol::{Chunk, status_update},
    quote,
};
use bytes::{Bytes, BytesMut};
use cdc_core::Result;
use postgres_protocol::message::{
    backend::{ERROR_RESPONSE_TAG, Message},
    frontend,
};
use rand::Rng;
use std::time::Duration;

/// A slot is ready once every transaction that was open has ended; longer is not waited.
pub(crate) const SLOT_CREATION_SECONDS_MAX: Duration = Duration::from_secs(600);
/// Other commands answer at once or not at all.
const COMMAND_SECONDS_MAX: Duration = Duration::from_secs(60);

/// The first and last major version that was tested.
pub(crate) const MAJOR_MIN: u32 = 14;
/// From this version on a slot can be kept on standbys.
const MAJOR_WITH_FAILOVER: u32 = 17;
/// From this version on slots are created with options in parentheses.
const MAJOR_WITH_OPTION_LIST: u32 = 15;

/// A session that takes replication commands.
pub(crate) struct ReplicationClient {
    connection: RawConnection,
    major: u32,
}

/// Who the server is and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct System {
    /// Its identity since `initdb`, shared with its standbys.
    pub(crate) identifier: String,
    /// Its timeline; grows when a standby takes over.
    pub(crate) timeline: u32,
    /// End of its log.
    pub(crate) position: Lsn,
}

/// Where a server that is now on another timeline left `timeline`, by the text of its history file:
/// lines of a number, an address and a reason, parted by tabs.
fn left_at(history: &str, timeline: u32) -> Option<Lsn> {
    let mut lines = history.lines().map(|line| line.split_whitespace());
    lines.find_map(|mut words| {
        let number: u32 = words.next()?.parse().ok()?;
        let at = words.next()?.parse().ok()?;
        (number == timeline).then_some(at)
    })
}

/// A snapshot that lives as long as the session that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExportedSnapshot {
    /// The snapshot holds every transaction that was committed before this address, and no other.
    pub(crate) consistent_point: Lsn,
    /// The name for `SET TRANSACTION SNAPSHOT`.
    pub(crate) snapshot_name: String,
}

impl ReplicationClient {
    /// Opens a session and checks that the server's version is supported.
    pub(crate) async fn open(config: &Config) -> Result<Self> {
        let connection = RawConnection::open(config, Mode::Replication).await?;
        let version = connection.parameter("server_version").unwrap_or("unknown").to_owned();
        match major_version(&version) {
            Some(major) if major >= MAJOR_MIN => Ok(Self { connection, major }),
            _ => Err(error::unsupported_version(&version)),
        }
    }

    /// Number of the server process behind the session.
    #[must_use]
    pub(crate) fn backend(&self) -> i32 {
        self.connection.backend()
    }

    /// The server's version as it prints it.
    #[must_use]
    pub(crate) fn server_version(&self) -> &str {
        self.connection.parameter("server_version").unwrap_or("unknown")
    }

    /// Asks the server who it is.
    pub(crate) async fn identify(&mut self) -> Result<System> {
        let rows = self.command("identify itself", "IDENTIFY_SYSTEM").await?;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let system = (|| {
            Some(System {
                identifier: text(row, 0)?.to_owned(),
                timeline: text(row, 1)?.parse().ok()?,
                position: text(row, 2)?.parse().ok()?,
            })
        })();
        system.ok_or_else(|| self.unexpected("the answer to IDENTIFY_SYSTEM"))
    }

    /// Where the server, now on timeline `now`, left the timeline `before`; 0 when it was never on it.
    pub(crate) async fn left_timeline(&mut self, now: u32, before: u32) -> Result<Lsn> {
        let command = format!("TIMELINE_HISTORY {now}");
        let rows = self.command("show the history of its timelines", &command).await?;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let Some(history) = text(row, 1) else {
            return Err(self.unexpected("the answer to TIMELINE_HISTORY"));
        };
        Ok(left_at(history, before).unwrap_or_default())
    }

    /// Creates the slot that keeps the log for a pipeline, and returns where it starts.
    pub(crate) async fn create_slot(&mut self, slot: &str) -> Result<Lsn> {
        let options = match self.major {
            MAJOR_WITH_FAILOVER.. => "(SNAPSHOT 'nothing', FAILOVER)",
            MAJOR_WITH_OPTION_LIST.. => "(SNAPSHOT 'nothing')",
            _ => "NOEXPORT_SNAPSHOT",
        };
        let command = format!(
            "CREATE_REPLICATION_SLOT {} LOGICAL pgoutput {options}",
            quote::identifier(slot)
        );
        Ok(self.slot_command(slot, &command).await?.consistent_point)
    }

    /// Creates a slot that lives as long as this session, and exports the snapshot at its start.
    pub(crate) async fn create_temporary_slot(&mut self) -> Result<ExportedSnapshot> {
        let slot = format!("cdc_snapshot_{:016x}", rand::rng().random::<u64>());
        let options = match self.major {
            MAJOR_WITH_OPTION_LIST.. => "(SNAPSHOT 'export')",
            _ => "EXPORT_SNAPSHOT",
        };
        let command = format!(
            "CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput {options}",
            quote::identifier(&slot)
        );
        self.slot_command(&slot, &command).await
    }

    async fn slot_command(&mut self, slot: &str, command: &str) -> Result<ExportedSnapshot> {
        let create = self.connection.query("create a replication slot", command);
        let rows = match tokio::time::timeout(SLOT_CREATION_SECONDS_MAX, create).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(error::slot_creation_timeout(slot, SLOT_CREATION_SECONDS_MAX)),
        };
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let consistent_point = text(row, 1).and_then(|address| address.parse().ok());
        match consistent_point {
            Some(consistent_point) => Ok(ExportedSnapshot {
                consistent_point,
                snapshot_name: text(row, 2).unwrap_or_default().to_owned(),
            }),
            None => Err(self.unexpected("the answer to CREATE_REPLICATION_SLOT")),
        }
    }

    /// Starts streaming from a slot: everything that commits at `from` or later.
    pub(crate) async fn start(
        mut self,
        slot: &str,
        publication: &str,
        from: Lsn,
        binary: bool,
    ) -> Result<ReplicationStream> {
        let command = format!(
            "START_REPLICATION SLOT {} LOGICAL {from} (proto_version '1', publication_names {}, binary '{binary}', messages 'true')",
            quote::identifier(slot),
            quote::literal(&quote::identifier(publication)),
        );
        let start = self.connection.copy_both(&command);
        match tokio::time::timeout(COMMAND_SECONDS_MAX, start).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                let config = self.connection.config();
                return Err(error::statement_timeout(
                    config,
                    "start streaming",
                    COMMAND_SECONDS_MAX,
                ));
            }
        }
        Ok(ReplicationStream { connection: self.connection })
    }

    async fn command(&mut self, doing: &str, command: &str) -> Result<Vec<Vec<Option<Bytes>>>> {
        let outcome =
            tokio::time::timeout(COMMAND_SECONDS_MAX, self.connection.query(doing, command)).await;
        match outcome {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(error::statement_timeout(self.connection.config(), doing, COMMAND_SECONDS_MAX))
            }
        }
    }

    fn unexpected(&self, what: &str) -> cdc_core::Error {
        self.connection.lost(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("{what} cannot be understood"),
        ))
    }
}

fn text(row: &[Option<Bytes>], index: usize) -> Option<&str> {
    std::str::from_utf8(row.get(index)?.as_ref()?).ok()
}

/// The first number of `15.18 (Debian 15.18-1)`, `18beta1`.
pub(crate) fn major_version(version: &str) -> Option<u32> {
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version.get(..digits)?.parse().ok()
}

/// A session that streams.
pub(crate) struct ReplicationStream {
    connection: RawConnection,
}

impl ReplicationStream {
    /// Waits for more bytes and says how many came. Cancel-safe.
    pub(crate) async fn fill(&mut self) -> Result<usize> {
        match self.connection.wire().fill().await {
            Ok(count) => Ok(count),
            Err(cause) => Err(self.connection.lost(cause)),
        }
    }

    /// All whole messages received so far.
    pub(crate) fn take_chunk(&mut self) -> Result<Option<Chunk>> {
        self.connection.wire().take_chunk().map_err(error::protocol)
    }

    /// Does waiting before a read let more data gather?
    pub(crate) fn gathers(&self) -> bool {
        self.connection.gathers()
    }

    /// Lets data gather for a while.
    pub(crate) async fn gather(&mut self, time: Duration) -> Result<()> {
        if let Err(cause) = self.connection.wire().stop_listening() {
            return Err(self.connection.lost(cause));
        }
        tokio::time::sleep(time).await;
        Ok(())
    }

    /// Tells the server how far we are; `ping` asks for a keepalive in return.
    pub(crate) async fn report(
        &mut self,
        received: Lsn,
        durable: Lsn,
        clock: i64,
        ping: bool,
    ) -> Result<()> {
        let update = status_update(received, durable, clock, ping);
        match self.connection.wire().send(&update).await {
            Ok(()) => Ok(()),
            Err(cause) => Err(self.connection.lost(cause)),
        }
    }

    /// Ends the session, so that its slot is free at once.
    pub(crate) async fn close(&mut self) {
        let mut message = BytesMut::new();
        frontend::terminate(&mut message);
        // The server ends the session anyway once the connection is gone.
        if let Err(cause) = self.connection.wire().send(&message).await {
            tracing::debug!(error = %cause, "replication session was gone already");
        }
    }

    /// What a message that is no data means for the stream: nothing, or its end.
    pub(crate) fn control(
        &self,
        chunk: &Chunk,
        tag: u8,
        payload: std::ops::Range<usize>,
    ) -> Result<()> {
        let config = self.connection.config();
        if tag == ERROR_RESPONSE_TAG {
            let start = payload.start.saturating_sub(5);
            let mut message = BytesMut::from(chunk.bytes.slice(start..payload.end));
            let lost = |cause| self.connection.lost(cause);
            if let Some(Message::ErrorResponse(body)) =
                Message::parse(&mut message).map_err(lost)?
            {
                let reported = ServerError::parse(body.fields()).map_err(lost)?;
                return Err(from_server(config, "go on streaming", reported));
            }
        }
        if stream_end(tag) { Err(error::stream_ended(config)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_says_where_each_timeline_was_left() {
        let history = "1\t0/5000148\tno recovery target specified\n\n2\t1/A0\tbefore 2000-01-01\n";
        assert_eq!(left_at(history, 1), Some(Lsn(0x500_0148)));
        assert_eq!(left_at(history, 2), Some(Lsn(0x1_0000_00A0)));
        assert_eq!(left_at(history, 3), None);
        assert_eq!(left_at("# 1 0/0\n1\n1\tx\n", 1), None);
    }

    #[test]
    fn versions_are_read_as_vendors_write_them() {
        let versions = ["15.18 (Debian 15.18-1)", "18beta1", "9.6.24", "", "x"];
        let majors: Vec<Option<u32>> = versions.into_iter().map(major_version).collect();
        assert_eq!(majors, [Some(15), Some(18), Some(9), None, None]);
    }
}
