//! Messages and transactions side by side in a log that is read again and again.

use super::super::batch::{Gathered, LoneMessage, OutOfOrder, RowChange};
use crate::{
    position::Lsn,
    protocol::{Begin, Commit},
};
use cdc_core::{Operation, Position, TableSchema, Timestamp};
use proptest::prelude::*;
use std::sync::Arc;

fn schema() -> Arc<TableSchema> {
    Arc::new(TableSchema::of_messages("postgres"))
}

fn begin(commit: u64) -> Begin {
    Begin { commit: Lsn(commit), commit_time: 0, xid: 7 }
}

fn insert(gathered: &mut Gathered, schema: &Arc<TableSchema>) {
    let row = RowChange {
        schema: Arc::clone(schema),
        operation: Operation::Insert,
        before: None,
        after: Some(Box::default()),
        address: Lsn(1),
    };
    if gathered.count().unwrap() {
        gathered.push(row).unwrap();
    }
}

fn lone(end: u64) -> LoneMessage {
    let received_at = Timestamp { seconds: 0, nanos: 0 };
    LoneMessage { schema: schema(), row: Box::default(), end: Lsn(end), received_at }
}

/// A record of the log, as the plugin shows it: a transaction of so many changes, or a message.
#[derive(Clone, Copy, Debug)]
enum Logged {
    Transaction(u64),
    Message,
}

/// Reads all records from an address on, and says which positions were new.
fn replay(records: &[(u64, u64, Logged)], from: Lsn, skip: Position) -> Vec<Position> {
    let schema = schema();
    let mut gathered = Gathered::new(from, skip);
    for (start, end, logged) in records.iter().filter(|(start, ..)| Lsn(*start) >= from) {
        match logged {
            Logged::Message => gathered.lone(lone(*end)).unwrap(),
            Logged::Transaction(size) => {
                gathered.begin(begin(*start)).unwrap();
                (0..*size).for_each(|_| insert(&mut gathered, &schema));
                let (commit, end) = (Lsn(*start), Lsn(*end));
                gathered.commit(Commit { commit, end, commit_time: 0 }).unwrap();
            }
        }
    }
    let taken = gathered.take().map_or_else(Vec::new, |taken| taken.changes);
    taken.iter().map(|change| change.position).collect()
}

proptest! {
    /// Wherever a stream is cut, going on there brings exactly what is missing, although
    /// messages and commits lie side by side in the log.
    #[test]
    fn messages_between_transactions_have_positions_of_their_own(
        kinds in prop::collection::vec((2_u64..40, prop::option::of(1_u64..4)), 1..20),
        cut: prop::sample::Index,
    ) {
        let mut records = Vec::new();
        let mut at = 100;
        for (length, changes) in kinds {
            let logged = changes.map_or(Logged::Message, Logged::Transaction);
            records.push((at, at + length, logged));
            at += length;
        }
        let all = replay(&records, Lsn(100), Position::default());
        prop_assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", all);
        let heartbeats = records.iter().map(|(_, end, _)| Lsn(*end).heartbeat());
        for (number, heartbeat) in heartbeats.enumerate() {
            let before = replay(&records[..=number], Lsn(100), Position::default());
            prop_assert!(before.iter().all(|position| *position < heartbeat));
            let rest = replay(&records[number + 1..], Lsn(100), Position::default());
            prop_assert!(rest.iter().all(|position| *position > heartbeat));
        }
        let cut = cut.index(records.len());
        let (_, end, _) = records[cut];
        let mut parts = replay(&records[..=cut], Lsn(100), Position::default());
        parts.extend(replay(&records, Lsn(end), Position::default()));
        prop_assert_eq!(&parts, &all);
        let newest = all[all.len() / 2];
        let again = replay(&records, Lsn(100), newest);
        prop_assert_eq!(again, all.into_iter().filter(|at| *at > newest).collect::<Vec<_>>());
    }
}

#[test]
fn no_message_stands_for_itself_inside_a_transaction() {
    let mut gathered = Gathered::new(Lsn(1), Position::default());
    gathered.begin(begin(5)).unwrap();
    assert_eq!(gathered.lone(lone(6)), Err(OutOfOrder));
}
