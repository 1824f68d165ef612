//! The contract of a schema registry, as formats need it.

use crate::Result;
use async_trait::async_trait;
use std::sync::Arc;

/// The language of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SchemaKind {
    /// Apache Avro.
    Avro,
    /// JSON Schema.
    Json,
    /// Protocol Buffers.
    Protobuf,
}

/// A schema as a registry keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its language.
    pub kind: SchemaKind,
    /// Its text.
    pub text: Arc<str>,
}

/// Gives the schemas of records numbers that every reader of the topics can look up.
#[async_trait]
pub trait SchemaRegistry: Send + Sync + 'static {
    /// The number of a schema under a subject (`{topic}-key`, `{topic}-value`), registered if it is new.
    /// Same schema, same number; a schema that the subject's compatibility forbids is an error.
    async fn register(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32>;

    /// The schema of a number; an error where the registry does not know it.
    async fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>>;
}
