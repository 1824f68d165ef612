//! Transactions that may have committed without anybody seeing it yet.
//!
//! The server writes a commit into its log before it lets others see what the transaction did; with a
//! synchronous standby that may take long. A stream that begins behind such a commit does not bring the
//! transaction, and a snapshot does not show it. So before the first chunk of a table is read, the
//! transactions that had changed it when the copy began have to be over, or to be known as open: then
//! their commit is yet to come, in the stream. Locks tell which they are, since a transaction keeps them
//! until everybody sees it.

use super::{reader, shared::Shared};
use crate::{
    config::Config,
    connection::{Mode, RawConnection},
};
use cdc_core::Result;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Transactions are looked at this often; each time takes a few milliseconds.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// … and less often when they are known to last.
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(2);
/// Between its commit record and the moment when all see it, a transaction waits for nothing but a
/// synchronous standby. Where there is none, one that lasts longer than this is open.
const COMMIT_MAX: Duration = Duration::from_secs(30);

/// Asks for the transactions that hold a lock by which rows are changed: the table (of a partition, its
/// root), the transaction, its session, whether it is known not to be committing, and whether a commit
/// may wait for a standby.
///
/// A transaction that is idle or waits for a lock is not committing. A role may not be allowed to see
/// the state of others' sessions; then only their locks tell.
const CHANGING: &str = "SELECT coalesce(pg_partition_root(held.relation), held.relation)::oid::text, \
    number.transactionid::text, coalesce(number.pid, 0)::text, \
    (coalesce(session.state LIKE 'idle in transaction%' AND session.backend_xid = number.transactionid, false) \
      OR EXISTS (SELECT FROM pg_locks AS wanted WHERE wanted.pid = number.pid AND NOT wanted.granted))::int::text, \
    (current_setting('synchronous_standby_names') <> '')::int::text \
    FROM pg_locks AS held JOIN pg_locks AS number ON number.virtualtransaction = held.virtualtransaction \
      AND number.locktype = 'transactionid' AND number.mode = 'ExclusiveLock' AND number.granted \
    LEFT JOIN pg_stat_activity AS session ON session.pid = number.pid \
    WHERE held.locktype = 'relation' AND held.granted \
      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
      AND held.mode NOT IN ('AccessShareLock', 'RowShareLock')";

/// A transaction that holds a table's rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    table: u32,
    transaction: u32,
    session: u32,
    /// It is not committing at the moment.
    is_open: bool,
    /// Its commit may wait for a standby, however long.
    may_wait: bool,
}

/// Those of the first look that may still be committing.
#[derive(Debug, Default)]
struct Suspects(Option<BTreeSet<(u32, u32)>>);

impl Suspects {
    /// Takes in what was seen `elapsed` after the first look, and says what still holds which tables.
    fn look(&mut self, seen: &[Holder], elapsed: Duration) -> BTreeMap<u32, String> {
        let id = |holder: &Holder| (holder.table, holder.transaction);
        let cleared =
            |holder: &&Holder| holder.is_open || (!holder.may_wait && elapsed >= COMMIT_MAX);
        let suspect = |holder: &&Holder| {
            !cleared(holder) && self.0.as_ref().is_none_or(|first| first.contains(&id(holder)))
        };
        let left: Vec<&Holder> = seen.iter().filter(suspect).collect();
        let why = |holder: &&Holder| {
            let Holder { table, transaction, session, .. } = holder;
            let why = format!(
                "transaction {transaction} of session {session} has changed it and may be committing"
            );
            (*table, why)
        };
        let held = left.iter().map(why).collect();
        self.0 = Some(left.into_iter().map(id).collect());
        held
    }
}

/// Lets the tables be read as soon as nothing that has changed them can be committed and unseen.
/// They must be held before the stream brings anything.
pub(super) async fn release(config: Arc<Config>, shared: Arc<Shared>, tables: BTreeSet<u32>) {
    let started = Instant::now();
    let mut suspects = Suspects::default();
    let mut connection = None;
    let mut wait = LOOK_AGAIN;
    loop {
        match look(&config, &mut connection).await {
            Ok(seen) => {
                let held = suspects.look(&seen, started.elapsed());
                if shared.hold(&tables, held) {
                    return;
                }
            }
            Err(error) => {
                connection = None;
                tracing::warn!(error = %error.chain(), "the open transactions could not be looked at");
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LOOK_AGAIN_MAX);
    }
}

async fn look(config: &Config, connection: &mut Option<RawConnection>) -> Result<Vec<Holder>> {
    let session = match connection {
        Some(open) => open,
        None => connection.insert(RawConnection::open(config, Mode::Sql).await?),
    };
    let rows = reader::query(session, CHANGING).await?;
    let holder = |row: &Vec<_>| {
        Ok(Holder {
            table: reader::number(row, 0)?,
            transaction: reader::number(row, 1)?,
            session: reader::number(row, 2)?,
            is_open: reader::text(row, 3)? == "1",
            may_wait: reader::text(row, 4)? == "1",
        })
    };
    rows.iter().map(holder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(table: u32, transaction: u32) -> Holder {
        Holder { table, transaction, session: 7, is_open: false, may_wait: false }
    }

    #[test]
    fn what_was_there_first_has_to_end() {
        let mut suspects = Suspects::default();
        let (first, second) = (holder(1, 10), holder(2, 11));
        let held = suspects.look(&[first.clone(), second.clone()], Duration::ZERO);
        assert_eq!(held.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert!(held[&1].contains("transaction 10 of session 7"), "{held:?}");
        // What has begun since is in the stream.
        let held = suspects.look(&[first.clone(), holder(2, 12)], Duration::from_secs(1));
        assert_eq!(held.keys().copied().collect::<Vec<_>>(), [1]);
        assert!(suspects.look(&[second], Duration::from_secs(2)).is_empty());
        assert!(suspects.look(&[first], Duration::from_secs(2)).is_empty(), "once cleared");
    }

    #[test]
    fn an_open_transaction_holds_nothing() {
        let mut suspects = Suspects::default();
        let open = Holder { is_open: true, may_wait: true, ..holder(1, 10) };
        assert!(suspects.look(&[open], Duration::ZERO).is_empty());
    }

    #[test]
    fn only_a_standby_makes_a_commit_last() {
        let waiting = Holder { may_wait: true, ..holder(2, 11) };
        let mut suspects = Suspects::default();
        let seen = [holder(1, 10), waiting];
        assert_eq!(suspects.look(&seen, Duration::ZERO).len(), 2);
        let held = suspects.look(&seen, COMMIT_MAX);
        assert_eq!(held.keys().copied().collect::<Vec<_>>(), [2]);
    }
}
