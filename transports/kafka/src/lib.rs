//! The Kafka transport: the topics of a Kafka cluster as the log between capture and delivery.
//!
//! ```text
//! append ─▶ lane of the partition ─▶ idempotent producer ─▶ brokers ─▶ readers (no group)
//!           one receipt a batch      librdkafka             │
//! join   ─▶ consumer group ─▶ which partitions are ours ◀───┘  offsets committed by group
//! ```

mod append;
mod check;
mod client;
pub mod config;
mod error;
mod group;
mod keeper;
mod lane;
mod lease;
mod membership;
pub mod murmur2;
mod newest;
mod read;
pub mod record;
mod state;
pub mod token;
mod topics;
mod transaction;
mod transport;

pub use check::check;
pub use config::{Auth, Compression, Config, Protocol};
pub use group::Lag;
pub use read::IncomingBatch;
pub use record::{Incoming, Outgoing};
pub use state::{DeadLetterTopics, State, StateOptions};
pub use topics::{Scope, TopicPlan};
pub use transport::{KafkaTransport, RecordReader};
