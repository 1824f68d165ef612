//! Changes that have no form in the format of the log: set aside, so that the rest goes on.

use crate::{pipeline::milliseconds, spec::PipelineSpec};
use cdc_codec::row;
use cdc_core::{
    Change, Error, Offset, Result,
    clock::Clock,
    dead_letter::{DeadLetter, DeadLetterInfo, DeadLetterStore},
    naming,
    status::Problem,
};
use std::sync::Arc;

/// Whose dead letters these are in the place of a sink: no sink can be called so.
pub const CAPTURE: &str = "~capture";

/// Sets changes aside before they reach the log. No sink sees them.
pub(crate) struct Unsayable {
    dead_letters: Arc<dyn DeadLetterStore>,
    clock: Arc<dyn Clock>,
    topic_prefix: String,
}

impl Unsayable {
    pub(crate) fn new(spec: &PipelineSpec) -> Self {
        let (dead_letters, clock) = (Arc::clone(&spec.dead_letters), Arc::clone(&spec.clock));
        Self::of(dead_letters, clock, &spec.topic_prefix)
    }

    pub(crate) fn of(
        dead_letters: Arc<dyn DeadLetterStore>,
        clock: Arc<dyn Clock>,
        topic_prefix: &str,
    ) -> Self {
        Self { dead_letters, clock, topic_prefix: topic_prefix.to_owned() }
    }

    /// Stores a change as a dead letter. The same one again changes nothing.
    pub(crate) async fn set_aside(&self, change: &Change, error: &Error) -> Result<()> {
        let (table, position) = (&change.schema.table, change.position);
        tracing::warn!(
            %table, %position, error = %error.chain(),
            remedy = error.remedy.as_deref().unwrap_or_default(),
            "a change has no form in the log's format and was set aside",
        );
        metrics::counter!("cdc_dead_letters_total", "sink" => CAPTURE).increment(1);
        let info = DeadLetterInfo {
            sink_id: CAPTURE.to_owned(),
            topic: naming::topic(&self.topic_prefix, table),
            table: table.to_string(),
            partition: 0,
            offset: Offset(0),
            position,
            error_code: error.code.to_owned(),
            error: Problem::from(error).message,
            parked_at_ms: milliseconds(self.clock.now()),
            retries: 0,
            retry_requested: false,
            holds_table: false,
        };
        let letter = DeadLetter { id: 0, info, payload: row::encode_letter(change) };
        self.dead_letters.park(vec![letter]).await
    }
}
