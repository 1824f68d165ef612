//! Messages that somebody put into the server's log with `pg_logical_emit_message`.
//!
//! A transactional message is a change of its transaction and is counted like one. Any other stands
//! for itself: it comes between two transactions, in the order of the log. Its position is the last
//! byte of its own record, where no commit and no other message can be. So it is the same on each
//! replay, and only grows.

#[cfg(test)]
mod properties;

use super::{
    batch::{LoneMessage, RowChange},
    follow::Follower,
};
use crate::{
    backfill::WATERMARK, config::Config, order, position::Lsn, protocol::LogicalMessage, schema,
};
use bytes::Bytes;
use cdc_core::{Operation, Result, Row, TableSchema, Timestamp, Value};
use std::{sync::Arc, time::UNIX_EPOCH};

/// Messages whose prefix begins so are the product's own, and are never delivered.
pub(crate) const OWN_PREFIX: &str = "cdc.";

/// Which messages are delivered, and as what.
pub(super) struct Messages {
    included: Vec<Vec<char>>,
    excluded: Vec<Vec<char>>,
    schema: Arc<TableSchema>,
}

impl Messages {
    pub(super) fn new(config: &Config) -> Self {
        let patterns = |texts: &[String]| texts.iter().map(|text| text.chars().collect()).collect();
        Self {
            included: patterns(&config.message_prefixes),
            excluded: patterns(&config.message_prefixes_excluded),
            schema: Arc::new(TableSchema::of_messages("postgres")),
        }
    }

    /// Are messages with this prefix delivered?
    fn wants(&self, prefix: &[u8]) -> bool {
        let prefix = String::from_utf8_lossy(prefix);
        let characters: Vec<char> = prefix.chars().collect();
        let among =
            |patterns: &[Vec<char>]| patterns.iter().any(|one| schema::glob(one, &characters));
        !prefix.starts_with(OWN_PREFIX)
            && (self.included.is_empty() || among(&self.included))
            && !among(&self.excluded)
    }
}

fn row(message: &LogicalMessage, frame: &Bytes) -> Row {
    Box::new([
        Value::Text(frame.slice(message.prefix.clone())),
        Value::Bytes(frame.slice(message.content.clone())),
    ])
}

impl Follower<'_> {
    /// Adds a message, or only its place when it is not to be delivered.
    pub(super) fn logical(&mut self, message: &LogicalMessage, frame: &Bytes) -> Result<()> {
        let prefix = frame.get(message.prefix.clone()).unwrap_or_default();
        if message.transactional && prefix == WATERMARK.as_bytes() {
            self.watermark(frame.get(message.content.clone()).unwrap_or_default());
        }
        if message.transactional && prefix == order::PREFIX.as_bytes() {
            self.note_order(frame.get(message.content.clone()).unwrap_or_default());
        }
        let wanted = self.messages.wants(prefix);
        if message.transactional {
            // Counted in any case, so that ordinals do not depend on what is selected.
            let new = self.gathered.count().map_err(super::apply::out_of_order)?;
            if !new || !wanted {
                return Ok(());
            }
            let row = RowChange {
                schema: Arc::clone(&self.messages.schema),
                operation: Operation::Message,
                before: None,
                after: Some(row(message, frame)),
                address: message.end,
            };
            return self.gathered.push(row).map_err(super::apply::out_of_order);
        }
        if !wanted {
            self.gathered.reached(message.end);
            return Ok(());
        }
        let lone = LoneMessage {
            schema: Arc::clone(&self.messages.schema),
            row: row(message, frame),
            end: message.end,
            received_at: self.now(),
        };
        self.gathered.lone(lone).map_err(super::apply::out_of_order)
    }

    /// Notes a message that tells where a chunk of the copy belongs.
    fn watermark(&mut self, content: &[u8]) {
        if let (Some(backfill), Ok(content)) = (self.backfill.as_mut(), str::from_utf8(content)) {
            backfill.watermark(content);
        }
    }

    /// A message outside of transactions has no time of its own.
    fn now(&self) -> Timestamp {
        let now = self.context.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        Timestamp { seconds, nanos: now.subsec_nanos() }
    }
}

/// The commit part of the position of a message outside of transactions, from the address behind it.
pub(super) fn lone_commit(end: Lsn) -> u128 {
    end.commit().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(included: &[&str], excluded: &[&str], prefix: &str) -> bool {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let config = Config {
            message_prefixes: texts(included),
            message_prefixes_excluded: texts(excluded),
            ..Config::new("shop")
        };
        Messages::new(&config).wants(prefix.as_bytes())
    }

    #[test]
    fn all_messages_are_delivered_but_our_own_and_the_excluded() {
        assert!(wants(&[], &[], "orders") && wants(&[], &[], "") && wants(&[], &[], "cdc"));
        assert!(!wants(&[], &[], "cdc.heartbeat") && !wants(&["cdc.*"], &[], "cdc.watermark"));
        assert!(wants(&["orders.*"], &[], "orders.eu") && !wants(&["orders.*"], &[], "carts"));
        assert!(!wants(&[], &["audit"], "audit") && wants(&[], &["audit"], "audits"));
        assert!(!wants(&["a*"], &["*b"], "a b") && !wants(&[], &["*"], "x"));
    }
}
