//! Real servers, started as local processes for the time of a test and removed afterwards, whatever
//! way the test process ends.

pub mod account;
pub mod apicurio;
pub mod certificates;
pub mod confluent;
pub mod connect;
pub mod installed;
pub mod kafka;
pub mod port;
pub mod postgres;
pub mod receiver;
pub mod skip;
mod tied;
mod watchdog;

pub use apicurio::Apicurio;
pub use certificates::Certificates;
pub use connect::Connect;
pub use kafka::{Kafka, KafkaOptions};
pub use port::Port;
pub use postgres::{Options, Postgres};
pub use receiver::{Receiver, Request};
pub use skip::{missing, skip};
