//! Messages of the plugin into changes.

use super::{
    batch::{OutOfOrder, RowChange},
    follow::Follower,
    tables::{Captured, Table},
};
use crate::{
    error,
    position::Lsn,
    protocol::{Malformed, Message, OldTuple, Tuple},
};
use bytes::Bytes;
use cdc_core::{Operation, Result};
use std::sync::Arc;

pub(super) fn out_of_order(_: OutOfOrder) -> cdc_core::Error {
    error::protocol(Malformed::new("a change or an end outside of a transaction"))
}

impl Follower<'_> {
    /// Adds what one message brings to what was gathered.
    #[inline]
    pub(super) fn apply(&mut self, message: Message, at: Lsn, frame: &Bytes) -> Result<()> {
        match message {
            Message::Insert { relation, new } => self.insert(relation, &new, at, frame),
            Message::Update { relation, old, new } => {
                self.update(relation, old.as_ref(), &new, at, frame)
            }
            Message::Delete { relation, old } => self.delete(relation, &old, at, frame),
            Message::Begin(begin) => self.gathered.begin(begin).map_err(out_of_order),
            Message::Commit(commit) => self.gathered.commit(commit).map_err(out_of_order),
            Message::Truncate { relations } => self.truncate(&relations, at),
            Message::Logical(message) => self.logical(&message, frame),
            // Announced tables are looked up elsewhere; the others are of no concern to rows.
            Message::Relation(_) | Message::Type | Message::Origin => Ok(()),
        }
    }

    /// The table of the next change, counted; `None` when the change is not wanted.
    #[inline]
    fn wanted(&mut self, relation: u32) -> Result<Option<&Captured>> {
        let new = self.gathered.count().map_err(out_of_order)?;
        match self.tables.get(relation)? {
            Table::Captured(table) if new => Ok(Some(table)),
            Table::Captured(_) | Table::Ignored => Ok(None),
        }
    }

    /// Adds a change, as far as the copy of its table does not bring the row itself.
    #[inline]
    fn push(&mut self, relation: u32, row: RowChange) -> Result<()> {
        let Some(backfill) = self.backfill.as_mut().filter(|copy| copy.concerns(relation)) else {
            return self.gathered.push(row).map_err(out_of_order);
        };
        let Table::Captured(table) = self.tables.get(relation)? else { return Ok(()) };
        match backfill.pass(self.gathered.xid(), relation, row, table.decoder()) {
            Some(row) => self.gathered.push(row).map_err(out_of_order),
            None => Ok(()),
        }
    }

    #[inline]
    fn insert(&mut self, relation: u32, new: &Tuple, at: Lsn, frame: &Bytes) -> Result<()> {
        let Some(table) = self.wanted(relation)? else { return Ok(()) };
        let row = RowChange {
            after: Some(table.row(new, frame)?),
            before: None,
            schema: Arc::clone(&table.schema),
            operation: Operation::Insert,
            address: at,
        };
        self.push(relation, row)
    }

    fn update(
        &mut self,
        relation: u32,
        old: Option<&OldTuple>,
        new: &Tuple,
        at: Lsn,
        frame: &Bytes,
    ) -> Result<()> {
        let Some(table) = self.wanted(relation)? else { return Ok(()) };
        let before = old.map(|old| table.old_row(old, frame)).transpose()?;
        let row = RowChange {
            after: Some(table.new_row(new, before.as_ref(), frame)?),
            before,
            schema: Arc::clone(&table.schema),
            operation: Operation::Update,
            address: at,
        };
        self.push(relation, row)
    }

    fn delete(&mut self, relation: u32, old: &OldTuple, at: Lsn, frame: &Bytes) -> Result<()> {
        let Some(table) = self.wanted(relation)? else { return Ok(()) };
        let row = RowChange {
            before: Some(table.old_row(old, frame)?),
            after: None,
            schema: Arc::clone(&table.schema),
            operation: Operation::Delete,
            address: at,
        };
        self.push(relation, row)
    }

    fn truncate(&mut self, relations: &[u32], at: Lsn) -> Result<()> {
        for relation in relations {
            let Some(table) = self.wanted(*relation)? else { continue };
            let row = RowChange {
                before: None,
                after: None,
                schema: Arc::clone(&table.schema),
                operation: Operation::Truncate,
                address: at,
            };
            self.push(*relation, row)?;
        }
        Ok(())
    }
}
