//! Runs pipelines through the traits of `cdc-core` only: capture fills the log, one delivery loop a
//! sink empties it, and a supervisor restarts whichever part fails without disturbing the others.
//!
//! ```text
//! Source ─▶ capture ─▶ Transport ─▶ deliver (one a sink) ─▶ Sink
//!             │  encode, append,       │  decode, drop duplicates, prepare, write
//!             │  await receipts        │  commit: data + checkpoint + epoch
//!             ▼                        ▼
//!        CheckpointStore          dead letters, release of the log
//! ```
#![warn(missing_docs)]

mod capture;
mod commit;
mod currency;
mod dead_letter;
mod deliver;
mod epoch;
mod error;
mod format;
mod hold;
mod intake;
mod pipeline;
mod readers;
mod refill;
mod repair;
mod resume;
mod route;
mod snapshot;
mod spec;
mod status;
mod supervise;
mod unsayable;
pub mod verify;

pub use cdc_codec::debezium::Encoding;
pub use deliver::check_places;
pub use format::{DebeziumFormat, DebeziumSpec, RowFormat};
pub use pipeline::run;
pub use repair::orders;
pub use snapshot::order_snapshot;
pub use spec::{OnRejected, PipelineSpec, SinkSpec, Until};
pub use status::{PipelineStatus, TransportStatus};
pub use unsayable::CAPTURE;
