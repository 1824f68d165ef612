//! The embedded registry as the registry that formats know.

use super::{Definition, Refusal, Registry};
use crate::schema::SchemaType;
use async_trait::async_trait;
use cdc_core::{
    Error, Origin, Result, Retry,
    registry::{RegisteredSchema, SchemaRegistry},
};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// The registry of a process, for everything in it that registers schemas.
#[derive(Clone)]
pub struct SharedRegistry(Arc<Registry>);

impl SharedRegistry {
    /// Shares a registry.
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self(registry)
    }
}

#[async_trait]
impl SchemaRegistry for SharedRegistry {
    async fn register(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32> {
        let definition = Definition {
            schema: Some(schema.text.to_string()),
            schema_type: Some(SchemaType::from(schema.kind).name().to_owned()),
            ..Definition::default()
        };
        let (registry, of) = (Arc::clone(&self.0), subject.to_owned());
        // A new schema is durable before it has a number, which takes as long as the disk does.
        let registered = spawn_blocking(move || registry.register(&of, &definition, false)).await;
        let registered = registered.map_err(|_| stopped())?;
        let id = registered.map_err(|refusal| refused(subject, &refusal))?.id;
        u32::try_from(id).map_err(|_| stopped())
    }

    async fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>> {
        let content = i32::try_from(id).ok().and_then(|id| self.0.content(id).ok());
        let content = content.ok_or_else(|| unknown(id))?;
        let (kind, text) = (content.schema_type.into(), content.schema.as_str().into());
        Ok(Arc::new(RegisteredSchema { kind, text }))
    }
}

/// The registry does not take a schema.
fn refused(subject: &str, refusal: &Refusal) -> Error {
    let Refusal { code, message } = refusal;
    let (number, retry, remedy) = match refusal.status() {
        409 => (
            "CDC-6012",
            Retry::AfterOperator,
            format!(
                "let the readers of {subject} take the new schema first, then lower the level for it: \
                 curl -X PUT -H 'Content-Type: application/json' \
                 -d '{{\"compatibility\":\"NONE\"}}' URL/config/{subject}"
            ),
        ),
        500..=599 => (
            "CDC-6015",
            Retry::Backoff,
            "look at the registry's own messages in the log".to_owned(),
        ),
        _ => (
            "CDC-6014",
            Retry::AfterOperator,
            "correct what the message names: the name of the table, or the mode of the subject"
                .to_owned(),
        ),
    };
    let context =
        format!("the embedded registry refuses a schema for subject {subject}: {message} ({code})");
    Error::new(number, Origin::Transport, retry, context).with_remedy(remedy)
}

/// A record names a schema that is not there.
fn unknown(id: u32) -> Error {
    let context = format!("the embedded registry has no schema {id}, which a record names");
    Error::new("CDC-6013", Origin::Transport, Retry::AfterOperator, context).with_remedy(
        "put the registry's file back that was there when the record was written, or see what it has: \
         curl URL/schemas",
    )
}

/// The process is going down, or numbers are used up.
fn stopped() -> Error {
    Error::new("CDC-6015", Origin::Transport, Retry::Backoff, "the embedded registry has stopped")
        .with_remedy("look at the registry's own messages in the log")
}
