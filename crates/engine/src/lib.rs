//! Runs pipelines through the traits of `cdc-core` only: capture fills the log, one delivery loop a
//! sink empties it, and a supervisor restarts whichever part fails without disturbing the others.
#![warn(missing_docs)]

mod pipeline;
mod spec;
mod status;

pub use pipeline::run;
pub use spec::{OnRejected, PipelineSpec, SinkSpec, Until};
pub use status::{PipelineStatus, TransportStatus};
