//! The two configuration files: what is in them, and what is wrong with them.

mod brokers;
mod decode;
mod diagnostic;
mod findings;
mod format;
mod interpolate;
mod kafka;
mod moot;
mod nearest;
mod offsets;
mod pipeline;
mod platform;
mod reference;
mod registry;
mod schema;
mod unit;
mod yaml;

pub use brokers::{Kinesis, Pubsub};
pub use diagnostic::{ConfigError, Diagnostic, Span};
pub use format::{Format, Skipped, Unwrapped};
pub use interpolate::Environment;
pub use kafka::{BesideKafka, Kafka};
pub use offsets::OffsetStorage;
pub use pipeline::{
    Keys, OnError, Pipeline, PipelineHead, SinkEntry, SinkHead, SinkType, SourceHead, SourceType,
    parse_pipeline,
};
pub use platform::{
    DataDirectory, DeadLetters, Platform, PlatformFile, Rest, Retry, RetryOverride, TransportMode,
    WalReader, parse_platform,
};
pub use reference::reference;
pub use registry::Registry;
pub use schema::{pipeline_schema, platform_schema};
pub use unit::show_bytes;

pub(crate) use decode::decode;
pub(crate) use findings::{Findings, Place};
pub(crate) use schema::object;
pub(crate) use yaml::Node;
