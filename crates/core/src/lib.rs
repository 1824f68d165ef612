//! What every connector and the engine agree on: the nouns of change data capture and one trait for
//! each part. No I/O and no runtime live here, so that every crate can depend on it cheaply.
#![warn(missing_docs)]

pub mod catalog;
pub mod change;
pub mod channel;
pub mod checkpoint;
pub mod clock;
pub mod dead_letter;
pub mod error;
pub mod finding;
pub mod format;
pub mod naming;
pub mod position;
pub mod record;
pub mod registry;
pub mod retry;
pub mod schema;
pub mod secret;
pub mod sink;
pub mod snapshot;
pub mod source;
pub mod status;
pub mod store;
pub mod transform;
pub mod transport;
pub mod value;
pub mod verify;

pub use change::{Change, ChangeBatch, Complete, Operation, Transaction};
pub use checkpoint::{Checkpoint, Place};
pub use error::{Error, Origin, Result, Retry};
pub use finding::Finding;
pub use position::Position;
pub use record::{Header, LogId, Offset, Record, RecordBatch, StoredRecord, TopicPartition};
pub use schema::{Column, ColumnDefault, DataType, SchemaId, TableId, TableSchema};
pub use secret::Secret;
pub use sink::{Delivered, Sink, SinkBatch, WriteError};
pub use source::{Source, SourceContext};
pub use transport::{PartitionReader, Transport};
pub use value::{Array, Dimension, Row, Timestamp, Value};
