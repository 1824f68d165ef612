//! A registry for formats, which tells the sentinel what it refuses.

use super::Sentinel;
use async_trait::async_trait;
use cdc_core::{
    Result,
    registry::{RegisteredSchema, SchemaRegistry},
};
use std::sync::Arc;

/// What a registry answers when a level forbids a schema.
const INCOMPATIBLE: &str = "CDC-6012";

/// A registry and who is told.
pub(crate) struct Guarded {
    registry: Arc<dyn SchemaRegistry>,
    sentinel: Sentinel,
}

impl Guarded {
    pub(crate) fn new(registry: Arc<dyn SchemaRegistry>, sentinel: Sentinel) -> Self {
        Self { registry, sentinel }
    }
}

#[async_trait]
impl SchemaRegistry for Guarded {
    async fn register(&self, subject: &str, schema: &RegisteredSchema) -> Result<u32> {
        match self.registry.register(subject, schema).await {
            Err(error) if error.code == INCOMPATIBLE => {
                let stop = self.sentinel.incompatible(subject, &error.context);
                Err(stop.unwrap_or(error))
            }
            answer => answer,
        }
    }

    async fn schema(&self, id: u32) -> Result<Arc<RegisteredSchema>> {
        self.registry.schema(id).await
    }
}
