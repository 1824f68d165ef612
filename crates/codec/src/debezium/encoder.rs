//! Keys and envelopes as JSON.

use super::encoding;
use super::envelope::{Envelopes, Part, Telling};
use super::options::{Options, Unlogged};
use super::records::{KeyOf, ValueOf};
use cdc_core::{Change, Operation, Result};
use std::time::SystemTime;

/// Writes changes as Debezium JSON.
#[derive(Debug)]
pub struct Encoder {
    envelopes: Envelopes,
}

impl Encoder {
    /// Makes an encoder without schemas; `topic_prefix` is the source's name in every envelope. What
    /// the database did not log of a row before is null.
    #[must_use]
    pub fn new(topic_prefix: &str) -> Self {
        let options = Options { schemas: false, unlogged: Unlogged::Null, ..Options::default() };
        Self::with_options(topic_prefix, options)
    }

    /// Makes an encoder with every choice of Debezium's users.
    #[must_use]
    pub fn with_options(topic_prefix: &str, options: Options) -> Self {
        Self { envelopes: Envelopes::new(topic_prefix, options) }
    }

    /// Sets the database's name in `source.db`, which is empty otherwise.
    #[must_use]
    pub fn with_database(self, database: &str) -> Self {
        Self { envelopes: self.envelopes.with_database(database) }
    }

    /// Appends the change's key, `{"id":1}`. Says `false` and appends nothing for a table without a
    /// key and for a truncate. After an error `out` is as it was.
    ///
    /// # Errors
    /// When a value of the key has no JSON form, or the database did not log it.
    pub fn key(&mut self, change: &Change, out: &mut Vec<u8>) -> Result<bool> {
        if !change.schema.has_key() || change.operation == Operation::Truncate {
            return Ok(false);
        }
        let plan = self.envelopes.plan(change);
        let text = plan.texts.as_ref().map(|texts| &*texts.key);
        encoding::json(out, text, KeyOf { plan: &plan, change, part: Part::Whole })?;
        Ok(true)
    }

    /// Appends the change's envelope. `processed_at` becomes its `ts_ms`, `ts_us` and `ts_ns`. After
    /// an error `out` is as it was.
    ///
    /// # Errors
    /// When a value has no JSON form, or a row does not fit its schema.
    pub fn value(
        &mut self,
        change: &Change,
        processed_at: SystemTime,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let plan = self.envelopes.plan(change);
        let text = plan.texts.as_ref().map(|texts| &*texts.value);
        let telling = Telling::whole(processed_at);
        let what = ValueOf { envelopes: &self.envelopes, plan: &plan, change, telling };
        encoding::json(out, text, what)
    }
}
