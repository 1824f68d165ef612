//! A registry for formats, which tells the sentinel what it refuses.

use super::{Registry, Sentinel, blocking, refused};
use async_trait::async_trait;
use cdc_core::{
    Result,
    registry::{RegisteredSchema, SchemaKind, SchemaRegistry},
};
use cdc_registry::{SchemaType, client::Named, embedded::Definition};
use std::sync::Arc;

/// What a registry over HTTP answers when a level forbids a schema.
const INCOMPATIBLE: &str = "CDC-6012";
/// The same from the registry of this process.
const CONFLICT: u16 = 409;

/// A registry and who is told.
pub(crate) struct Guarded {
    registry: Registry,
    sentinel: Sentinel,
}

impl Guarded {
    pub(crate) fn new(registry: Registry, sentinel: Sentinel) -> Self {
        Self { registry, sentinel }
    }
}

fn language(kind: SchemaKind) -> SchemaType {
    match kind {
        SchemaKind::Avro => SchemaType::Avro,
        SchemaKind::Json => SchemaType::Json,
        SchemaKind::Protobuf => SchemaType::Protobuf,
    }
}

fn kind(language: SchemaType) -> SchemaKind {
    match language {
        SchemaType::Avro => SchemaKind::Avro,
        SchemaType::Json => SchemaKind::Json,
        SchemaType::Protobuf => SchemaKind::Protobuf,
    }
}

#[async_trait]
impl SchemaRegistry for Guarded {
    async fn register(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32> {
        let language = language(schema.kind);
        let id = match &self.registry {
            Registry::Elsewhere(client) => {
                let named = Named::new(language, &*schema.text);
                match client.register(subject, &named, false).await {
                    Err(error) if error.code == INCOMPATIBLE => {
                        let stop = self.sentinel.incompatible(subject, &error.context);
                        return Err(stop.unwrap_or(error));
                    }
                    answer => answer?,
                }
            }
            Registry::Own(registry) => {
                let definition = Definition {
                    schema: Some(schema.text.to_string()),
                    schema_type: Some(language.name().to_owned()),
                    ..Definition::default()
                };
                let (registry, subject) = (Arc::clone(registry), subject.to_owned());
                let sentinel = self.sentinel.clone();
                blocking(move || {
                    let registered = registry.register(&subject, &definition, false);
                    registered.map(|registered| registered.id).map_err(|refusal| {
                        let told = (refusal.status() == CONFLICT)
                            .then(|| sentinel.incompatible(&subject, &refusal.message));
                        told.flatten().unwrap_or_else(|| refused(&subject, &refusal))
                    })
                })
                .await?
            }
        };
        Ok(u32::try_from(id).unwrap_or_default())
    }

    async fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>> {
        let number = i32::try_from(id).unwrap_or(i32::MAX);
        let (language, text) = match &self.registry {
            Registry::Elsewhere(client) => {
                let named = client.schema(number).await?;
                (named.schema_type, named.schema.clone())
            }
            Registry::Own(registry) => {
                let content = registry.content(number);
                let content = content.map_err(|refusal| refused(&id.to_string(), &refusal))?;
                (content.schema_type, content.schema.clone())
            }
        };
        Ok(Arc::new(RegisteredSchema { kind: kind(language), text: text.into() }))
    }
}
