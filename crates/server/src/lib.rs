//! The HTTP server of a running pipeline: health, metrics, and what an operator asks for.
//!
//! ```text
//! GET    /healthz                                        200 while the process lives, and the status
//! GET    /readyz                                         200, or 503 with the reasons
//! GET    /metrics                                        Prometheus
//! GET    /api/v1/pipelines/{id}                          the status
//! GET    /api/v1/pipelines/{id}/schemas/{schema}         a table schema by its number in the log
//! GET    /api/v1/pipelines/{id}/dead-letters             list
//! POST   /api/v1/pipelines/{id}/dead-letters/retry       {"ids": […]} or {"all": true}
//! DELETE /api/v1/pipelines/{id}/dead-letters             the same body
//! GET    /api/v1/pipelines/{id}/dead-letters/{letter}    one, with its change
//! POST   /api/v1/pipelines/{id}/dead-letters/{letter}/retry
//! DELETE /api/v1/pipelines/{id}/dead-letters/{letter}
//! ```
#![warn(missing_docs)]

mod dead_letters;
mod error;
mod exposition;
mod health;
mod lag;
mod listen;
mod metrics;
mod snapshots;
mod throughput;

pub use dead_letters::{Letter, LetterPage, Selection, discard, list, retry, show};
pub use health::health;
pub use lag::PartitionLag;
pub use listen::{Parts, Server};
pub use metrics::{Counters, METRICS, Metric, reference};
