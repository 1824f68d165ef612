//! What both modes share: one connection, one open transaction, one checkpoint.

use crate::{
    Config,
    connection::{Connection, application_name},
    error,
    shares::Shares,
    state::State,
};
use cdc_core::{
    Checkpoint, LogId, Result, TopicPartition, catalog::SinkContext, checkpoint::Places,
};

const BEGIN: &str = "START TRANSACTION ISOLATION LEVEL READ COMMITTED";
/// Starts a transaction and marks where the batch begins in it.
const BEGIN_BATCH: &str = "START TRANSACTION ISOLATION LEVEL READ COMMITTED; SAVEPOINT batch";
const MARK_BATCH: &str = "SAVEPOINT batch";
/// The mark is moved by the next batch and not taken away by its own: whether a batch was right is
/// known only once all answers are there.
const MOVE_MARK: &str = "RELEASE SAVEPOINT batch; SAVEPOINT batch";
/// Takes the batch's rows out of the transaction and leaves the mark.
const UNDO_BATCH: &str = "ROLLBACK TO SAVEPOINT batch";

/// What a session is the only writer of.
#[derive(Debug)]
enum Owned {
    /// Nothing yet.
    Nothing,
    /// The whole sink, whose checkpoint was stored so often.
    Sink { commits: i64 },
    /// Some partitions of one that several processes share.
    Partitions(Shares),
}

/// A process that stands still must not keep its rows locked for whoever takes over.
const GIVE_WAY: &str = "SET idle_in_transaction_session_timeout = '30s'";

/// A session of a sink on its target.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) state: State,
    pub(crate) application_name: String,
    owned: Owned,
    in_transaction: bool,
    /// Is there a savepoint in the open transaction?
    marked: bool,
    /// Is a call running, or did one end half way? Nothing can follow then.
    broken: bool,
}

impl Session {
    pub(crate) async fn open(config: &Config, context: &SinkContext) -> Result<Self> {
        let application_name = application_name(&context.pipeline_id, &context.sink_id);
        let connection = Connection::open(config, &application_name).await?;
        let state = State::open(&connection, context).await?;
        Ok(Self {
            connection,
            state,
            application_name,
            owned: Owned::Nothing,
            in_transaction: false,
            marked: false,
            broken: false,
        })
    }

    /// Starts a call. Until [`leave`](Self::leave) the session counts as broken, so that a call that
    /// failed or was dropped half way is the last one.
    pub(crate) fn enter(&mut self) -> Result<()> {
        if self.broken {
            return Err(error::contract("a sink session was used after it had failed"));
        }
        if matches!(self.owned, Owned::Nothing) {
            return Err(error::contract("a sink session was used before it was claimed"));
        }
        self.broken = true;
        Ok(())
    }

    /// Ends a call that left the session in order.
    pub(crate) fn leave(&mut self) {
        self.broken = false;
    }

    pub(crate) async fn claim(&mut self, epoch: u64) -> Result<Checkpoint> {
        let claimed = self.state.claim(&self.connection, epoch).await?;
        self.owned = Owned::Sink { commits: claimed.commits };
        Ok(claimed.checkpoint)
    }

    pub(crate) async fn claim_partitions(
        &mut self,
        log: LogId,
        partitions: &[TopicPartition],
    ) -> Result<Places> {
        if self.broken || self.in_transaction {
            return Err(error::contract("partitions were claimed with changes uncommitted"));
        }
        let mut shares = match std::mem::replace(&mut self.owned, Owned::Nothing) {
            Owned::Partitions(shares) => shares,
            Owned::Nothing | Owned::Sink { .. } => {
                self.connection.simple("setting a timeout", GIVE_WAY).await?;
                Shares::default()
            }
        };
        let places = shares.claim(&self.state, &self.connection, log, partitions).await?;
        self.owned = Owned::Partitions(shares);
        Ok(places)
    }

    /// Makes sure that a transaction is open.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        if !self.in_transaction {
            self.connection.simple("starting a transaction", BEGIN).await?;
            self.in_transaction = true;
        }
        Ok(())
    }

    /// The statement that a batch starts with; the caller sends it.
    pub(crate) fn begin_batch(&mut self) -> &'static str {
        match (
            std::mem::replace(&mut self.in_transaction, true),
            std::mem::replace(&mut self.marked, true),
        ) {
            (false, _) => BEGIN_BATCH,
            (true, false) => MARK_BATCH,
            (true, true) => MOVE_MARK,
        }
    }

    /// Takes back what was sent since [`begin_batch`](Self::begin_batch).
    pub(crate) async fn undo_batch(&self) -> Result<()> {
        self.connection.simple("undoing a batch", UNDO_BATCH).await
    }

    pub(crate) async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.enter()?;
        self.begin().await?;
        match &mut self.owned {
            Owned::Nothing => return Err(error::contract("a commit came before the claim")),
            Owned::Sink { commits } => {
                self.state.save_and_commit(&self.connection, checkpoint, *commits).await?;
                *commits += 1;
            }
            Owned::Partitions(shares) => {
                shares.save_and_commit(&self.state, &self.connection, checkpoint).await?;
            }
        }
        self.in_transaction = false;
        self.marked = false;
        self.leave();
        Ok(())
    }
}
